"""Clients on kept connections, counting every way in which a request can end, from a thread of their own."""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from tests.waiting import PATIENCE

HOST = "127.0.0.1"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
PROBLEM = re.compile(rb'"/problems/([a-z-]+)"')
# Seconds before a client whose connection failed tries again.
PAUSE_AFTER_ERROR = 0.02
OK = "200"


@dataclass(frozen=True)
class Sample:
    """One request: when it was sent, by ``time.monotonic()``, how long until its last byte, how it ended.

    ``outcome`` is the status, with the kind of a problem, or the name of the error of the connection.
    """

    sent: float
    seconds: float
    outcome: str

    @property
    def ended(self) -> float:
        """When its last byte came."""
        return self.sent + self.seconds


def get(path: str, **headers: str) -> bytes:
    """A GET request."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def post(path: str, json: str) -> bytes:
    """A POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(json)}\r\n\r\n{json}".encode()


class Client:
    """A connection that is opened when it is needed and kept as long as the server lets it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        # What the last answer asked for, in seconds.
        self.retry_after = 0

    async def ask(self, request: bytes, sent: float) -> Sample:
        """How a request that was due at ``sent`` ends."""
        try:
            async with asyncio.timeout(PATIENCE):
                outcome = await self._exchange(request)
        except (OSError, EOFError) as error:
            outcome = type(error).__name__
            self.close()
        return Sample(sent, time.monotonic() - sent, outcome)

    def close(self) -> None:
        """Drop the connection."""
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None

    async def _exchange(self, request: bytes) -> str:
        self._streams = self._streams or await asyncio.open_connection(HOST, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length, head
        body = await reader.readexactly(int(length[1]))
        if b"\r\nconnection: close" in head.lower():
            self.close()
        retry_after = RETRY_AFTER.search(head)
        self.retry_after = int(retry_after[1]) if retry_after else 0
        kind = PROBLEM.search(body) if head[9:10] != b"2" else None
        return (head[9:12] + (b" " + kind[1] if kind else b"")).decode()


class Load:
    """Clients that each ask again when they have their answer, for as long as the ``with`` block lasts.

    ``request`` makes the bytes of each request; after an answer a client pauses for ``pause`` seconds,
    and if it ``is_patient`` for as long as ``Retry-After`` says. On leaving, what is under way is waited
    for. The other methods may be called from any thread.
    """

    def __init__(
        self,
        port: int,
        request: Callable[[], bytes],
        *,
        clients: int = 1,
        pause: float = 0.0,
        is_patient: bool = False,
    ) -> None:
        self._port = port
        self._request = request
        self._pause = pause
        self._is_patient = is_patient
        self._changed = threading.Condition()
        self._samples: list[list[Sample]] = [[] for _ in range(clients)]
        self._is_ending = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_ending = True
        self._thread.join()

    @property
    def samples(self) -> list[Sample]:
        """Every request answered so far, in the order in which they were sent."""
        with self._changed:
            return sorted((one for each in self._samples for one in each), key=lambda sample: sample.sent)

    def failures(self) -> dict[str, int]:
        """How many requests ended otherwise than with 200, by outcome."""
        return count_failures(self.samples)

    def wait_for_each(self, n: int) -> None:
        """Wait until each client has had ``n`` more answers with 200. Raises ``TimeoutError``."""
        now = time.monotonic()

        def have() -> bool:
            return all(_count_since(samples, now, n) for samples in self._samples)

        with self._changed:
            if not self._changed.wait_for(have, PATIENCE):
                raise TimeoutError(f"no answers; outcomes so far: {self.failures()}")

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for samples in self._samples:
                tasks.create_task(self._ask_on(samples))

    async def _ask_on(self, samples: list[Sample]) -> None:
        client = Client(self._port)
        while not self._is_ending:
            sample = await client.ask(self._request(), time.monotonic())
            with self._changed:
                samples.append(sample)
                self._changed.notify_all()
            pause = self._pause if sample.outcome[0].isdigit() else PAUSE_AFTER_ERROR
            if self._is_patient:
                pause = max(pause, client.retry_after)
            if pause:
                await asyncio.sleep(pause)
        client.close()


def count_failures(samples: Iterable[Sample]) -> dict[str, int]:
    """How many ended otherwise than with 200, by outcome."""
    return dict(Counter(sample.outcome for sample in samples if sample.outcome != OK))


def _count_since(samples: list[Sample], moment: float, n: int) -> bool:
    """Whether the last ``n`` requests were sent after the moment and answered with 200."""
    last = samples[-n:]
    return len(last) == n and all(sample.sent >= moment and sample.outcome == OK for sample in last)
