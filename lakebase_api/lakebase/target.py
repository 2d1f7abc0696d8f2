"""Where the database is and who logs in: what every new connection is opened with."""

import threading
from typing import Any, Protocol

from lakebase_api.lakebase.credentials import CredentialHolder
from lakebase_api.lakebase.session import ENCODING, compose_options, forget_variables
from lakebase_api.settings import CA_VERIFYING_MODES, Settings

# A suspended compute takes seconds to accept the first connection; what takes longer is tried again.
CONNECT_TIMEOUT = 5
# What was sent to a peer that vanished is given up after as many seconds without an acknowledgement.
ACKNOWLEDGEMENT_TIMEOUT = 10
# A peer that vanished while nothing was sent is noticed after KEEPALIVES_IDLE and as many intervals.
KEEPALIVES_IDLE = 30
KEEPALIVES_INTERVAL = 10
KEEPALIVES_COUNT = 3


class Directory(Protocol):
    """Who knows the host and the user when the settings do not say them."""

    def find_host(self) -> str: ...
    def find_user(self) -> str: ...


class Target:
    """The database of the settings. Its methods may be called from any thread.

    Without a holder of credentials the settings' own password is used. Building it drops the variables of the
    environment that libpq would read beside the settings.
    """

    def __init__(
        self, settings: Settings, holder: CredentialHolder | None = None, directory: Directory | None = None
    ) -> None:
        self._settings = settings
        self._holder = holder
        self._directory = directory
        self._host = settings.pg_host
        self._user = settings.pg_user or (settings.databricks_client_secret and settings.databricks_client_id)
        self._finding = threading.Lock()
        # Variables of the environment that somebody may expect to matter.
        self.unused_variables = forget_variables()

    def connect_arguments(self) -> dict[str, Any]:
        """Keyword arguments for one new connection, with a password that is live now.

        Raises ``CredentialError`` when the workspace does not give a token, the host or the user.
        """
        settings = self._settings
        # First, because asking for a token is what keeps a workspace that is away from being asked too often.
        password = self._holder.token() if self._holder else settings.pg_password
        if self._directory:
            with self._finding:
                self._host = self._host or self._directory.find_host()
                self._user = self._user or self._directory.find_user()
        arguments: dict[str, Any] = {
            "host": self._host,
            "port": settings.pg_port,
            "dbname": settings.pg_database,
            "user": self._user,
            "password": password,
            "sslmode": settings.pg_sslmode,
            "application_name": settings.pg_appname,
            "client_encoding": ENCODING,
            "options": compose_options(round(settings.command_timeout * 1000)),
            "connect_timeout": CONNECT_TIMEOUT,
            "keepalives_idle": KEEPALIVES_IDLE,
            "keepalives_interval": KEEPALIVES_INTERVAL,
            "keepalives_count": KEEPALIVES_COUNT,
            "tcp_user_timeout": ACKNOWLEDGEMENT_TIMEOUT * 1000,
            "autocommit": True,
        }
        if settings.pg_sslmode in CA_VERIFYING_MODES:
            arguments["sslrootcert"] = settings.pg_sslrootcert
        return arguments

    def reject_password(self, password: str) -> None:
        """A login with this password was refused: let the next one have another token."""
        if self._holder:
            self._holder.reject(password)
