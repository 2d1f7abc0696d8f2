"""The API under gunicorn, exactly as in production, connected to the embedded server."""

import http.client
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from lakebase_api.local.child_process import Leash, Step
from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.ports import HOST

COMMAND = (sys.executable, "-m", "gunicorn", "wsgi:app")
STOP = (Step(signal.SIGTERM, 15),)  # seconds from SIGTERM to SIGKILL, as on Databricks Apps
PATIENCE = 30.0  # seconds until the first answer
# Where something says who may call, the probe may be refused.
ANSWERS = (http.client.OK, http.client.UNAUTHORIZED, http.client.FORBIDDEN)
INHERITED_PREFIXES = ("PG", "DATABRICKS_", "LAKEBASE_")
INHERITED_NAMES = {
    "ENDPOINT_NAME",
    "DEFAULT_POSTGRES_SCHEMA",
    "DEFAULT_POSTGRES_TABLE",
    "BIND",
    "PORT",
    "ENV_FILE",
}


def forget_inherited_settings() -> None:
    """Drop every variable that could point this process (libpq reads PG*) or the API at another database."""
    for name in list(os.environ):
        if name.startswith(INHERITED_PREFIXES) or name in INHERITED_NAMES:
            del os.environ[name]


def api_environment(database: Mapping[str, str], port: int, tables_file: Path) -> dict[str, str]:
    """The variables the API runs with: what this process has, `database` (PG*), and the local tables."""
    orders = {"DEFAULT_POSTGRES_SCHEMA": "public", "DEFAULT_POSTGRES_TABLE": "orders_synced"}
    own = {"TABLES_FILE": str(tables_file), "ENV_FILE": os.devnull, "BIND": f"{HOST}:{port}"}
    return {**os.environ, **database, **orders, **own}


class Api:
    """gunicorn with the API. A context manager: starts on entry, stops on exit, as a deployment would."""

    def __init__(self, environment: Mapping[str, str], port: int, probe: str) -> None:
        """`probe` is a path that answers only when the database does."""
        self._environment = environment
        self._port = port
        self._probe = probe

    def __enter__(self) -> Self:
        self._leash = Leash(COMMAND, stop=STOP, env=self._environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leash.end()

    def wait_until_ready(self) -> None:
        """Return when the probe answers. Raises LocalFailure when gunicorn ends first or time is up."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._leash.poll() is not None:
                raise self._ended()
            if self._answers():
                return
            time.sleep(0.05)
        raise LocalFailure(
            f"The API did not answer {self._probe} within {PATIENCE:.0f} s: see its messages above."
        )

    def wait(self) -> LocalFailure:
        """Wait until gunicorn ends, which nobody asked it to; returns what there is to say."""
        self._leash.wait()
        return self._ended()

    def _ended(self) -> LocalFailure:
        return LocalFailure(
            f"gunicorn ended by itself with status {self._leash.poll()}: its messages are above."
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("localhost", self._port, timeout=5)  # asks no HTTP proxy
        try:
            connection.request("GET", self._probe)
            return connection.getresponse().status in ANSWERS
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
