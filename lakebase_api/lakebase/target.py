"""Where the database is and who logs in: what every new connection is opened with."""

from collections.abc import Callable
from typing import Any, Protocol

from lakebase_api.settings import CA_VERIFYING_MODES, Settings

# A suspended compute takes seconds to accept the first connection.
CONNECT_TIMEOUT = 10
# A peer that vanished is noticed within KEEPALIVES_IDLE + KEEPALIVES_COUNT * KEEPALIVES_INTERVAL seconds.
KEEPALIVES_IDLE = 30
KEEPALIVES_INTERVAL = 10
KEEPALIVES_COUNT = 3


class Directory(Protocol):
    """Who knows the host and the user when the settings do not say them."""

    def find_host(self) -> str: ...
    def find_user(self) -> str: ...


class Target:
    """The database of the settings. Its methods may be called from any thread."""

    def __init__(self, settings: Settings, password: Callable[[], str], directory: Directory | None) -> None:
        self._settings = settings
        self._password = password
        self._directory = directory
        self._host = settings.pg_host
        self._user = settings.pg_user or settings.databricks_client_id

    @property
    def user(self) -> str | None:
        """The role that logs in; ``None`` until it was asked for once."""
        return self._user

    def connect_arguments(self) -> dict[str, Any]:
        """Keyword arguments for one new connection, with a password that is live now.

        Raises ``CredentialError`` when the workspace does not give a token, the host or the user.
        """
        settings = self._settings
        if self._directory:
            self._host = self._host or self._directory.find_host()
            self._user = self._user or self._directory.find_user()
        arguments: dict[str, Any] = {
            "host": self._host,
            "port": settings.pg_port,
            "dbname": settings.pg_database,
            "user": self._user,
            "password": self._password(),
            "sslmode": settings.pg_sslmode,
            "application_name": settings.pg_appname,
            "options": f"-c statement_timeout={round(settings.command_timeout * 1000)}",
            "connect_timeout": CONNECT_TIMEOUT,
            "keepalives_idle": KEEPALIVES_IDLE,
            "keepalives_interval": KEEPALIVES_INTERVAL,
            "keepalives_count": KEEPALIVES_COUNT,
            "autocommit": True,
        }
        if settings.pg_sslmode in CA_VERIFYING_MODES:
            arguments["sslrootcert"] = settings.pg_sslrootcert
        return arguments
