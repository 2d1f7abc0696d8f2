"""Knows how fresh synced tables are: asks the workspace once a minute, as long as somebody reads them."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from lakebase_api.lakebase.copy_status import NOT_ASKED, CopyStatus, Freshness
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.renewed_file import RenewedFile

logger = logging.getLogger(__name__)

# Seconds for which what the workspace said is good enough for who reads, and for who needs a newer version.
INTERVAL = 60.0
SHORTEST_INTERVAL = 5.0
NO_WORKSPACE = Freshness(
    problem="There is no workspace to ask: the service reads a PostgreSQL with a password."
)
# What the workspace's refusals mean for callers, by words of the SDK's errors.
PROBLEMS = {
    "PermissionDenied": "The workspace does not let the service see the synced table.",
    "NotFound": "The workspace knows no synced table of the declared name, or hides it from the service.",
    "Unauthenticated": "The workspace does not accept the service's login.",
    "invalid_client": "The workspace does not accept the service's login.",
    "no answer within": "The workspace does not answer in time.",
    "have not ended": "The workspace does not answer in time.",
    "cannot be read": "The workspace answers in a form that is not understood.",
}
OTHER_PROBLEM = "The workspace cannot be asked at present."

# Says how far the synced table of a name is. Raises ``CredentialError``.
Ask = Callable[[str], CopyStatus]


class FreshnessWatch:
    """What is known of each synced table. Safe to share between threads.

    ``names`` are those of Unity Catalog by the names of tables; without ``ask`` nothing can be known. Data
    older than ``late_after`` seconds, of which there is something newer, is warned of. The workers of a
    server share what they know in a folder, so that only one of them asks.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        ask: Ask | None,
        late_after: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._late_after = late_after
        unknown = NOT_ASKED if ask else NO_WORKSPACE
        self._tables = {table: _Watched(table, name, unknown) for table, name in names.items()}
        self._is_due = threading.Event()
        self._is_closed = False

    def open(self, folder: Path) -> None:
        """Begin to watch, with what there is to know in the folder. Call it after the fork."""
        for table in self._tables.values():
            table.file = RenewedFile(folder / f"freshness-{table.table}.json")
        if self._tables and self._ask:
            threading.Thread(target=self._watch, name="freshness", daemon=True).start()

    def close(self) -> None:
        """Ask no more."""
        self._is_closed = True
        self._is_due.set()

    def find(self, table: str) -> Freshness:
        """What is known now, for a read of the table: it is why the workspace is asked again soon."""
        watched = self._tables[table]
        known = watched.known
        if self._clock() - known.asked_at >= INTERVAL and self._ask:
            watched.is_due = True
            self._is_due.set()
        return known

    def recall(self, table: str) -> Freshness:
        """What is known now, and no more."""
        return self._tables[table].known

    def find_version(self, table: str) -> int | None:
        """The version that is known of the table, as ``find`` has it; ``None`` of one that is no copy."""
        return self.find(table).copy.source_version if table in self._tables else None

    def list_known(self) -> Mapping[str, Freshness]:
        """What is known of each table, whichever worker asked, without any being asked again."""
        for table in self._tables.values():
            if table.lock.acquire(blocking=False):
                try:
                    table.look_at_file()
                finally:
                    table.lock.release()
        return {name: table.known for name, table in self._tables.items()}

    def look(self, table: str, oldest: float = INTERVAL) -> Freshness:
        """Ask, if that was done more than ``oldest`` seconds ago and nobody does so; then what is known.

        Takes as long as the workspace may take to answer.
        """
        watched = self._tables[table]
        if self._ask and watched.file and watched.lock.acquire(blocking=False):
            try:
                with watched.file.renewing() as is_ours:
                    watched.look_at_file()
                    if is_ours and self._clock() - watched.known.asked_at >= oldest:
                        self._renew(watched, self._ask)
                        watched.file.write(msgspec.json.encode(watched.known))
            finally:
                watched.lock.release()
        return watched.known

    def _watch(self) -> None:
        while self._is_due.wait() and not self._is_closed:
            self._is_due.clear()
            for name, table in self._tables.items():
                if table.is_due and not self._is_closed:
                    table.is_due = False
                    self.look(name)

    def _renew(self, watched: "_Watched", ask: Ask) -> None:
        asked_at, before = self._clock(), watched.known
        try:
            copy = ask(watched.name).keep(before.copy)
        except CredentialError as error:
            problem = _explain(str(error))
            watched.known = msgspec.structs.replace(before, asked_at=asked_at, problem=problem)
            if problem != before.problem:
                logger.warning("How fresh %s is cannot be told: %s", watched.table, error)
            return
        watched.known = self._judge_age(Freshness(copy, asked_at, datetime.now(UTC)))
        if before.problem and before.asked_at > NOT_ASKED.asked_at:
            logger.info("How fresh %s is can be told again", watched.table)
        _report_age(watched.table, watched.known, was_late=before.is_late)

    def _judge_age(self, known: Freshness) -> Freshness:
        age = known.find_age(datetime.now(UTC))
        if self._late_after is None or age is None or known.is_current is not False:
            return known
        return msgspec.structs.replace(known, is_late=age > self._late_after)


class _Watched:
    """One synced table. ``lock`` is held by who renews what is known."""

    def __init__(self, table: str, name: str, known: Freshness) -> None:
        self.table = table
        self.name = name
        self.known = known
        self.is_due = False
        self.lock = threading.Lock()
        self.file: RenewedFile | None = None

    def look_at_file(self) -> None:
        """Take over what another worker found, unless this one knows better."""
        if self.file and (content := self.file.read()):
            found = msgspec.json.decode(content, type=Freshness)
            if found.asked_at >= self.known.asked_at:
                self.known = found


def _explain(said: str) -> str:
    return next((problem for words, problem in PROBLEMS.items() if words in said), OTHER_PROBLEM)


def _report_age(table: str, known: Freshness, *, was_late: bool) -> None:
    if known.is_late and not was_late:
        logger.warning("The data of %s is of %s: %s", table, known.copy.as_of, known.meaning)
    elif was_late and not known.is_late:
        logger.info("The data of %s is of %s, and not late any more", table, known.copy.as_of)
