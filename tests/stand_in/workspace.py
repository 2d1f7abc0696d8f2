"""The stand-in itself: one workspace with one Lakebase of each kind, and its controls for tests."""

import time
from typing import Self

from tests.waiting import PATIENCE

from . import routes
from .accounts import Accounts, Identity
from .events import Event, Events
from .faults import Fault, Faults, Malformation, Target
from .http_server import LocalHttpServer
from .messages import Part, Reply, Request
from .radius import RadiusServer
from .synced_tables import SyncedTable

_COUNTED: dict[Part, Event] = {
    "oauth": "oauth_request",
    "credentials": "credential_request",
    "synced_table": "synced_table_request",
}


class Workspace:
    """A Databricks workspace on 127.0.0.1, for as long as the ``with`` block lasts.

    Attributes and methods may be used from any thread at any time; what is set holds from the
    next request on. Durations are seconds.
    """

    def __init__(self, db_host: str = "127.0.0.1", db_read_only_host: str = "127.0.0.1") -> None:
        self.endpoint = "projects/shop/branches/production/endpoints/primary"
        self.instance = "shop-database"
        self.db_host = db_host
        self.db_read_only_host = db_read_only_host
        self.token_life: float | None
        """How long database tokens really last; None: as asked for (300 to 3600), else 3600."""
        self.stated_life: float | None
        """How long they are said to last; None: the truth."""
        self.oauth_life: float
        """How long the workspace tokens of service principals last."""
        self.clock_ahead: float
        """By how much its clock is ahead of this machine's; below 0 it is behind."""
        self.synced_tables: dict[str, SyncedTable]
        """By their names in Unity Catalog."""
        self.apps: dict[str, str | None]
        """The client ids of the service principals of the apps, by the apps' names."""
        self.accounts = Accounts()
        self.events = Events()
        self.user = self.add_user("ann.o'neil@example.com")
        self.service_principal = self.add_service_principal("5f2b8c9e-1d34-4c1b-9a53-0f7d6e2a4b18")
        self._faults = Faults()
        self._http = LocalHttpServer(self._answer, lambda: time.time() + self.clock_ahead)
        self.reset()
        self._radius = RadiusServer(self._may_log_in)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let held requests go and stop; no thread and no socket is left."""
        self._faults.clear()
        self._http.close()
        self._radius.close()

    @property
    def url(self) -> str:
        """What ``DATABRICKS_HOST`` is to be set to."""
        return f"http://127.0.0.1:{self._http.port}"

    @property
    def radius_port(self) -> int:
        """The UDP port at which PostgreSQL asks about logins."""
        return self._radius.port

    @property
    def radius_secret(self) -> str:
        """The secret shared with PostgreSQL."""
        return self._radius.secret

    # Who is known

    def add_user(self, user_name: str) -> Identity:
        """A person with a personal access token."""
        return self.accounts.add(user_name, is_service_principal=False)

    def add_service_principal(self, client_id: str) -> Identity:
        """A service principal with a client secret."""
        return self.accounts.add(client_id, is_service_principal=True)

    def environment(self, identity: Identity) -> dict[str, str]:
        """The environment variables with which the SDK signs in here as ``identity``."""
        names = {name: f"DATABRICKS_{name.upper()}" for name in identity.sdk_arguments()}
        arguments = {names[name]: value for name, value in identity.sdk_arguments().items()}
        return {"DATABRICKS_HOST": self.url, **arguments}

    def revoke_all(self) -> None:
        """Let no database token issued so far log in again; workspace tokens stay good."""
        self.accounts.revoke_database_tokens()

    @property
    def issued_tokens(self) -> list[str]:
        """Every token and secret ever made here, oldest first."""
        return self.accounts.issued()

    def leaked_in(self, text: str) -> list[str]:
        """Those of ``issued_tokens`` that ``text`` shows, even cut short as the SDK's logs do."""
        return self.accounts.leaked_in(text)

    # What goes wrong

    def fail(
        self, target: Target, status: int, *, retry_after: int | None = None, times: int | None = None
    ) -> None:
        """Answer requests for ``target`` with an error, ``times`` times or until healed."""
        self._faults.switch_on(target, Fault(status=status, retry_after=retry_after, times=times))

    def hang(self, target: Target, *, times: int | None = None) -> None:
        """Take requests for ``target`` and never answer; healing drops them unanswered."""
        self._faults.switch_on(target, Fault(times=times))

    def malform(self, target: Target, how: Malformation, *, times: int | None = None) -> None:
        """Spoil answers with status 200. Tokens in them are good all the same."""
        self._faults.switch_on(target, Fault(malformation=how, times=times))

    def refuse_connections(self) -> None:
        """Stop listening and cut open connections, in place of any other fault."""
        self._faults.clear()
        self._http.close()

    def answer_again(self) -> None:
        """Switch faults off. Requests that nobody answered so far are lost, and hang on until ``heal``."""
        self._faults.switch_off()

    def heal(self) -> None:
        """Put everything right: faults off, held requests dropped, listening on the same port."""
        self._faults.clear()
        self._http.open()

    def reset(self) -> None:
        """Heal, set the lives of tokens back, forget synced tables and apps, count from zero; tokens stay."""
        self.heal()
        self.token_life = self.stated_life = None
        self.oauth_life = 3600
        self.clock_ahead = 0
        self.synced_tables = {}
        self.apps = {}
        self.events.forget()

    # What happened

    @property
    def mints(self) -> int:
        """Database credentials issued."""
        return self.events.count("mint")

    @property
    def oauth_requests(self) -> int:
        """Requests for a workspace token, whatever the answer."""
        return self.events.count("oauth_request")

    @property
    def synced_table_requests(self) -> int:
        """How often it was asked how far a synced table is, whatever the answer."""
        return self.events.count("synced_table_request")

    @property
    def logins_accepted(self) -> int:
        """Logins PostgreSQL was told to accept."""
        return self.events.count("login_accepted")

    @property
    def logins_refused(self) -> int:
        """Logins PostgreSQL was told to refuse."""
        return self.events.count("login_refused")

    def wait_for_mints(self, n: int, timeout: float = PATIENCE) -> None:
        """Return once ``n`` credentials were issued in all; TimeoutError if that takes too long."""
        self.events.wait_for("mint", n, timeout)

    # The way of a request

    def _answer(self, request: Request) -> Reply | None:
        self.events.record("request")
        found = routes.find_route(request)
        if found is None:
            return routes.no_route(request)
        part, route, name = found
        if part in _COUNTED:
            self.events.record(_COUNTED[part])
        call = routes.Call(self, request, name)
        fault = self._faults.meet(part)
        if fault is None:
            return route(call)
        self.events.record("fault")
        if fault.status is not None:
            return fault.error_reply(part)
        if fault.malformation is not None:
            return fault.malform(route(call))
        self.events.record("hung")
        fault.released.wait()
        return None

    def _may_log_in(self, role: str, password: str) -> bool:
        admitted = self.accounts.may_log_in(role, password)
        self.events.record("login_accepted" if admitted else "login_refused")
        return admitted
