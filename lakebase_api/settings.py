"""Every setting, declared once: its environment names, default, bounds and meaning."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from marshmallow import fields, validate
from webargs.fields import DelimitedList

CA_VERIFYING_MODES = ("verify-ca", "verify-full")
UNENCRYPTED_MODES = ("disable", "allow", "prefer")


# 0 to 65535
PORT = r"(\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"


class TargetKind(StrEnum):
    """What the service connects to, in the order in which it is looked for."""

    AUTOSCALING = "Lakebase Autoscaling"
    PROVISIONED = "Lakebase Provisioned"
    STATIC = "PostgreSQL with a password"


@dataclass(frozen=True)
class Variable:
    """How one setting is read: the environment names in order of precedence, its field and its meaning."""

    names: tuple[str, ...]
    field: fields.Field[Any]
    help: str
    secret: bool = False
    shown_default: str | None = None


def _setting(
    *names: str,
    help: str,
    field: fields.Field[Any] | None = None,
    default: object = None,
    secret: bool = False,
    shown_default: str | None = None,
) -> Any:
    variable = Variable(names, field or fields.String(), help, secret, shown_default)
    return dataclasses.field(default=default, repr=not secret, metadata={"variable": variable})


def _number(low: float, high: float) -> fields.Field[Any]:
    return fields.Float(validate=validate.Range(low, high))


def _whole(low: int, high: int) -> fields.Field[Any]:
    return fields.Integer(validate=validate.Range(low, high))


def _one_of(*choices: str) -> fields.Field[Any]:
    return fields.String(validate=validate.OneOf(choices, error="Must be one of: {choices}."))


@dataclass(frozen=True)
class Settings:
    """The settings of one process. Immutable and so safe to share between threads.

    Durations are in seconds. Secrets stay out of ``repr``.
    """

    lakebase_endpoint: str | None = _setting(
        "LAKEBASE_ENDPOINT",
        "PGENDPOINT",
        "ENDPOINT_NAME",
        field=fields.String(
            validate=validate.Regexp(
                r"projects/[^/\s]+/branches/[^/\s]+/endpoints/[^/\s]+\Z",
                error="Must have the form projects/…/branches/…/endpoints/….",
            )
        ),
        help="Lakebase Autoscaling: the path of the endpoint, `projects/…/branches/…/endpoints/…`",
    )
    database_instance: str | None = _setting(
        "DATABRICKS_DATABASE_INSTANCE", help="Lakebase Provisioned: the name of the instance"
    )
    pg_host: str | None = _setting(
        "PGHOST",
        help="Host of the database. For Lakebase asked from the workspace when absent",
    )
    pg_port: int = _setting(
        "PGPORT",
        "DATABRICKS_DATABASE_PORT",
        field=_whole(1, 65535),
        default=5432,
        help="Port of the database",
    )
    pg_database: str = _setting(
        "PGDATABASE",
        "DATABRICKS_DATABASE_NAME",
        default="databricks_postgres",
        help="Name of the database",
    )
    pg_user: str | None = _setting(
        "PGUSER",
        "DATABRICKS_USER_NAME",
        help="Role to log in as",
        shown_default="`DATABRICKS_CLIENT_ID`, else the workspace's current user",
    )
    pg_password: str | None = _setting(
        "PGPASSWORD", secret=True, help="Password, for a PostgreSQL that is not Lakebase"
    )
    pg_sslmode: str = _setting(
        "PGSSLMODE",
        field=_one_of("require", *CA_VERIFYING_MODES, *UNENCRYPTED_MODES),
        default="require",
        help="TLS as libpq names it: `require`, `verify-ca`, `verify-full`; "
        "`disable`, `allow`, `prefer` for a loopback host or a socket folder only",
    )
    pg_sslrootcert: str | None = _setting(
        "PGSSLROOTCERT",
        help="File of CA certificates for `verify-ca` and `verify-full`",
        shown_default="certifi's",
    )
    pg_appname: str = _setting(
        "PGAPPNAME", default="lakebase-orders-api", help="`application_name` of the connections"
    )
    schema: str = _setting("DEFAULT_POSTGRES_SCHEMA", default="public", help="Schema of the orders table")
    table: str = _setting("DEFAULT_POSTGRES_TABLE", default="orders_synced", help="Name of the orders table")
    databricks_host: str | None = _setting(
        "DATABRICKS_HOST",
        help="Workspace URL. Injected on Databricks Apps; otherwise as the SDK finds it",
    )
    databricks_token: str | None = _setting(
        "DATABRICKS_TOKEN", secret=True, help="Personal access token, instead of a service principal"
    )
    databricks_client_id: str | None = _setting(
        "DATABRICKS_CLIENT_ID", help="Service principal's client id. Injected on Databricks Apps"
    )
    databricks_client_secret: str | None = _setting(
        "DATABRICKS_CLIENT_SECRET",
        secret=True,
        help="Service principal's secret. Injected on Databricks Apps",
    )
    token_refresh_interval: float = _setting(
        "TOKEN_REFRESH_INTERVAL",
        field=_number(1, 3600),
        default=3000.0,
        help="Seconds between rotations of the database token, at most; sooner when its life asks for it",
    )
    pool_size: int = _setting(
        "DB_POOL_SIZE", field=_whole(0, 1000), default=5, help="Connections each worker keeps open"
    )
    pool_max_overflow: int = _setting(
        "DB_MAX_OVERFLOW",
        field=_whole(0, 1000),
        default=10,
        help="Connections each worker may open beyond `DB_POOL_SIZE`",
    )
    pool_timeout: float = _setting(
        "DB_POOL_TIMEOUT",
        field=_number(0.1, 100),
        default=30.0,
        help="Seconds a request waits for a connection",
    )
    command_timeout: float = _setting(
        "DB_COMMAND_TIMEOUT",
        field=_number(0.1, 100),
        default=10.0,
        help="Seconds a statement may take; the server ends it then",
    )
    pool_max_waiting: int = _setting(
        "DB_POOL_MAX_WAITING",
        field=_whole(1, 1000),
        default=40,
        help="Requests of each worker that may wait for a connection; more are answered 503 at once",
    )
    pool_idle_timeout: float = _setting(
        "DB_POOL_IDLE_TIMEOUT",
        field=_number(1, 86400),
        default=600.0,
        help="Seconds after which a connection beyond `DB_POOL_SIZE` that nobody used is closed",
    )
    wake_budget: float = _setting(
        "WAKE_BUDGET",
        field=_number(0, 60),
        default=10.0,
        help="Seconds for which requests wait for a database that is away or waking up",
    )
    request_timeout: float = _setting(
        "REQUEST_TIMEOUT",
        field=_number(0.1, 110),
        default=30.0,
        help="Seconds a request may take; a caller may ask for less with `X-Request-Timeout`",
    )
    pool_recycle_interval: float = _setting(
        "DB_POOL_RECYCLE_INTERVAL",
        field=_number(1, 86400),
        default=3600.0,
        help="Seconds after which a connection is replaced",
    )
    workers: int = _setting(
        "WEB_CONCURRENCY", field=_whole(1, 64), default=2, help="gunicorn worker processes"
    )
    threads: int = _setting(
        "WEB_THREADS",
        field=_whole(1, 1000),
        default=64,
        help="Threads of each worker; more than the pool and its queue, so that probes are answered",
    )
    drain_delay: float = _setting(
        "DRAIN_DELAY",
        field=_number(0, 8),
        default=2.0,
        help="Seconds for which connections are still accepted after SIGTERM, while `/readyz` answers 503",
    )
    client_timeout: float = _setting(
        "CLIENT_TIMEOUT",
        field=_number(0.1, 100),
        default=10.0,
        help="Seconds in which a client must send its request, and take its answer",
    )
    bind: str | None = _setting(
        "BIND",
        field=fields.String(
            validate=validate.Regexp(
                rf"(.+:{PORT}|unix:.+)\Z", error="Must have the form host:port or unix:path."
            )
        ),
        help="Address to listen on",
        shown_default="`0.0.0.0:$DATABRICKS_APP_PORT` where that is set, else `127.0.0.1:8000`",
    )
    app_port: int | None = _setting(
        "DATABRICKS_APP_PORT", field=_whole(1, 65535), help="Port given by Databricks Apps; see `BIND`"
    )
    log_level: str = _setting(
        "LOG_LEVEL",
        field=_one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        default="INFO",
        help="`DEBUG`, `INFO`, `WARNING` or `ERROR`",
    )
    log_format: str = _setting(
        "LOG_FORMAT", field=_one_of("text", "json"), default="text", help="`text`, or `json` for JSON lines"
    )
    cors_origins: Sequence[str] = _setting(
        "CORS_ORIGINS",
        field=DelimitedList(fields.String(validate=validate.Length(min=1))),
        default=(),
        help="Origins of browser pages that may call the API, separated by commas",
    )
    env_file: str = _setting(
        "ENV_FILE", default=".env", help="File of `NAME=value` lines read beside the environment, which wins"
    )

    @property
    def target(self) -> TargetKind:
        """What the service connects to: the first of the three that is set."""
        if self.lakebase_endpoint:
            return TargetKind.AUTOSCALING
        if self.database_instance:
            return TargetKind.PROVISIONED
        return TargetKind.STATIC

    @property
    def address(self) -> str:
        """``host:port`` or ``unix:path`` to listen on."""
        if self.bind:
            return self.bind
        return f"0.0.0.0:{self.app_port}" if self.app_port else "127.0.0.1:8000"

    def find_risks(self) -> list[str]:
        """What may be meant, but breaks a promise; for the log."""
        busy = self.pool_size + self.pool_max_overflow + self.pool_max_waiting
        if self.threads > busy:
            return []
        return [
            f"WEB_THREADS={self.threads} does not exceed DB_POOL_SIZE + DB_MAX_OVERFLOW + "
            f"DB_POOL_MAX_WAITING={busy}: probes may have to wait behind requests"
        ]

    def describe(self) -> dict[str, str]:
        """The values by environment name, for the log: of a secret only that it is set."""
        values = {}
        for field in dataclasses.fields(self):
            variable: Variable = field.metadata["variable"]
            value = getattr(self, field.name)
            if value not in (None, ()):
                values[variable.names[0]] = "(set)" if variable.secret else _shown(value)
        return values


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


VARIABLES: dict[str, Variable] = {
    field.name: field.metadata["variable"] for field in dataclasses.fields(Settings)
}
