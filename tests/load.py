"""Clients that ask again and again, each on a connection of its own that it keeps: a closed loop."""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

HOST = "127.0.0.1"
# Seconds after which an answer is given up, so that a fault is an error and not a hang.
PATIENCE = 60
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
# Seconds before a client whose connection failed tries again.
PAUSE_AFTER_ERROR = 0.02
OK = "200"


@dataclass(frozen=True)
class Sample:
    """One request: when it was sent, by ``time.monotonic()``, how long until its last byte, how it ended."""

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


class Load:
    """Clients in a thread of their own, for as long as the ``with`` block lasts.

    ``request`` makes the bytes of each request; after an answer a client pauses for ``pause`` seconds.
    An outcome is the status, or the name of the error of a connection. On leaving, what is under way is
    waited for. The other methods may be called from any thread.
    """

    def __init__(
        self, port: int, request: Callable[[], bytes], *, clients: int = 1, pause: float = 0.0
    ) -> None:
        self._port = port
        self._request = request
        self._pause = pause
        self._changed = threading.Condition()
        self._samples: list[list[Sample]] = [[] for _ in range(clients)]
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="load")

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
        return dict(Counter(sample.outcome for sample in self.samples if sample.outcome != OK))

    def wait_for_each(self, n: int) -> None:
        """Wait until each client has had ``n`` more answers with 200. Raises ``TimeoutError``."""
        now = time.monotonic()

        def have() -> bool:
            return all(_count_since(samples, now, n) for samples in self._samples)

        with self._changed:
            if not self._changed.wait_for(have, PATIENCE):
                raise TimeoutError(f"no answers; outcomes so far: {self.failures()}")

    def _run(self) -> None:
        asyncio.run(self._serve_clients())

    async def _serve_clients(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for samples in self._samples:
                tasks.create_task(self._ask_on(samples))

    async def _ask_on(self, samples: list[Sample]) -> None:
        client = _Client(self._port)
        while not self._is_ending:
            sent = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    outcome = await client.ask(self._request())
            except (OSError, EOFError) as error:
                outcome = type(error).__name__
                client.close()
            with self._changed:
                samples.append(Sample(sent, time.monotonic() - sent, outcome))
                self._changed.notify_all()
            if pause := self._pause if outcome.isdigit() else PAUSE_AFTER_ERROR:
                await asyncio.sleep(pause)
        client.close()


class _Client:
    """A connection that is opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> str:
        """The status of the answer, all of which has come. Raises ``OSError`` or ``EOFError``."""
        self._streams = self._streams or await asyncio.open_connection(HOST, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length, head
        await reader.readexactly(int(length[1]))
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return head[9:12].decode()

    def close(self) -> None:
        """Drop the connection."""
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None


def _count_since(samples: list[Sample], moment: float, n: int) -> bool:
    """Whether the last ``n`` requests were sent after the moment and answered with 200."""
    last = samples[-n:]
    return len(last) == n and all(sample.sent >= moment and sample.outcome == OK for sample in last)
