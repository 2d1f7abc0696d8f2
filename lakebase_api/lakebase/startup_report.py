"""What the log says at the first connection: whether the connections fit, and the database is set up."""

import logging
import threading

import psycopg

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.findings import CONNECTIONS, Blocks, Check, State
from lakebase_api.lakebase.setup_logs import SetupLogs

logger = logging.getLogger(__name__)


class BootReport:
    """Logs its lines once, at the first connection of a worker. Safe to share between threads."""

    def __init__(self, setups: SetupLogs) -> None:
        self._setups = setups
        self._first = threading.Lock()

    def log(self, connection: Connection) -> None:
        """Log the report, unless it was logged already."""
        if self._first.acquire(blocking=False):
            try:
                for check in self._setups.examine(connection):
                    _log_check(check)
            except (psycopg.Error, ValueError, LookupError) as error:
                logger.warning("The boot report was cut short: %s", error)


def _log_check(check: Check) -> None:
    is_wrong = check.state is State.FAILED
    if check.name == CONNECTIONS:
        logger.log(logging.WARNING if is_wrong else logging.INFO, "Connections: %s", check.says)
    elif is_wrong:
        level = logging.WARNING if check.blocks is Blocks.NOTHING else logging.ERROR
        logger.log(level, "Not set up: %s", check.line)
