"""Databases that tests of this folder open, and what they ask of them."""

import time
from collections.abc import Callable

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.database import Database
from lakebase_api.lakebase.pool import DatabaseUnavailable, Pool
from lakebase_api.lakebase.setup_faults import SetupLog
from lakebase_api.lakebase.target import Target
from lakebase_api.settings import Settings
from tests.waiting import PATIENCE


class Request:
    """On whose behalf the queries of a test run."""

    def __init__(
        self, seconds: float = 10 * PATIENCE, flow: str = "ann", operation: str = "", request_id: str = ""
    ) -> None:
        self.flow, self.operation, self.request_id = flow, operation, request_id
        self.deadline = time.monotonic() + seconds
        self.reads_after: str | None = None
        self.uses: list[tuple[float, float]] = []

    def note_server(self, server: str) -> None:
        """There is one only."""

    def note_commit(self, position: str) -> None:
        """There is no replica."""

    def record_use(self, waited: float, held: float) -> None:
        self.uses.append((waited, held))


def connect(
    settings: Settings,
    request: Request | None = None,
    greet: Callable[[Connection], None] | None = None,
    setup: SetupLog | None = None,
) -> Database:
    caller = request or Request()
    pool = Pool(settings, Target(settings), greet or (lambda connection: None))
    return Database(settings, pool, setup or SetupLog(lambda connection: []), lambda: caller)


def can_read(database: Database) -> bool:
    """Whether the first connection is there, which may take longer than a request waits."""
    try:
        database.read(ask("SELECT 1"))
    except DatabaseUnavailable:
        return False
    return True


def ask(statement: str) -> Callable[[Connection], object]:
    """The query of a statement's one value."""

    def run(connection: Connection) -> object:
        [(value,)] = connection.execute(statement.encode()).fetchall()
        return value

    return run
