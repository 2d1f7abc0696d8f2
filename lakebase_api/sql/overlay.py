"""Whether the changes of declared tables are kept beside them by now: found or made at the first connect."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence

import psycopg

from lakebase_api.lakebase.connection import Connection, is_to_replica
from lakebase_api.lakebase.database import NotRead
from lakebase_api.lakebase.failures import first_line
from lakebase_api.sql.overlay_names import name_changes, name_history
from lakebase_api.sql.overlay_state import (
    Found,
    find_lacking,
    find_other_types,
    find_tables,
    has_circumstances,
    is_complete,
    read_version,
)
from lakebase_api.sql.overlay_tables import MIGRATIONS, set_up
from lakebase_api.sql.source import Source
from lakebase_api.table.declaration import Table, Writes

logger = logging.getLogger(__name__)

# Seconds after which tables that were not there are looked for again, with the next request: for as long
# reads of this process may not show a change for which another one has made them.
INTERVAL = 1.0


class Overlay:
    """The tables that keep the changes of one declared table. Safe to share between threads."""

    def __init__(self, table: Table, schema: str) -> None:
        self.table = table
        self.schema = schema
        # Whether the table of changes is there, and those of the history and of idempotency keys.
        self.is_there = self.has_history = False
        # Whether the history has what earlier releases did not write.
        self.has_circumstances = False
        # The columns that are kept in another type than declared, and in which.
        self.other_types: Mapping[str, str] = {}
        self._without = Source(table)
        # What is to be changed is named even while it is not there.
        self.target = Source(table, schema) if table.has_overlay else self._without
        self._source = self._without
        self._partial: dict[frozenset[str], Source] = {frozenset(): self.target}
        self._look_at = float("-inf") if table.changeable else float("inf")

    @property
    def source(self) -> Source:
        """The table as statements are to read it now."""
        return self._source

    def find_source(self, connection: Connection) -> Source:
        """As ``source``, after looking where that is not known, or has to be done again.

        Raises ``NotRead`` where a replica would be looked at, which may not show yet what is there, and
        psycopg's errors.
        """
        if time.monotonic() >= self._look_at:
            if is_to_replica(connection):
                raise NotRead
            self.look(connection)
        return self._source

    def look(self, connection: Connection) -> None:
        """Look what there is. Raises psycopg's errors."""
        self.note(find_tables(connection, self.schema, [self.table]))

    def is_complete(self, connection: Connection) -> bool:
        """Whether everything that changes need is there, after looking. Raises psycopg's errors."""
        self.look(connection)
        return self._look_at == float("inf")

    def make(self, connection: Connection) -> None:
        """Make what is lacking for changes to be made. Raises psycopg's errors."""
        set_up(connection, self.schema, [self.table])
        self.look(connection)

    def note(self, found: Found) -> None:
        """Take over what was found."""
        if not self.table.changeable:
            return
        lacking = frozenset(find_lacking(found, self.table))
        self.is_there = name_changes(self.table) in found
        self.has_history = name_history(self.table) in found
        self.has_circumstances = has_circumstances(found, self.table)
        self.other_types = find_other_types(found, self.table)
        self._source = self._find_source(lacking) if self.is_there else self._without
        is_current = is_complete(found, [self.table])
        self._look_at = float("inf") if is_current else time.monotonic() + INTERVAL

    def _find_source(self, lacking: frozenset[str]) -> Source:
        if not self.table.has_overlay:
            return self._without
        # One object for each, since statements are composed once for each.
        return self._partial.setdefault(lacking, Source(self.table, self.schema, lacking))


class Overlays:
    """The overlay of each declared table. Safe to share between threads."""

    def __init__(self, tables: Sequence[Table], schema: str) -> None:
        self.schema = schema
        self.by_table: Mapping[Table, Overlay] = {table: Overlay(table, schema) for table in tables}
        self._first = threading.Lock()
        self._was_first = False

    def find_or_make(self, connection: Connection) -> None:
        """At the first connection look for the tables, and make those that may be written to.

        Others wait meanwhile: what they read could lack changes. What goes wrong is only logged: it is looked
        again when there is a request.
        """
        with self._first:
            if self._was_first:
                return
            self._was_first = True
            try:
                self._find_or_make(connection)
            except psycopg.errors.InsufficientPrivilege:
                pass  # the report of what is not set up says what is missing
            except psycopg.Error as error:
                logger.warning("The tables that keep changes were not made: %s", first_line(error))

    def _find_or_make(self, connection: Connection) -> None:
        changeable = [table for table in self.by_table if table.changeable]
        if not changeable:
            return
        found = self._look(connection, changeable)
        # A person, whose role on Lakebase is an e-mail address, would own what is the app's: when they change
        # something it is made all the same.
        is_person = "@" in connection.info.user
        wanted = [] if is_person else [table for table in changeable if table.writes is not Writes.OFF]
        if wanted and not self._is_current(connection, found, wanted):
            set_up(connection, self.schema, wanted)
            self._look(connection, changeable)

    def _look(self, connection: Connection, tables: Sequence[Table]) -> Found:
        found = find_tables(connection, self.schema, tables)
        for table in tables:
            self.by_table[table].note(found)
        return found

    def _is_current(self, connection: Connection, found: Found, tables: Sequence[Table]) -> bool:
        if not is_complete(found, tables):
            return False
        version = read_version(connection, self.schema)
        return version is None or version >= len(MIGRATIONS)
