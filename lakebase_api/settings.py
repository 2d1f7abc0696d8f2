"""Every setting, declared once: its environment names, default, bounds and meaning."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from marshmallow import fields, validate

from lakebase_api.addresses import (
    is_open_to_others,
    read_bind,
    read_database_host,
    read_host,
    read_metrics_bind,
    read_origin,
    read_provider_url,
    read_workspace_url,
)
from lakebase_api.variables import (
    Variable,
    joined,
    matching,
    number,
    one_of,
    read_by,
    read_size,
    setting,
    several,
    whole,
)

CA_VERIFYING_MODES = ("verify-ca", "verify-full")
UNENCRYPTED_MODES = ("disable", "allow", "prefer")

# Threads that no request waits in for the database, for probes.
SPARE_THREADS = 8
EXPORTS_PER_CONNECTION = 4
# Seconds that a read waits for a connection to a replica before it goes to the primary.
REPLICA_PATIENCE = 0.25
# Of as many places as one caller may take there is one more that it may not.
TAKEN_PER_KEPT = 3

ENDPOINT = r"projects/[^/\s]+/branches/[^/\s]+/endpoints/[^/\s]+"
NO_ENDPOINT = "Must have the form projects/…/branches/…/endpoints/…."

# Whole seconds that stopping takes beside DRAIN_DELAY, at least: one to finish what is in flight, one until a
# worker's loop sees that they are over, one to close what is open, and one for the master to be the last.
STOP_MARGIN = 4

# Below, a secret that people see something made from could be guessed.
SHORTEST_CURSOR_SECRET = 16
# What may stand in a header of HTTP: ASCII letters, digits and signs.
VISIBLE = "[!-~]+"
NOT_VISIBLE = "Must have letters, digits and signs of ASCII only."
# Those with a public key that verifies. https://www.rfc-editor.org/rfc/rfc7518#section-3.1
JWT_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
# A name of Unity Catalog. https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-names
SYNCED_TABLE = r"[^\s./`\x00-\x1f\x7f]{1,255}(?:\.[^\s./`\x00-\x1f\x7f]{1,255}){2}"
NO_SYNCED_TABLE = "Must be catalog.schema.table, as Unity Catalog names the copy."
# The default of what settings may say of orders.
AS_DECLARED = "what `TABLES_FILE` says"


class TargetKind(StrEnum):
    """What the service connects to, in the order in which it is looked for."""

    AUTOSCALING = "Lakebase Autoscaling"
    PROVISIONED = "Lakebase Provisioned"
    STATIC = "PostgreSQL with a password"


@dataclass(frozen=True)
class Settings:
    """The settings of one process. Immutable and so safe to share between threads.

    Durations are in seconds. Secrets stay out of ``repr``.
    """

    lakebase_endpoint: str | None = setting(
        "LAKEBASE_ENDPOINT",
        "PGENDPOINT",
        "ENDPOINT_NAME",
        field=matching(ENDPOINT, error=NO_ENDPOINT),
        help="Lakebase Autoscaling: the path of the endpoint, `projects/…/branches/…/endpoints/…`",
    )
    database_instance: str | None = setting(
        "DATABRICKS_DATABASE_INSTANCE", help="Lakebase Provisioned: the name of the instance"
    )
    pg_host: str | None = setting(
        "PGHOST",
        field=joined(read_database_host),
        help="Host of the database, or several separated by commas: the first that answers is taken. "
        "For Lakebase asked from the workspace when absent",
    )
    pg_port: int = setting(
        "PGPORT",
        "DATABRICKS_DATABASE_PORT",
        field=whole(1, 65535),
        default=5432,
        help="Port of the database",
    )
    read_endpoint: str | None = setting(
        "LAKEBASE_READ_ENDPOINT",
        field=matching(ENDPOINT, error=NO_ENDPOINT),
        help="Lakebase Autoscaling: the endpoint of a read replica, or `LAKEBASE_ENDPOINT` where that has "
        "readable secondaries: see [reading from a replica](reading.md#from-a-replica)",
        shown_default="no replica",
    )
    pg_host_read: str | None = setting(
        "PGHOST_READ",
        field=joined(read_database_host),
        help="Host of a replica of the database, in place of `LAKEBASE_READ_ENDPOINT`",
        shown_default="no replica",
    )
    pg_port_read: int | None = setting(
        "PGPORT_READ",
        field=whole(1, 65535),
        help="Port of the replica",
        shown_default="that of the database",
    )
    pg_database: str = setting(
        "PGDATABASE",
        "DATABRICKS_DATABASE_NAME",
        default="databricks_postgres",
        help="Name of the database",
    )
    pg_user: str | None = setting(
        "PGUSER",
        "DATABRICKS_USER_NAME",
        help="Role to log in as",
        shown_default="`DATABRICKS_CLIENT_ID`, else the workspace's current user",
    )
    pg_password: str | None = setting(
        "PGPASSWORD", secret=True, help="Password, for a PostgreSQL that is not Lakebase"
    )
    pg_sslmode: str = setting(
        "PGSSLMODE",
        field=one_of("require", *CA_VERIFYING_MODES, *UNENCRYPTED_MODES),
        default="require",
        help="TLS as libpq names it: `require`, `verify-ca`, `verify-full`; "
        "`disable`, `allow`, `prefer` for a loopback host or a socket folder only",
    )
    pg_sslrootcert: str | None = setting(
        "PGSSLROOTCERT",
        help="File of CA certificates for `verify-ca` and `verify-full`",
        shown_default="certifi's",
    )
    pg_appname: str = setting(
        "PGAPPNAME", default="lakebase-orders-api", help="`application_name` of the connections"
    )
    trace_sql: bool = setting(
        "TRACE_SQL",
        field=fields.Boolean(),
        default=False,
        help="`true`: `application_name` of a connection has the id of the request that uses it, behind "
        "`PGAPPNAME` and a slash; see [running.md](running.md#one-id)",
    )
    tables_file: str = setting(
        "TABLES_FILE", default="tables.toml", help="File that declares the tables that are served"
    )
    orders_schema: str | None = setting(
        "DEFAULT_POSTGRES_SCHEMA", help="Schema of the orders table", shown_default=AS_DECLARED
    )
    orders_table: str | None = setting(
        "DEFAULT_POSTGRES_TABLE", help="Name of the orders table", shown_default=AS_DECLARED
    )
    orders_writes: str | None = setting(
        "STATUS_WRITES",
        field=one_of("overlay", "direct", "off"),
        help="Where status changes go: `overlay`, into tables of the app's own, shown over the orders table; "
        "`direct`, into the orders table, which must be the app's to update; `off`, nowhere",
        shown_default=AS_DECLARED,
    )
    synced_table: str | None = setting(
        "SYNCED_TABLE",
        field=matching(SYNCED_TABLE, error=NO_SYNCED_TABLE),
        help="What Unity Catalog calls the synced table that orders are, as `catalog.schema.table`: then the "
        "service tells [how fresh they are](reading.md#how-fresh-the-data-is)",
        shown_default=AS_DECLARED,
    )
    freshness_warn: float | None = setting(
        "FRESHNESS_WARN",
        field=number(1, 31_536_000),
        help="Seconds: older data of a synced table, of which there is something newer, is warned of in the "
        "log once",
        shown_default="never",
    )
    status_schema: str = setting(
        "STATUS_SCHEMA", default="lakebase_api", help="Schema of the tables that keep status changes"
    )
    status_transitions: Sequence[str] = setting(
        "STATUS_TRANSITIONS",
        field=several(
            matching("[FOP]>[FOP]", error="Must have the form O>P,O>F,P>F.").deserialize,
        ),
        default=(),
        help="Status changes of orders that are allowed, such as `O>P,O>F,P>F`",
        shown_default=AS_DECLARED,
    )
    require_if_match: bool = setting(
        "REQUIRE_IF_MATCH",
        field=fields.Boolean(),
        default=False,
        help="`true`: a change must say in `If-Match` which version of the row it was made from",
    )
    rights_file: str | None = setting(
        "RIGHTS_FILE",
        help="File of roles, who has them, and the rows and columns that they leave out; without it whoever "
        "is known may do everything: see [access.md](access.md#rights)",
    )
    api_keys_file: str | None = setting(
        "API_KEYS_FILE",
        help="File of API keys, a line for each, in place of the table `api_key` in `STATUS_SCHEMA`",
    )
    jwt_issuer: str | None = setting(
        "JWT_ISSUER",
        field=read_by(read_provider_url),
        help="The identity provider whose tokens say who calls, as their `iss` has it",
    )
    jwt_audience: str | None = setting(
        "JWT_AUDIENCE", help="What the tokens must have in `aud`: this service, as the provider calls it"
    )
    jwt_jwks_url: str | None = setting(
        "JWT_JWKS_URL",
        field=read_by(read_provider_url),
        help="Where the keys of the identity provider are",
        shown_default="what `.well-known/openid-configuration` below `JWT_ISSUER` says",
    )
    jwt_algorithms: Sequence[str] = setting(
        "JWT_ALGORITHMS",
        field=several(one_of(*JWT_ALGORITHMS).deserialize),
        default=("RS256", "ES256"),
        help="Algorithms of signatures that are accepted, separated by commas; none with a shared secret is",
        shown_default="`RS256,ES256`",
    )
    jwt_roles_claim: str | None = setting(
        "JWT_ROLES_CLAIM",
        help="The claim that has the roles of the caller, such as `scope` or `realm_access.roles`: a list, "
        "or a text with blanks between them",
    )
    anonymous: str | None = setting(
        "ANONYMOUS",
        field=one_of("off", "read", "all"),
        help="Whom nobody identifies: `off` is not let in, `read` may read, `all` may do everything. Without "
        "it `off` where anything else says who calls; see [access.md](access.md)",
    )
    trust_forwarded_identity: bool | None = setting(
        "TRUST_FORWARDED_IDENTITY",
        field=fields.Boolean(),
        help="`true`: the caller is who `X-Forwarded-User` says; "
        "only behind a proxy that sets it, since anyone can send it",
        shown_default="`true` where `DATABRICKS_APP_NAME` is set, else `false`",
    )
    forwarded_hops: int | None = setting(
        "FORWARDED_HOPS",
        field=whole(0, 10),
        help="How many proxies in front set `X-Forwarded-Proto`, `-Host`, `-Prefix` and `-For`; the links in "
        "answers are made of what the outermost says, and callers whom nobody identifies told apart by the "
        "address it gives. `0`: nobody's are believed",
        shown_default="`1` where `DATABRICKS_APP_NAME` is set, else `0`",
    )
    allowed_hosts: Sequence[str] = setting(
        "ALLOWED_HOSTS",
        field=several(read_host),
        default=(),
        help="Hosts that the links in answers may lead to, separated by commas, such as `shop.example`: a "
        "request with another `Host` gets links without one",
        shown_default="any",
    )
    rate_limit: str | None = setting(
        "RATE_LIMIT",
        field=matching(
            r"[1-9][0-9]{0,8}/[1-9][0-9]{0,5}",
            error="Must have the form 600/60: how much a caller may ask for, and in how many seconds.",
        ),
        help="What each caller may ask for in so many seconds, such as `600/60`, counted for all workers of "
        "a host: a request is 1, 100 rows are 1 more, an exact count is 10",
        shown_default="no limit",
    )
    app_name: str | None = setting("DATABRICKS_APP_NAME", help="Name of the app. Injected on Databricks Apps")
    databricks_host: str | None = setting(
        "DATABRICKS_HOST",
        field=read_by(read_workspace_url),
        help="Workspace URL, of which scheme and host count. Injected on Databricks Apps; otherwise as the "
        "SDK finds it",
    )
    databricks_token: str | None = setting(
        "DATABRICKS_TOKEN",
        field=matching(VISIBLE, error=NOT_VISIBLE),
        secret=True,
        help="Personal access token, instead of a service principal",
    )
    databricks_client_id: str | None = setting(
        "DATABRICKS_CLIENT_ID",
        field=matching(VISIBLE, error=NOT_VISIBLE),
        help="Service principal's client id. Injected on Databricks Apps",
    )
    databricks_client_secret: str | None = setting(
        "DATABRICKS_CLIENT_SECRET",
        field=matching(VISIBLE, error=NOT_VISIBLE),
        secret=True,
        help="Service principal's secret. Injected on Databricks Apps",
    )
    token_refresh_interval: float = setting(
        "TOKEN_REFRESH_INTERVAL",
        field=number(1, 3600),
        default=3000.0,
        help="Seconds between rotations of the database token, at most; sooner when its life asks for it",
    )
    pool_size: int = setting(
        "DB_POOL_SIZE", field=whole(0, 1000), default=5, help="Connections each worker keeps open"
    )
    pool_max_overflow: int = setting(
        "DB_MAX_OVERFLOW",
        field=whole(0, 1000),
        default=10,
        help="Connections each worker may open beyond `DB_POOL_SIZE`",
    )
    pool_timeout: float = setting(
        "DB_POOL_TIMEOUT",
        field=number(0.1, 100),
        default=30.0,
        help="Seconds a request waits for a connection",
    )
    command_timeout: float = setting(
        "DB_COMMAND_TIMEOUT",
        field=number(0.1, 100),
        default=10.0,
        help="Seconds a statement may take; the server ends it then",
    )
    pool_max_waiting: int = setting(
        "DB_POOL_MAX_WAITING",
        field=whole(1, 1000),
        default=40,
        help="Requests of each worker that may wait for a connection; more are answered 503 at once. For "
        "other callers there are places for a third as many again as may have one or wait",
    )
    pool_idle_timeout: float = setting(
        "DB_POOL_IDLE_TIMEOUT",
        field=number(1, 86400),
        default=600.0,
        help="Seconds after which a connection beyond `DB_POOL_SIZE` that nobody used is closed",
    )
    wake_budget: float = setting(
        "WAKE_BUDGET",
        field=number(0, 60),
        default=10.0,
        help="Seconds for which requests wait for a database that is away or waking up",
    )
    count_ttl: float = setting(
        "COUNT_TTL",
        field=number(0, 3600),
        default=5.0,
        help="Seconds for which a count is the answer to all who ask for the same one",
    )
    count_budget: float = setting(
        "COUNT_BUDGET",
        field=number(0, 60),
        default=1.0,
        help="Seconds to wait for an exact count; then the answer is the planner's estimate",
    )
    result_cache_size: int = setting(
        "RESULT_CACHE_SIZE",
        field=read_by(read_size),
        default=32 << 20,
        help="Memory of each worker for answers of lists, such as `32MB`: they are shown again while nothing "
        "in the database has changed; `0`: none are kept",
        shown_default="`32MB`",
    )
    result_cache_ttl: float = setting(
        "RESULT_CACHE_TTL",
        field=number(0, 86400),
        default=0.0,
        help="Seconds for which an answer is shown again without a look at the database: it may be as old",
    )
    result_stale_if_error: float = setting(
        "RESULT_STALE_IF_ERROR",
        field=number(0, 604800),
        default=0.0,
        help="Seconds for which an answer is shown again, with its `Age`, while the database is away",
    )
    cursor_secret: str | None = setting(
        "CURSOR_SECRET",
        field=fields.String(
            validate=validate.Length(
                SHORTEST_CURSOR_SECRET,
                error="Must have {min} characters at least, such as what `openssl rand -hex 32` prints.",
            )
        ),
        secret=True,
        help="What cursors of sorted lists are sealed with: at least 16 characters, the same on every host",
        shown_default="a random one at each start",
    )
    request_timeout: float = setting(
        "REQUEST_TIMEOUT",
        field=number(0.1, 110),
        default=30.0,
        help="Seconds a request may take; a caller may ask for less with `X-Request-Timeout`",
    )
    export_concurrency: int = setting(
        "EXPORT_CONCURRENCY",
        field=whole(0, 100),
        default=2,
        help="Connections of each worker for exports. Of one caller four times as many may be under way, and "
        "a third more for others; more are answered 503",
    )
    export_time_limit: float = setting(
        "EXPORT_TIME_LIMIT",
        field=number(0.1, 110),
        default=100.0,
        help="Seconds after which an export ends with the cursor to go on from",
    )
    pool_recycle_interval: float = setting(
        "DB_POOL_RECYCLE_INTERVAL",
        field=number(1, 86400),
        default=3600.0,
        help="Seconds after which a connection is replaced",
    )
    workers: int = setting("WEB_CONCURRENCY", field=whole(1, 64), default=2, help="gunicorn worker processes")
    threads: int = setting(
        "WEB_THREADS",
        field=whole(1, 1000),
        default=200,
        help="Threads of each worker: more than the pool, its queue and exports, so that probes are "
        "answered. In the others requests that may read the whole table wait for their turn",
    )
    pin_workers: bool = setting(
        "PIN_WORKERS",
        field=fields.Boolean(),
        default=True,
        help="`false`: the system chooses anew where each thread of a worker runs",
    )
    drain_delay: float = setting(
        "DRAIN_DELAY",
        field=number(0, 600),
        default=2.0,
        help="Seconds for which connections are still accepted after SIGTERM, while `/readyz` answers 503",
    )
    shutdown_time: int = setting(
        "SHUTDOWN_TIME",
        field=whole(STOP_MARGIN, 600),
        default=12,
        help="Seconds after SIGTERM within which the service is gone, whatever hangs: less than the platform "
        f"waits until it kills. `DRAIN_DELAY` is part of them, and {STOP_MARGIN} more are needed",
    )
    client_timeout: float = setting(
        "CLIENT_TIMEOUT",
        field=number(0.1, 100),
        default=10.0,
        help="Seconds in which a client must send its request, and take its answer",
    )
    bind: str | None = setting(
        "BIND",
        field=read_by(read_bind),
        help="Address to listen on: `host:port`, `:port` for all addresses, or `unix:path`",
        shown_default="`0.0.0.0` and the port of the platform where there is one, else `127.0.0.1:8000`",
    )
    app_port: int | None = setting(
        "DATABRICKS_APP_PORT",
        "PORT",
        field=whole(1, 65535),
        help="Port given by the platform: Databricks Apps, or another one; see `BIND`",
    )
    metrics_bind: str | None = setting(
        "METRICS_BIND",
        field=read_by(read_metrics_bind),
        help="Address at which `/metrics` is served to anyone who reaches it, beside the API's: `host:port`, "
        "or `:port` for all addresses; see [running.md](running.md#metrics)",
    )
    log_level: str = setting(
        "LOG_LEVEL",
        field=one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        default="INFO",
        help="`DEBUG`, `INFO`, `WARNING` or `ERROR`",
    )
    log_format: str = setting(
        "LOG_FORMAT", field=one_of("text", "json"), default="text", help="`text`, or `json` for JSON lines"
    )
    cors_origins: Sequence[str] = setting(
        "CORS_ORIGINS",
        field=several(read_origin),
        default=(),
        help="Origins of browser pages that may call the API, such as `https://shop.example.com`, separated "
        "by commas; or `*`, any page",
    )
    cors_credentials: bool = setting(
        "CORS_CREDENTIALS",
        field=fields.Boolean(),
        default=False,
        help="`true`: those pages may send cookies and logins, such as the platform's; not with `*`",
    )
    otlp_endpoint: str | None = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        field=matching(
            r"https?://[^\s@]+",
            error="Must be a URL of http or https without a login, which OTEL_EXPORTER_OTLP_HEADERS is for.",
        ),
        help="Collector of OpenTelemetry that gets traces and metrics, by OTLP over HTTP; see "
        "[running.md](running.md#opentelemetry). Injected on Databricks Apps where telemetry is on",
    )
    otlp_headers: str | None = setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        secret=True,
        help="Headers for the collector, `name=value` separated by commas, escaped as in URLs",
    )
    env_file: str = setting(
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
    def has_replica(self) -> bool:
        """Whether a replica is named that lists, counts, samples and exports may be read from."""
        return bool(self.read_endpoint or self.pg_host_read)

    def for_replica(self) -> "Settings":
        """The settings for the replica: nobody waits long for it, since the primary is there."""
        return dataclasses.replace(
            self,
            lakebase_endpoint=self.read_endpoint or self.lakebase_endpoint,
            pg_host=self.pg_host_read,
            pg_port=self.pg_port_read or self.pg_port,
            pool_timeout=REPLICA_PATIENCE,
            wake_budget=0.0,
        )

    @property
    def trusts_identity(self) -> bool:
        """Whether the platform's identity headers say who calls."""
        if self.trust_forwarded_identity is None:
            return self.app_name is not None
        return self.trust_forwarded_identity

    @property
    def trusted_hops(self) -> int:
        """How many proxies say where the client reaches the service."""
        if self.forwarded_hops is None:
            return 0 if self.app_name is None else 1
        return self.forwarded_hops

    @property
    def address(self) -> str:
        """``host:port``, ``unix:path`` or ``fd://n`` to listen on."""
        if self.bind:
            return self.bind
        return f"0.0.0.0:{self.app_port}" if self.app_port else "127.0.0.1:8000"

    @property
    def says_who_calls(self) -> bool:
        """Whether anything says how callers are known, or that they need not be."""
        return bool(
            self.rights_file
            or self.api_keys_file
            or self.jwt_issuer
            or self.anonymous
            or self.trusts_identity
        )

    @property
    def lets_nobody_in(self) -> bool:
        """Whether other machines can reach it, while nothing says who may call."""
        return not self.says_who_calls and is_open_to_others(self.address)

    @property
    def most_long(self) -> int:
        """How many of a worker's connections statements may have that can go through the whole table.

        The others are for what is found by a key, however much is asked for that is not.
        """
        return max(1, (self.pool_size + self.pool_max_overflow) // 7)

    @property
    def most_long_waiting(self) -> int:
        """How many requests may wait to run such a statement: as many as leave threads for all others.

        To let callers who ask at once wait costs nothing; to refuse them as fast as they come again does.
        """
        return max(self.most_long, self.threads - self.most_others - SPARE_THREADS)

    @property
    def most_long_waiting_of_one(self) -> int:
        """How many of them may be one caller's."""
        return self.most_long_waiting * TAKEN_PER_KEPT // (TAKEN_PER_KEPT + 1)

    @property
    def most_others(self) -> int:
        """How many requests of a worker may have a connection, wait for one, or send an export."""
        return self.most_borrowing + self.most_exports

    @property
    def most_borrowing(self) -> int:
        """How many requests of a worker may have a connection or wait for one."""
        return _keep_some(self.most_borrowing_of_one)

    @property
    def most_borrowing_of_one(self) -> int:
        """How many of them may be one caller's."""
        return self.pool_size + self.pool_max_overflow + self.pool_max_waiting

    @property
    def most_exports(self) -> int:
        """How many exports a worker may have under way."""
        return _keep_some(self.most_exports_of_one)

    @property
    def most_exports_of_one(self) -> int:
        """How many of them may be one caller's: for most of its time an export waits for its client."""
        return EXPORTS_PER_CONNECTION * self.export_concurrency

    def describe(self) -> dict[str, str]:
        """The values by environment name, for the log: of a secret only that it is set."""
        values = {}
        for field in dataclasses.fields(self):
            variable: Variable = field.metadata["variable"]
            value = getattr(self, field.name)
            if value not in (None, ()):
                values[variable.names[0]] = "(set)" if variable.secret else _shown(value)
        return values


def _keep_some(taken: int) -> int:
    """As many places as one caller may take, and those that are kept for others."""
    return taken + -(-taken // TAKEN_PER_KEPT)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


VARIABLES: dict[str, Variable] = {
    field.name: field.metadata["variable"] for field in dataclasses.fields(Settings)
}
