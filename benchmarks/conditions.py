"""What the service needs around it: nothing while idle, and words for what is missing at the start."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.harness import WORKERS, Figure, answers, failed, serve, start, wait_until
from tests.faults.service import DEMOTE, PROMOTE, set_status
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import DATABASE, LakebaseStandIn
from tests.load import Load, get, post

# Ten minutes by a clock that runs twenty times as fast, in seconds. What happens by itself happens at least
# that much faster than by default, too: a refresh every 2.5 minutes, a connection given up after 30 s.
IDLE_TIME = 30.0
SETTLING = 5.0
QUICK = {"DB_POOL_IDLE_TIMEOUT": "1", "DB_POOL_RECYCLE_INTERVAL": "2", "TOKEN_REFRESH_INTERVAL": "2"}
LOG_ALL = f"ALTER DATABASE {DATABASE} SET log_statement = 'all'"
LOG_NONE = f"ALTER DATABASE {DATABASE} RESET log_statement"
BOUND = 5.0
WRITE = post("/orders/1/status", '{"o_orderstatus": "F"}')


def idle(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Nobody asks but for a probe every second: the server's log has every statement."""
    lakebase.execute(LOG_ALL)
    try:
        with serve(lakebase, **QUICK) as gunicorn:
            yield from _count_statements(lakebase, gunicorn, "default pool")
        with serve(lakebase, DB_POOL_SIZE="0", **QUICK) as gunicorn:
            yield from _count_statements(lakebase, gunicorn, "empty pool")
            yield Figure("empty pool: connections open", lakebase.proxy.counts.open, at_most=0)
            yield Figure("empty pool: the next read is served", answers(gunicorn, "/orders/1"), at_least=1)
    finally:
        lakebase.execute(LOG_NONE)


def _count_statements(lakebase: LakebaseStandIn, gunicorn: GunicornProcess, name: str) -> Iterator[Figure]:
    probe = get("/readyz", Connection="close")
    with Load(gunicorn.port, lambda: probe, pause=1.0) as probes:
        time.sleep(SETTLING)
        known, opened = lakebase.server.log_path.read_bytes(), lakebase.proxy.counts.opened
        time.sleep(IDLE_TIME)
        news = lakebase.server.log_path.read_bytes()[len(known) :]
        opened = lakebase.proxy.counts.opened - opened
    yield Figure(f"{name}: statements before", _statements_in(known), at_least=1)
    yield Figure(f"{name}: statements while idle", _statements_in(news), at_most=0)
    yield Figure(f"{name}: connections opened while idle", opened, at_most=0)
    yield failed(probes.failures(), f"{name}: failed probes")


def _statements_in(log: bytes) -> int:
    return log.count(b"LOG:  statement:") + log.count(b"LOG:  execute ")


@dataclass(frozen=True)
class Lack:
    """Something missing at the start: what takes and gives it, and words of the probe and of the log."""

    what: str
    take: Callable[[LakebaseStandIn], object]
    give: Callable[[LakebaseStandIn], object]
    said: str
    mend: str


def _role(lakebase: LakebaseStandIn) -> str:
    return f'"{lakebase.workspace.service_principal.name}"'


LACKS = (
    Lack(
        "database refusing",
        lambda lakebase: lakebase.proxy.refuse(),
        lambda lakebase: lakebase.proxy.heal(),
        "refused",
        "PGHOST",
    ),
    Lack(
        "database asleep",
        lambda lakebase: lakebase.proxy.starting_up(),
        lambda lakebase: lakebase.proxy.heal(),
        "starting up",
        "starting up",
    ),
    Lack(
        "workspace away",
        lambda lakebase: lakebase.workspace.refuse_connections(),
        lambda lakebase: lakebase.workspace.heal(),
        "workspace",
        "DATABRICKS_HOST",
    ),
    Lack(
        "table missing",
        lambda lakebase: lakebase.execute("ALTER TABLE orders_synced RENAME TO elsewhere"),
        lambda lakebase: lakebase.execute("ALTER TABLE elsewhere RENAME TO orders_synced"),
        "table is missing",
        "DEFAULT_POSTGRES_TABLE",
    ),
    Lack(
        "grant missing",
        lambda lakebase: lakebase.execute(f"REVOKE SELECT ON orders_synced FROM {_role(lakebase)}"),
        lambda lakebase: lakebase.execute(f"GRANT SELECT ON orders_synced TO {_role(lakebase)}"),
        "grant is missing",
        "GRANT SELECT ON",
    ),
)


def boot(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The service starts while one thing is missing, says which, and finds it when it comes."""
    for lack in LACKS:
        lack.take(lakebase)
        try:
            with start(lakebase, LOG_LEVEL="INFO", WAKE_BUDGET="1") as gunicorn:
                yield from _boot_without(lakebase, gunicorn, lack)
        finally:
            lakebase.proxy.heal()


def _boot_without(lakebase: LakebaseStandIn, gunicorn: GunicornProcess, lack: Lack) -> Iterator[Figure]:
    said = wait_until(lambda: _says(gunicorn, lack.said), patience=10.0)
    yield Figure(f"{lack.what}: said by /readyz?verbose", said, "s", at_most=BOUND)
    answer = gunicorn.get("/orders/1")
    yield Figure(f"{lack.what}: answered 503", answer.status_code == 503, at_least=1)
    names_mend = any(lack.mend in line for line in gunicorn.output.splitlines() if "Settings:" not in line)
    yield Figure(f"{lack.what}: the log says {lack.mend}", names_mend, at_least=1)
    lack.give(lakebase)
    healed = wait_until(lambda: answers(gunicorn, "/orders/1"), patience=60.0)
    yield Figure(f"{lack.what}: healed", healed, "s", at_most=BOUND)
    restarts = gunicorn.output.count("Booting worker") - WORKERS
    yield Figure(f"{lack.what}: workers started again", restarts, at_most=0)


def _says(gunicorn: GunicornProcess, words: str) -> bool:
    """Whether a worker says what is missing; each answers on its own."""
    answer = gunicorn.get("/readyz?verbose", Connection="close")
    return any(words in part for part in answer.json()["parts"].values())


def demote(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Every connection is to a node that takes no writes any more; new ones reach the primary."""
    with start(lakebase, WEB_CONCURRENCY="1", DB_POOL_SIZE="10", DB_MAX_OVERFLOW="0") as gunicorn:
        set_status(gunicorn, "F")
        wait_until(lambda: lakebase.proxy.counts.open == 10)
        lakebase.execute(DEMOTE)
        try:
            with Load(gunicorn.port, lambda: WRITE, clients=4) as load:
                time.sleep(3)
        finally:
            lakebase.execute(PROMOTE)
    refused = sum(sample.outcome.startswith("503") for sample in load.samples)
    yield Figure("writes", len(load.samples))
    yield Figure("writes answered 503, of 10 connections", refused, at_least=1, at_most=10)
    yield failed({kind: n for kind, n in load.failures().items() if kind[:3] != "503"}, "other failures")
