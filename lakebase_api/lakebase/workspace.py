"""Asks the Databricks workspace for database credentials, hosts and the current user.

Importing this imports the Databricks SDK: over a second of CPU and 70 MB.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import datetime
from typing import TypeVar

from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from google.protobuf.duration_pb2 import Duration

from lakebase_api import __version__
from lakebase_api.lakebase.credentials import Credential, CredentialError
from lakebase_api.settings import Settings, TargetKind

T = TypeVar("T")

HTTP_TIMEOUT = 3
# The rotation tries again by itself: the SDK's own retries, up to 300 s otherwise, only hide a failure. It
# sleeps for a second or two after each in any case.
RETRY_TIMEOUT = 1
# The SDK's OAuth request has no time limit of its own. A call may have been lost just before the workspace
# came back: with the second until the next connect, this makes up the 5 s in which the service must recover.
CALL_DEADLINE = 3.5
# What the SDK and requests raise: a refusal and an unreachable host are OSErrors, a refused OAuth login is a
# ValueError, and malformed answers surface as the others.
SDK_ERRORS = (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError)
# The longest life that Lakebase gives a credential.
# https://docs.databricks.com/api/workspace/postgres/generatedatabasecredential
LONGEST_TOKEN_LIFE = 3600


def _drop_bodies(record: logging.LogRecord) -> bool:
    """The SDK's debug records hold whole responses, tokens included."""
    return record.levelno > logging.DEBUG


class Workspace:
    """The workspace that owns the database. Its methods may be called from any thread.

    Each call ends within ``CALL_DEADLINE`` seconds and raises ``CredentialError`` when the workspace
    does not give what was asked.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: WorkspaceClient | None = None
        logging.getLogger("databricks.sdk").addFilter(_drop_bodies)

    def mint(self) -> Credential:
        """A new database credential for the target of the settings."""
        asked_at = time.monotonic()
        token, expires = self._ask("a database credential", self._generate_credential)
        life = expires - time.time()
        if not token or life <= 0:
            raise CredentialError(
                "a database credential: it has no token or is past its expiry; or this host's clock is wrong"
            )
        interval = self._settings.token_refresh_interval
        return Credential.living(token, life, refresh_interval=interval, now=asked_at)

    def find_host(self) -> str:
        """The read-write host of the endpoint or instance."""
        return self._ask("the database host", self._get_host)

    def find_user(self) -> str:
        """The role of whoever the workspace client is logged in as."""
        return self._ask("the current user", lambda client: client.current_user.me().user_name or "")

    def _generate_credential(self, client: WorkspaceClient) -> tuple[str, float]:
        """The token and when it expires, in seconds since the epoch."""
        if self._settings.target is TargetKind.AUTOSCALING:
            fresh = client.postgres.generate_database_credential(
                endpoint=self._settings.lakebase_endpoint or "", ttl=Duration(seconds=LONGEST_TOKEN_LIFE)
            )
            return fresh.token or "", fresh.expire_time.ToNanoseconds() / 1e9 if fresh.expire_time else 0
        old = client.database.generate_database_credential(
            instance_names=[self._settings.database_instance or ""]
        )
        expires = datetime.fromisoformat(old.expiration_time).timestamp() if old.expiration_time else 0
        return old.token or "", expires

    def _get_host(self, client: WorkspaceClient) -> str:
        if self._settings.target is TargetKind.AUTOSCALING:
            endpoint = client.postgres.get_endpoint(name=self._settings.lakebase_endpoint or "")
            hosts = endpoint.status and endpoint.status.hosts
            return (hosts and hosts.host) or ""
        instance = client.database.get_database_instance(name=self._settings.database_instance or "")
        return instance.read_write_dns or ""

    def _ask(self, what: str, question: Callable[[WorkspaceClient], T]) -> T:
        """Run the question on a thread of its own, so that one that never ends can be left behind."""
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(question(self._connected()))
            except BaseException as error:  # noqa: BLE001  handed to the thread that asked
                answer.set_exception(error)

        threading.Thread(target=run, name="workspace-call", daemon=True).start()
        if not wait([answer], timeout=CALL_DEADLINE).done:
            # The hung call holds the client's own locks: the next call needs another client.
            self._client = None
            raise CredentialError(f"{what}: no answer within {CALL_DEADLINE:g} s")
        try:
            found = answer.result()
        except SDK_ERRORS as error:
            raise CredentialError(f"{what}: {_describe(error)}") from None
        if not found:
            raise CredentialError(f"{what}: the workspace has none")
        return found

    def _connected(self) -> WorkspaceClient:
        client = self._client
        if client is None:
            client = self._client = WorkspaceClient(config=self._config())
        return client

    def _config(self) -> Config:
        settings = self._settings
        return Config(
            host=settings.databricks_host,
            token=settings.databricks_token,
            client_id=settings.databricks_client_id,
            client_secret=settings.databricks_client_secret,
            http_timeout_seconds=HTTP_TIMEOUT,
            retry_timeout_seconds=RETRY_TIMEOUT,
            product="lakebase-orders-api",
            product_version=__version__,
        )


def _describe(error: Exception) -> str:
    """The first line of the error and of its cause: the SDK puts response bodies in the lines below."""
    if error.__cause__:  # "timed out", because of what it tried again and again
        return f"{_describe_one(error)} ({_describe_one(error.__cause__)})"
    return _describe_one(error)


def _describe_one(error: BaseException) -> str:
    first_line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first_line[:300]}"
