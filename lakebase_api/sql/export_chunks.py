"""The rows of exports, chunk by chunk: a range of keys at a time."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.copy import TooMuch, copy_rows
from lakebase_api.lakebase.results import Wait
from lakebase_api.lakebase.setup_faults import KeyNotUnique
from lakebase_api.lakebase.statements import execute
from lakebase_api.sql.copy_sql import Form, compose_copy, compose_values
from lakebase_api.sql.key_bounds import set_range
from lakebase_api.sql.overlay import Overlay
from lakebase_api.sql.predicates import Predicates
from lakebase_api.table.declaration import Table
from lakebase_api.table.key_text import KeyTexts

# What a chunk may hold in memory; a chunk of more is asked for in smaller ones.
MAX_BYTES = 8_000_000
# What a statement is given at the least: the first one of whoever has the connection next begins under it.
MIN_MILLISECONDS = 50

# Rows that may have come in between since others were counted. Without a limit PostgreSQL would not know how
# few rows are in a range of several columns, of which it knows the first alone.
ROOM = 1000

SET_TIMEOUT = b"SELECT set_config('statement_timeout', $1, false)"
# A cell of CSV with the comma behind it.
CELL = rb'(?:"(?:[^"]|"")*+"|[^",\n]*),'


@dataclass(frozen=True)
class Export:
    """What is exported: which rows, and what they look like. Immutable.

    ``tells_cursor``: whether a last line says where to go on.
    """

    which: Predicates
    form: Form
    tells_cursor: bool = False


@dataclass(frozen=True)
class Size:
    """How much is asked for at a time: so many keys, of which not all need be there, and rows at most."""

    keys: int
    rows: int


@dataclass(frozen=True)
class Chunk:
    """Rows with their line ends, and the key up to which there are no others."""

    rows: list[bytes]
    reached: KeyTexts


class ExportChunks:
    """The rows of exports of a table. Safe to share between threads."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    @property
    def table(self) -> Table:
        """The declared table."""
        return self._overlay.table

    def begin(self, connection: Connection, which: Predicates, seconds: float) -> None:
        """Make a connection ready for the chunks of these rows; a statement may take so many seconds.

        Raises psycopg's errors.
        """
        execute(connection, SET_TIMEOUT, (str(round(seconds * 1000)),))
        if which.values:
            execute(connection, compose_values(self._overlay.source, which.shape), which.parameters)

    def fetch(
        self,
        connection: Connection,
        export: Export,
        after: KeyTexts | None,
        size: Size,
        seconds: float,
        wait: Wait,
    ) -> Chunk | None:
        """The next rows after a key, or from the first on; ``None`` if there are no more.

        A statement may take so many seconds. ``wait`` as for ``copy_rows``. Raises ``KeyNotUnique``,
        ``TooMuch`` and psycopg's errors.
        """
        source, milliseconds = (
            self._overlay.find_source(connection),
            max(MIN_MILLISECONDS, round(seconds * 1000)),
        )
        # One row more than wanted, to see whether there is one.
        limit = size.rows + 1 if self.table.has_integer_key else size.keys + ROOM
        last = set_range(connection, source, after, size.keys, limit, milliseconds, wait)
        if last is None:
            return None
        rows = copy_rows(connection, compose_copy(source, export.which.shape, export.form), MAX_BYTES, wait)
        if len(rows) < limit:
            return Chunk(rows, last)
        if not self.table.has_integer_key:
            raise TooMuch
        beyond, reached = (find_key(row, self.table, export.form) for row in (rows.pop(), rows[-1]))
        if beyond == reached:
            raise KeyNotUnique(f"{self.table.key_names[0]} {reached[0]} is there more than once")
        return Chunk(rows, reached)


def find_key(row: bytes, table: Table, form: Form) -> KeyTexts:
    """The key of a row in JSON; in CSV, of a table whose key is a whole number."""
    if form.is_csv:
        [key] = table.key_names
        found = re.match(CELL * form.fields.index(key) + rb"(-?[0-9]+)", row)
        assert found
        return (found[1].decode(),)
    return _build_decoder(table)(row)


@lru_cache(256)
def _build_decoder(table: Table) -> Callable[[bytes], KeyTexts]:
    """What reads the key of a row in JSON, and nothing else of it. A number of a key may be a text."""
    parts = [
        (f"key{place}", int | str, msgspec.field(name=name)) for place, name in enumerate(table.key_names)
    ]
    decode = msgspec.json.Decoder(msgspec.defstruct("Key", parts)).decode
    return lambda row: tuple(map(str, msgspec.structs.astuple(decode(row))))
