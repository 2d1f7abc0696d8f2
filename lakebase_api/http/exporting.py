"""Exports under way: the bytes of their answers, how they end, and what the log says of them."""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Self

from lakebase_api.http.hang_up import ClientGone, CutShort, build_wait
from lakebase_api.http.json_response import ENCODER, spell_great
from lakebase_api.http.problems import log_fault
from lakebase_api.lakebase.dedicated import DedicatedConnections, LimitReached
from lakebase_api.sql import key_ranges
from lakebase_api.sql.export_chunks import Export, ExportChunks, find_key
from lakebase_api.sql.key_ranges import KeyRanges
from lakebase_api.table.key_text import KeyTexts, spell_cursor
from lakebase_api.telemetry.exports_under_way import ExportsUnderWay

logger = logging.getLogger(__name__)

# Bytes that are sent at a time: each time a client has CLIENT_TIMEOUT to take them.
PIECE_BYTES = 128 * 1024


class Ending(StrEnum):
    """How an export ended."""

    COMPLETE = "complete"
    TIME_LIMIT = "the time limit"
    STOPPING = "the service stops"
    CLIENT_GONE = "the client is gone"
    LIMIT_REACHED = "no connection was free"
    FAULT = "a fault"


class Unfinished(Exception):
    """There was no row up to the key ``reached``, if any was, when the export had to end."""

    def __init__(self, reached: KeyTexts | None) -> None:
        super().__init__(reached)
        self.reached = reached


@dataclass(frozen=True)
class Caller:
    """For whom an export is made, until ``deadline`` by ``time.monotonic()``.

    ``client`` is the descriptor of the client's socket, where there is one. ``find_version`` gives the
    version of a synced table's source that is there, as far as known. ``record_end`` is called once it has
    ended, with how, and the rows and bytes that were sent.
    """

    flow: str
    subject: str
    operation: str
    request_id: str
    trace_id: str
    deadline: float
    # How far a replica must be that is read; ``None``: none may be.
    reads_after: str | None
    client: int | None
    find_version: Callable[[], int | None]
    record_end: Callable[[str, int, int], None]


class Exports:
    """Begins exports. Safe to share between threads.

    ``is_stopping`` says whether the process is about to end, which ends exports.
    """

    def __init__(
        self,
        dedicated: DedicatedConnections,
        chunks: ExportChunks,
        under_way: ExportsUnderWay,
        is_stopping: Callable[[], bool],
    ) -> None:
        self.dedicated = dedicated
        self.chunks = chunks
        self.under_way = under_way
        self.is_stopping = is_stopping

    def begin(self, export: Export, after: KeyTexts | None, header: bytes, caller: Caller) -> "RunningExport":
        """The export of the rows after a key, or of all, once its first rows are there; to be closed.

        Raises ``LimitReached``, ``Unfinished``, ``ClientGone``, and what ``DedicatedWork.read`` does.
        """
        running = RunningExport(self, export, after, header, caller)
        try:
            running.find_first()
        except ClientGone:
            running.close()
            raise
        except LimitReached:
            running.close(Ending.LIMIT_REACHED)
            raise
        except BaseException:
            running.close(Ending.FAULT)
            raise
        return running


