"""Asks the Databricks workspace for database credentials, hosts and the current user.

Importing this imports the Databricks SDK: over a second of CPU and 70 MB.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import Unauthenticated

from lakebase_api import __version__
from lakebase_api.lakebase.copy_status import CopyStatus
from lakebase_api.lakebase.credentials import Credential, CredentialError
from lakebase_api.lakebase.failures import MISTAKES
from lakebase_api.lakebase.synced_tables import ask_autoscaling, ask_provisioned
from lakebase_api.lakebase.workspace_login import WorkspaceLogin
from lakebase_api.redaction import keep_secret, redact
from lakebase_api.settings import Settings, TargetKind

T = TypeVar("T")

logger = logging.getLogger(__name__)

HTTP_TIMEOUT = 3
# The rotation tries again by itself: the SDK's own retries, up to 300 s otherwise, only hide a failure. It
# sleeps for a second or two after each in any case.
RETRY_TIMEOUT = 1
# A call makes several requests. One may have been lost just before the workspace came back: with the second
# until the next connect, this makes up the 5 s in which the service must recover.
CALL_DEADLINE = 3.5
# Calls that were given up and go on. Each ends soon by its own time limits, but for the SDK's less usual ways
# to log in, some of which have none.
MOST_HUNG = 4
# What the SDK and requests raise besides: a refusal and an unreachable host are OSErrors, a refused OAuth
# login is a ValueError.
SDK_ERRORS = (OSError, ValueError, RuntimeError, *MISTAKES)
# The longest life that Lakebase gives a credential.
# https://docs.databricks.com/api/workspace/postgres/generatedatabasecredential
LONGEST_TOKEN_LIFE = 3600
# The header of an answer that says when it was made (RFC 9110, 6.6.1).
DATE = "date"


def _drop_bodies(record: logging.LogRecord) -> bool:
    """The SDK's debug records hold whole responses, tokens included."""
    return record.levelno > logging.DEBUG


