"""The walk of an export through the keys of a table: range after range, each as large as it may be."""

import time

from psycopg import errors

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.copy import TooMuch
from lakebase_api.lakebase.dedicated import DedicatedWork, LimitReached
from lakebase_api.lakebase.results import Wait
from lakebase_api.sql.export_chunks import Chunk, Export, ExportChunks, Size
from lakebase_api.table.declaration import Table
from lakebase_api.table.key_text import KeyTexts

# Seconds that a statement may take. For as long as it runs, whoever wants to TRUNCATE the table waits, and
# behind them everybody who wants to read it.
MAX_CHUNK_SECONDS = 5.0
# Two statements that take as long, and what the network takes.
MAX_FETCH_SECONDS = 2 * MAX_CHUNK_SECONDS + 2.0
# The next chunk is made larger or smaller for it to take this many seconds, or have as many bytes.
USUAL_SECONDS = 0.5
USUAL_BYTES = 1_000_000
# How much larger or smaller it is at most, and how much smaller after one that was too large.
STEP = 4
# Small, for the first byte. Of TPC-H's keys eight of 32 are in use.
FIRST_SIZE = Size(keys=8_000, rows=2_000)
MAX_SIZE = Size(keys=2**48, rows=200_000)


class KeyRanges:
    """Fetches the rows of an export in the order of their keys. For one thread.

    Between two fetches no statement runs, and no connection is kept. ``wait`` as for ``copy_rows``.
    """

    def __init__(
        self,
        chunks: ExportChunks,
        export: Export,
        after: KeyTexts | None,
        work: DedicatedWork,
        deadline: float,
        wait: Wait,
    ) -> None:
        self._chunks = chunks
        self._export = export
        self._work = work
        self._deadline = deadline
        self._wait = wait
        self._size = find_first_size(chunks.table)
        self._has_begun = False
        # The key up to which all was fetched; ``None`` before the first.
        self.reached = after
        self.is_complete = False

    def fetch(self) -> list[bytes]:
        """The next rows; it may be none, though there are more behind, and is when the deadline has passed.

        Raises what ``DedicatedWork.read`` does, and what ``wait`` does.
        """
        while time.monotonic() < self._deadline:
            try:
                chunk = self._work.read(self._ask, MAX_FETCH_SECONDS)
            except LimitReached:
                if self._has_begun:
                    break  # the deadline has passed
                raise
            except (errors.QueryCanceled, TooMuch):
                if time.monotonic() >= self._deadline:
                    break
                if min(self._size.keys, self._size.rows) == 1:
                    raise
                self._size = Size(max(1, self._size.keys // STEP), max(1, self._size.rows // STEP))
                continue
            self._has_begun = True
            if chunk is None:
                self.is_complete = True
                break
            self.reached = chunk.reached
            return chunk.rows
        return []

    def _ask(self, connection: Connection) -> Chunk | None:
        began = time.monotonic()
        seconds = min(MAX_CHUNK_SECONDS, self._deadline - began)
        size = self._size
        chunk = self._chunks.fetch(connection, self._export, self.reached, size, seconds, self._wait)
        if chunk is not None:
            self._size = resize_chunk(size, chunk.rows, time.monotonic() - began)
        return chunk


def find_first_size(table: Table) -> Size:
    """The size of the first chunk. Where keys are those of rows, a chunk is of so many rows."""
    return FIRST_SIZE if table.has_integer_key else Size(FIRST_SIZE.rows, MAX_SIZE.rows)


def resize_chunk(size: Size, rows: list[bytes], seconds: float) -> Size:
    """The size of the next chunk, after one of this size gave these rows and took so many seconds."""
    wanted = min(USUAL_SECONDS / seconds, USUAL_BYTES / max(1, sum(map(len, rows))))
    factor = min(max(wanted, 1 / STEP), STEP)
    if len(rows) == size.rows:
        return Size(size.keys, min(max(1, int(size.rows * factor)), MAX_SIZE.rows))
    return Size(min(max(1, int(size.keys * factor)), MAX_SIZE.keys), size.rows)
