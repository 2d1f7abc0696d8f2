"""The real gunicorn process, as production runs it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from lakebase_api.local.ports import free_port
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent
STARTED = "Application startup complete"


class GunicornProcess:
    """gunicorn on a port of 127.0.0.1, a free one by default. Its output is kept and can be waited for."""

    def __init__(
        self,
        environment: dict[str, str],
        port: int | None = None,
        command: Sequence[str] = (sys.executable, "-m", "gunicorn", "wsgi:app"),
        folder: Path = ROOT,
    ) -> None:
        self._command, self._folder = command, folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        self._environment = {
            **inherited,
            "NO_PROXY": "127.0.0.1",
            "WEB_CONCURRENCY": "1",
            "BIND": f"127.0.0.1:{self.port}",
            # Nearly all tests stop it when nobody asks any more.
            "DRAIN_DELAY": "0",
            **environment,
        }
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self.session = requests.Session()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join()
            assert self.process.stdout
            self.process.stdout.close()

    @property
    def output(self) -> str:
        """Everything it wrote so far."""
        with self._changed:
            return "".join(self._lines)

    def wait_for_output(self, text: str, times: int = 1) -> None:
        """Wait until the output has the text so many times. Raises ``TimeoutError`` with the output."""
        with self._changed:
            if not self._changed.wait_for(lambda: "".join(self._lines).count(text) >= times, PATIENCE):
                raise TimeoutError(f"{text!r} did not come; the output:\n{''.join(self._lines)}")

    def wait_until_started(self) -> Self:
        """Wait until all workers serve."""
        self.wait_for_output(STARTED, times=int(self._environment["WEB_CONCURRENCY"]))
        return self

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds that only asking can tell. Raises ``TimeoutError`` with the output."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"it did not come to hold; the output:\n{self.output}")
            time.sleep(0.02)

    def get(self, path: str, **headers: str) -> requests.Response:
        """Ask for a path."""
        return self.session.get(self.url + path, headers=headers, timeout=PATIENCE)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
