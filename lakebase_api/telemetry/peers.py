"""Lets each worker of a server tell the others how it is doing: without a request, nothing runs."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

logger = logging.getLogger(__name__)

# Seconds for a worker to say how it is: one that is stopped or starved does not hold up the others.
PATIENCE = 1.0
PIECE_BYTES = 1 << 16
# What a worker says of itself, as JSON would have it.
State = Mapping[str, Any]


class Peers:
    """The workers of one server, by their numbers. Safe to share between threads once open.

    Each listens on a socket in the folder that they share, and answers with what ``describe`` gives, which is
    ``subject``. The file of a worker that was killed is taken over by the next one of its number.
    """

    def __init__(self, describe: Callable[[], State], subject: str = "worker") -> None:
        self._describe = describe
        self._subject = subject
        self._listener: socket.socket | None = None
        self._own = Path()

    def open(self, folder: Path, number: int) -> None:
        """Answer from now on, in a thread. Raises ``OSError``."""
        self._own = folder / f"{self._subject}-{number}.sock"
        self._own.unlink(missing_ok=True)
        listener = self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._own))
        listener.listen(16)
        threading.Thread(target=self._answer, args=(listener,), name="peers", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # Closing does not end a wait for a client: one more client does.
            with contextlib.suppress(OSError), _connect(self._own, PATIENCE):
                self._own.unlink(missing_ok=True)

    def ask_all(self) -> list[State]:
        """What each worker says, this one first.

        Of one that does not answer in time it is ``{"silent": True}`` with its ``number``.
        """
        ends = time.monotonic() + PATIENCE
        others = sorted(
            path for path in self._own.parent.glob(f"{self._subject}-*.sock") if path != self._own
        )
        answers = (_ask(path, max(0.05, ends - time.monotonic())) for path in others)
        return [self._describe(), *(answer for answer in answers if answer is not None)]

    def _answer(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # no descriptor is left for now; this worker is silent meanwhile
                    time.sleep(PATIENCE)
                    continue
                with client:
                    if self._listener is not listener:
                        return
                    client.settimeout(PATIENCE)
                    with contextlib.suppress(OSError):  # it did not wait
                        client.sendall(msgspec.json.encode(self._describe()))


def _connect(path: Path, seconds: float) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(seconds)
        client.connect(str(path))
    except OSError:
        client.close()
        raise
    return client


def _ask(path: Path, seconds: float) -> State | None:
    """What the worker says; ``None`` if there is none any more."""
    try:
        with _connect(path, seconds) as client:
            pieces = list(iter(lambda: client.recv(PIECE_BYTES), b""))
    except TimeoutError:
        return {"silent": True, "number": int(path.stem.rpartition("-")[2])}
    except (FileNotFoundError, ConnectionError):
        return None
    answer: State | None = msgspec.json.decode(b"".join(pieces)) if pieces else None
    return answer
