"""The database as one declared table is read and changed in it."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
from psycopg import errors

from lakebase_api.lakebase.caller import Caller
from lakebase_api.lakebase.connection import Connection, is_to_replica
from lakebase_api.lakebase.database import Database
from lakebase_api.sql.change_request import ValueNotTaken
from lakebase_api.sql.overlay import Overlay
from lakebase_api.sql.source import Source, narrow
from lakebase_api.table.declaration import Table

P = ParamSpec("P")
T = TypeVar("T")

# Where an error says that it is of a parameter, in whichever language: of a value that a column cannot have
# whose type is narrower than is declared.
PARAMETER = re.compile(r"\$[0-9]")

Query = Callable[Concatenate[Connection, Source, P], T]


class TableDatabase:
    """Runs queries on a declared table, which are refused while it is not as declared. Thread-safe.

    A query gets a connection, the table as it is to be read now, and what else it was called with; it may be
    called again. Each method raises as the one of ``Database`` with its name, and ``ValueNotTaken``.
    ``table`` is the declared one, or as it is to callers who do not see all of its columns.
    """

    def __init__(self, database: Database, overlay: Overlay, table: Table | None = None) -> None:
        self._database = database.for_table(overlay.table.name)
        self.overlay = overlay
        self.table = table or overlay.table

    @property
    def target(self) -> Source:
        """The table as it is changed, even while the tables for that are not there."""
        return narrow(self.overlay.target, self.table)

    def read(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the query."""
        return self._database.read(self._bind(query, *args, **kwargs))

    def read_for(self, caller: Caller, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``read``, on behalf of somebody else than the current thread's caller."""
        return self._database.read_for(caller, self._bind(query, *args, **kwargs))

    def read_long(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``read``, for a statement that may go through the whole table: few of those run at once."""
        return self._database.read_long(self._bind(query, *args, **kwargs))

    def wait_long(self, deadline: float) -> AbstractContextManager[None]:
        """Count as one who waits for what may take long, as few may."""
        return self._database.wait_long(deadline)

    def write(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``read``, but a query that may have reached the server is not tried again."""
        return self._database.write(self._bind(query, *args, **kwargs))

    def write_repeatably(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``read``, for a write that does nothing when it was done already."""
        return self._database.write_repeatably(self._bind(query, *args, **kwargs))

    def _bind(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[Connection], T]:
        def run(connection: Connection) -> T:
            source = self.overlay.find_source(connection)
            try:
                return query(connection, narrow(source, self.table), *args, **kwargs)
            except psycopg.DataError as error:
                if PARAMETER.search(error.diag.context or ""):
                    raise ValueNotTaken from error
                raise
            except (errors.UndefinedTable, errors.UndefinedColumn):
                if is_to_replica(connection):
                    raise
                # Unless somebody removed the tables of changes.
                self.overlay.look(connection)
                if self.overlay.source is source:
                    raise
            return query(connection, narrow(self.overlay.source, self.table), *args, **kwargs)

        return run
