"""Exports under way: the bytes of their answers, how they end, and what the log says of them."""

import errno
import logging
import select
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from lakebase_api.lakebase.apart import AllInUse, ConnectionsApart
from lakebase_api.lakebase.results import Wait
from lakebase_api.orders.export import walk as export_walk
from lakebase_api.orders.export.chunks import Export, ExportChunks, find_key
from lakebase_api.orders.export.walk import ExportWalk
from lakebase_api.web.answers import ENCODER, spell_great
from lakebase_api.web.problems import DATABASE_PROBLEMS

logger = logging.getLogger(__name__)

# Bytes that are sent at a time: each time a client has CLIENT_TIMEOUT to take them.
PIECE = 128 * 1024

# Linux alone says that only the other side has closed; elsewhere that is a hang-up.
HANGUP = getattr(select, "POLLRDHUP", 0)


class Ending(StrEnum):
    """How an export ended."""

    COMPLETE = "complete"
    TIME_LIMIT = "the time limit"
    STOPPING = "the service stops"
    CLIENT_GONE = "the client is gone"
    ALL_IN_USE = "no connection was free"
    FAULT = "a fault"


class CutShort(BrokenPipeError):
    """An answer cannot go on, and the log says why.

    gunicorn then closes the connection as if the client had, before the end of the body: the client sees it.
    """

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "cut short")


class ClientGone(CutShort):
    """Nobody waits for the answer any more."""


class Unfinished(Exception):
    """There was no row up to the key ``reached``, if any was, when the export had to end."""

    def __init__(self, reached: int | None) -> None:
        super().__init__(reached)
        self.reached = reached


@dataclass(frozen=True)
class Caller:
    """For whom an export is made, until ``deadline`` by ``time.monotonic()``.

    ``client`` is the descriptor of the client's socket, where there is one.
    """

    request_id: str
    deadline: float
    client: int | None


class Exports:
    """Begins exports. Safe to share between threads.

    ``is_stopping`` says whether the process is about to end, which ends exports.
    """

    def __init__(
        self, apart: ConnectionsApart, chunks: ExportChunks, is_stopping: Callable[[], bool]
    ) -> None:
        self.apart = apart
        self.chunks = chunks
        self.is_stopping = is_stopping

    def begin(self, export: Export, after: int | None, header: bytes, caller: Caller) -> "RunningExport":
        """The export of the orders after a key, or of all, once its first rows are there; to be closed.

        Raises ``AllInUse``, ``Unfinished``, ``ClientGone``, and what ``WorkApart.read`` does.
        """
        running = RunningExport(self, export, after, header, caller)
        try:
            running.find_first()
        except ClientGone:
            running.close()
            raise
        except AllInUse:
            running.close(Ending.ALL_IN_USE)
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
        self, exports: Exports, export: Export, after: int | None, header: bytes, caller: Caller
    ) -> None:
        self._export = export
        self._after = after
        self._header = header
        self._deadline = caller.deadline
        self._is_stopping = exports.is_stopping
        self._extra = {"request_id": caller.request_id}
        self._began = time.monotonic()
        self._ending: Ending | None = None
        self._is_closed = False
        self._rows = self._bytes = 0
        self._first: list[bytes] = []
        self._held = ExitStack()
        self.work = self._held.enter_context(
            exports.apart.begin(
                "orders",
                lambda connection: exports.chunks.begin(connection, export.which, export_walk.LONGEST_CHUNK),
                caller.deadline,
            )
        )
        wait = build_wait(caller.client)
        self._walk = ExportWalk(exports.chunks, export, after, self.work, caller.deadline, wait)
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
            is_bug = not isinstance(error, tuple(DATABASE_PROBLEMS))
            logger.warning("Export: %s: %s", type(error).__name__, error, extra=self._extra, exc_info=is_bug)
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
            self._rows,
            self._bytes,
            time.monotonic() - self._began,
            self._ending or ending,
            extra=self._extra,
        )

    def _send(self) -> Generator[bytes, None, None]:
        yield self._header
        rows, self._first = self._first, []
        while True:
            for piece in split(rows):
                self._rows += len(piece)
                yield b"".join(piece)
                if self._is_over() and piece[-1] is not rows[-1]:
                    yield from self._tell_cursor(find_key(piece[-1], self._export))
                    return
            if self._is_over():
                yield from self._tell_cursor(None if self._walk.is_complete else self._walk.reached)
                return
            rows = self._walk.fetch()

    def _is_over(self) -> bool:
        if self._walk.is_complete:
            self._ending = Ending.COMPLETE
        elif time.monotonic() >= self._deadline:
            self._ending = Ending.TIME_LIMIT
        elif self._is_stopping():
            self._ending = Ending.STOPPING
        return self._ending is not None

    def _tell_cursor(self, cursor: int | None) -> Iterator[bytes]:
        if self._export.tells_cursor:
            yield ENCODER.encode({"next_cursor": spell_great(cursor)}) + b"\n"


def split(rows: list[bytes]) -> Iterator[list[bytes]]:
    """The rows in pieces of about ``PIECE`` bytes."""
    size = max(1, PIECE * len(rows) // max(1, sum(map(len, rows))))
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


def build_wait(client: int | None) -> Wait:
    """What waits until there is something to read at a descriptor; raises ``ClientGone`` instead."""

    def wait(descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if client is not None:
            poll.register(client, HANGUP)
        if any(found == client for found, _ in poll.poll()):
            raise ClientGone

    return wait