class RunningExport:
    """The bytes of an export, for one thread.

    Closing it before its end cancels what the database does for it. Going on raises ``CutShort`` when that is
    not possible, and ``ClientGone``.
    """

    def __init__(
        self, exports: Exports, export: Export, after: KeyTexts | None, header: bytes, caller: Caller
    ) -> None:
        self._export = export
        self._table = exports.chunks.table
        self._after = after
        self._header = header
        self._deadline = caller.deadline
        self._find_version = caller.find_version
        self._record_end = caller.record_end
        self._is_stopping = exports.is_stopping
        self._extra = {"request_id": caller.request_id, "trace_id": caller.trace_id}
        self._began = time.monotonic()
        self._ending: Ending | None = None
        self._is_closed = False
        self._bytes = 0
        self._first: list[bytes] = []
        self._held = ExitStack()
        prepare = partial(exports.chunks.begin, which=export.which, seconds=key_ranges.MAX_CHUNK_SECONDS)
        self.work = self._held.enter_context(
            exports.dedicated.begin(
                caller.flow,
                self._table.name,
                prepare,
                caller.deadline,
                caller.operation,
                caller.request_id,
                caller.reads_after,
            )
        )
        self._progress = self._held.enter_context(
            exports.under_way.track(self._table.name, caller.subject, caller.request_id)
        )
        wait = build_wait(caller.client)
        self._walk = KeyRanges(exports.chunks, export, after, self.work, caller.deadline, wait)
        self._pieces = self._send()

    def find_first(self) -> None:
        """Fetch the first rows; if there are none, look on to the end of the table."""
        self._first = self._walk.fetch()
        while not self._first and not self._is_over():
            self._first = self._walk.fetch()
        # Where no cursor is told, an answer without rows would say that there are none.
        is_told = self._export.tells_cursor and self._walk.reached != self._after
        if not self._first and not self._walk.is_complete and not is_told:
            raise Unfinished(self._walk.reached)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except (StopIteration, ClientGone):
            raise
        except Exception as error:
            self.close(Ending.FAULT)
            self._log_fault(error)
            raise CutShort from error
        self._bytes += len(piece)
        return piece

    def close(self, ending: Ending = Ending.CLIENT_GONE) -> None:
        """End it, and say in the log how it went: by ``ending`` if not otherwise. Again does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._pieces.close()
        self._held.close()
        logger.info(
            "Export: %d rows, %d bytes in %.1f s: %s",
            self._progress.rows,
            self._bytes,
            time.monotonic() - self._began,
            self._ending or ending,
            extra=self._extra,
        )
        self._record_end(self._ending or ending, self._progress.rows, self._bytes)

    def _log_fault(self, error: Exception) -> None:
        """Say why the answer is cut short: its line among the requests has the status it began with."""
        log_fault(error, "Export", extra=self._extra)
        logger.error(
            "Request: GET /%s/export - cut short after %.1fms, %d rows, status=200",
            self._table.name,
            (time.monotonic() - self._began) * 1000,
            self._progress.rows,
            extra=self._extra,
        )

    def _send(self) -> Generator[bytes, None, None]:
        yield self._header
        rows, self._first = self._first, []
        while True:
            for piece in split(rows):
                self._progress.rows += len(piece)
                yield b"".join(piece)
                if self._is_over() and piece[-1] is not rows[-1]:
                    yield from self._tell_cursor(piece[-1])
                    return
            if self._is_over():
                yield from self._tell_cursor(None)
                return
            # For the end to be told, it has to be asked for while the export goes on.
            self._find_version()
            rows = self._walk.fetch()

    def _is_over(self) -> bool:
        if self._walk.is_complete:
            self._ending = Ending.COMPLETE
        elif time.monotonic() >= self._deadline:
            self._ending = Ending.TIME_LIMIT
        elif self._is_stopping():
            self._ending = Ending.STOPPING
        return self._ending is not None

    def _tell_cursor(self, last: bytes | None) -> Iterator[bytes]:
        """The line that says where to go on: behind the ``last`` row, or behind all that was fetched."""
        if not self._export.tells_cursor:
            return
        table, key = self._table, self._walk.reached
        if last is not None:
            key = find_key(last, table, self._export.form)
        is_end = key is None or (last is None and self._walk.is_complete)
        cursor = None if is_end or key is None else spell_great(spell_cursor(table, key))
        version = self._find_version()
        known = {} if version is None else {"data_version": version}
        yield ENCODER.encode({"next_cursor": cursor, **known}) + b"\n"


def split(rows: list[bytes]) -> Iterator[list[bytes]]:
    """The rows in pieces of about ``PIECE_BYTES`` bytes."""
    size = max(1, PIECE_BYTES * len(rows) // max(1, sum(map(len, rows))))
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]