class Workspace:
    """The workspace that owns the database. Its methods may be called from any thread.

    ``is_of_replica``: the settings name the endpoint of replicas, whose host is the one for reading.

    Each call ends within ``CALL_DEADLINE`` seconds and raises ``CredentialError`` when the workspace
    does not give what was asked.
    """

    def __init__(self, settings: Settings, *, is_of_replica: bool = False) -> None:
        self._settings = settings
        self._is_of_replica = is_of_replica
        self._client: WorkspaceClient | None = None
        self._looking = threading.Lock()
        self._hung: list[Future[Any]] = []
        logging.getLogger("databricks.sdk").addFilter(_drop_bodies)

    def mint(self) -> Credential:
        """A new database credential for the target of the settings."""
        asked_at = time.monotonic()
        token, life = self._ask("a database credential", self._generate_credential)
        if not token or life <= 0:
            raise CredentialError("a database credential: it has no token or is past its expiry")
        interval = self._settings.token_refresh_interval
        return Credential.living(token, life, refresh_interval=interval, now=asked_at)

    def find_host(self) -> str:
        """The host of the endpoint or instance: the read-write one, or that of its replicas."""
        return self._ask("the database host", self._get_host)

    def find_user(self) -> str:
        """The role of whoever the workspace client is logged in as."""
        return self._ask("the current user", lambda client: client.current_user.me().user_name or "")

    def find_principal(self, app: str) -> str:
        """The client id of the service principal that the Databricks App of this name runs as."""
        return self._ask(
            f"the service principal of the app {app}",
            lambda client: client.apps.get(quote(app, safe="")).service_principal_client_id or "",
        )

    def find_synced_table(self, name: str) -> CopyStatus:
        """How far the copy is that Unity Catalog has by this name."""
        is_autoscaling = self._settings.target is TargetKind.AUTOSCALING
        ask = ask_autoscaling if is_autoscaling else ask_provisioned

        def ask_readably(client: WorkspaceClient) -> CopyStatus:
            try:
                return ask(client, name)
            except (*MISTAKES, OverflowError) as error:  # the SDK's, with an answer of another form
                raise ValueError(f"the answer cannot be read: {_describe_one(error)}") from None

        return self._ask(f"the synced table {name}", ask_readably)

    def _generate_credential(self, client: WorkspaceClient) -> tuple[str, float]:
        """The token, and the seconds that it lives from the moment of asking."""
        if self._settings.target is TargetKind.AUTOSCALING:
            ttl = f"{LONGEST_TOKEN_LIFE}s"
            wanted: dict[str, Any] = {"endpoint": self._settings.lakebase_endpoint, "ttl": ttl}
            answer = _post(client, "/api/2.0/postgres/credentials", wanted)
        else:
            wanted = {"instance_names": [self._settings.database_instance]}
            answer = _post(client, "/api/2.0/database/credentials", wanted)
        token = answer.get("token") or ""
        keep_secret(token, LONGEST_TOKEN_LIFE)
        return token, _find_life(answer.get("expire_time") or answer.get("expiration_time"), answer[DATE])

    def _get_host(self, client: WorkspaceClient) -> str:
        if self._settings.target is TargetKind.AUTOSCALING:
            endpoint = client.postgres.get_endpoint(name=self._settings.lakebase_endpoint or "")
            hosts = endpoint.status and endpoint.status.hosts
            return (hosts and (hosts.read_only_host if self._is_of_replica else hosts.host)) or ""
        instance = client.database.get_database_instance(name=self._settings.database_instance or "")
        return instance.read_write_dns or ""

    def _ask(self, what: str, question: Callable[[WorkspaceClient], T]) -> T:
        """Run the question on a thread of its own, so that one that never ends can be left behind."""
        self._leave_hung_calls(what)
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(question(self._connected()))
            except BaseException as error:  # noqa: BLE001  handed to the thread that asked
                answer.set_exception(error)

        try:
            threading.Thread(target=run, name="workspace-call", daemon=True).start()
        except RuntimeError as error:  # as many as the system allows: of that there may be fewer soon
            raise CredentialError(f"{what}: {error}") from error
        if not wait([answer], timeout=CALL_DEADLINE).done:
            with self._looking:
                self._hung.append(answer)
            raise CredentialError(f"{what}: no answer within {CALL_DEADLINE:g} s")
        # Not raised here and caught, which would leave it, and what it says, with the error that is raised.
        if isinstance(reason := answer.exception(), SDK_ERRORS):
            if isinstance(reason, MISTAKES):
                logger.warning("Asking for %s went wrong", what, exc_info=reason)
            raise CredentialError(f"{what}: {self._explain(reason)}")
        found = answer.result()
        if not found:
            raise CredentialError(f"{what}: the workspace has none")
        return found

    def _explain(self, reason: Exception) -> str:
        """What the SDK says, and of which host, if it does not say that: a profile may have named it."""
        client = self._client
        if isinstance(reason, Unauthenticated):
            # By a clock that was set back its token lives on: the next call is to log in anew.
            self._client = None
        said, host = _describe(reason), client and client.config.host
        return said if not host or host in said else f"{said} (the workspace is {host})"

    def _leave_hung_calls(self, what: str) -> None:
        """See to it that calls which have not ended neither keep the next one waiting nor become many."""
        with self._looking:
            self._hung = [call for call in self._hung if not call.done()]
            if len(self._hung) >= MOST_HUNG:
                raise CredentialError(f"{what}: {MOST_HUNG} calls before this one have not ended")
            if self._hung:
                # They hold the client's own locks.
                self._client = None

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
            credentials_strategy=WorkspaceLogin(HTTP_TIMEOUT),
            product="lakebase-orders-api",
            product_version=__version__,
        )


def _post(client: WorkspaceClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the SDK's own method for the path gets, and the date of the answer besides."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if client.config.workspace_id:
        headers["X-Databricks-Workspace-Id"] = client.config.workspace_id
    answer = client.api_client.do("POST", path, body=body, headers=headers, response_headers=[DATE])
    if not isinstance(answer, dict):
        raise ValueError("the answer is no JSON object")
    return answer


def _find_life(expires: str | None, date: str | None) -> float:
    """Seconds from an answer to an expiry, both by the clock of the workspace: ours may be wrong.

    Without an expiry 0; without a date what was asked for. A date is cut to the second: it may lag by one.
    """
    if not expires:
        return 0
    if not date:
        return LONGEST_TOKEN_LIFE
    life = (datetime.fromisoformat(expires) - parsedate_to_datetime(date)).total_seconds() - 1
    return min(life, LONGEST_TOKEN_LIFE)


def _describe(error: Exception) -> str:
    """The first line of the error and of its cause: the SDK puts response bodies in the lines below."""
    if error.__cause__:  # "timed out", because of what it tried again and again
        return f"{_describe_one(error)} ({_describe_one(error.__cause__)})"
    return _describe_one(error)


def _describe_one(error: BaseException) -> str:
    # Before it is cut, so that no part of a secret is left.
    first_line = next(iter(redact(str(error)).splitlines()), "")
    return f"{type(error).__name__}: {first_line[:300]}"
