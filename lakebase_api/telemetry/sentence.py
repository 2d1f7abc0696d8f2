"""Says in a sentence how a server is doing."""

from collections.abc import Sequence
from enum import StrEnum

from lakebase_api.telemetry.worker_report import WorkerReport

# Seconds without a request after which the database may have been put to sleep: how long it waits is set in
# Lakebase, and not known here.
QUIET = 60.0


class Condition(StrEnum):
    """How the database is, as far as is known without asking it; or that no worker can say."""

    AWAKE = "awake"
    ASLEEP = "maybe asleep"
    AWAY = "away"
    STARTING = "starting"
    DRAINING = "draining"
    SILENT = "silent"


def find_condition(workers: Sequence[WorkerReport]) -> Condition:
    """How it is for the server of these workers, those that answered."""
    if not workers:
        return Condition.SILENT
    if all(worker.is_draining for worker in workers):
        return Condition.DRAINING
    connects = [worker.connects for worker in workers]
    if any(each.away_seconds is not None for each in connects):
        return Condition.AWAY
    if not any(each.has_connected for each in connects):
        return Condition.STARTING
    is_used = any(worker.pool.in_use or worker.exports for worker in workers)
    if not is_used and min(each.quiet_seconds for each in connects) >= QUIET:
        return Condition.ASLEEP
    return Condition.AWAKE


def compose_sentence(workers: Sequence[WorkerReport]) -> str:
    """The sentence."""
    match condition := find_condition(workers):
        case Condition.SILENT:
            return "No worker answers."
        case Condition.DRAINING:
            return "Draining: the service is stopping, and takes no new connections."
        case Condition.AWAY:
            said = _say_away(workers)
        case Condition.STARTING:
            said = "Starting: no connection to the database has been opened yet"
        case Condition.ASLEEP:
            quiet = min(worker.connects.quiet_seconds for worker in workers)
            said = (
                f"Quiet for {spell_seconds(quiet)}: the database may be asleep, and the next request wakes it"
            )
        case Condition.AWAKE:
            said = _say_in_use(workers)
    parts = [said, _say_waiting(workers), _say_token(workers, condition)]
    return "; ".join(part for part in parts if part) + "."


def spell_seconds(seconds: float) -> str:
    """So many seconds in the largest unit of which there are two, as in ``38 min``."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds / size)} {unit}"
    return f"{int(seconds)} s"


def _say_in_use(workers: Sequence[WorkerReport]) -> str:
    in_use, most = (sum(each) for each in zip(*((w.pool.in_use, w.pool.most) for w in workers), strict=True))
    return f"Awake: {in_use} of {most} connections in use"


def _say_away(workers: Sequence[WorkerReport]) -> str:
    away = [worker.connects for worker in workers if worker.connects.away_seconds is not None]
    longest = max(away, key=lambda connects: connects.away_seconds or 0.0)
    reason = f" ({longest.fault})" if longest.fault else ""
    of = "" if len(away) == len(workers) else f" for {len(away)} of {len(workers)} workers"
    return f"Away{of} for {spell_seconds(longest.away_seconds or 0.0)}{reason}"


def _say_waiting(workers: Sequence[WorkerReport]) -> str:
    waiting = sum(worker.pool.waiting for worker in workers)
    return f"{waiting} waiting for one" if waiting else ""


def _say_token(workers: Sequence[WorkerReport], condition: Condition) -> str:
    tokens = [worker.token for worker in workers if worker.token is not None]
    if not tokens:
        return ""
    if fault := next((token.fault for token in tokens if token.fault), None):
        return f"no token: {fault}"
    left = min((token.seconds_left for token in tokens if token.seconds_left is not None), default=None)
    return "" if left is None else f"token good for {spell_seconds(left)}"
