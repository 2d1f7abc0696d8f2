"""What the log says at the first connection: whether the connections fit, and the table can be read."""

import logging
import threading

import psycopg
from psycopg import sql

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.lakebase.grants import SETUP_FAULTS, SetupLog, explain_setup_fault
from lakebase_api.settings import Settings

logger = logging.getLogger(__name__)

COUNT_CONNECTIONS = """
SELECT current_setting('max_connections')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
"""
READ_NOTHING = "SELECT FROM {table} LIMIT 0"


class BootReport:
    """Logs its lines once, at the first connection of a worker. Safe to share between threads."""

    def __init__(self, settings: Settings, setup: SetupLog) -> None:
        self._settings = settings
        self._setup = setup
        self._first = threading.Lock()

    def log(self, connection: Connection) -> None:
        """Log the report, unless it was logged already."""
        if self._first.acquire(blocking=False):
            try:
                self._log_budget(connection)
                self._log_table(connection)
            except psycopg.Error as error:
                logger.warning("The boot report was cut short: %s", error)

    def _log_budget(self, connection: Connection) -> None:
        [(most, used)] = connection.execute(COUNT_CONNECTIONS).fetchall()
        settings = self._settings
        per_worker = settings.pool_size + settings.pool_max_overflow
        wanted = settings.workers * per_worker
        level = logging.WARNING if wanted > most - used else logging.INFO
        logger.log(
            level,
            "Connections: %d workers x %d = %d at most; the database allows %d, of which %d are in use now",
            settings.workers,
            per_worker,
            wanted,
            most,
            used,
        )

    def _log_table(self, connection: Connection) -> None:
        schema, table = self._settings.schema, self._settings.table
        try:
            connection.execute(sql.SQL(READ_NOTHING).format(table=sql.Identifier(schema, table)))
        except SETUP_FAULTS as error:
            self._setup.note(error)
            logger.error("%s", explain_setup_fault(error, schema, table, connection.info.user))
