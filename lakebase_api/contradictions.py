"""Says what is wrong, or breaks a promise, with settings that are each right by themselves."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from lakebase_api.addresses import is_loopback, is_open_to_others
from lakebase_api.settings import (
    CA_VERIFYING_MODES,
    EXPORTS_PER_CONNECTION,
    STOP_MARGIN,
    UNENCRYPTED_MODES,
    Settings,
    TargetKind,
)


def find_contradictions(settings: Settings, wrong: set[str]) -> Iterator[str]:
    """A line for each, by variable name; ``wrong`` are the settings that are wrong by themselves."""
    for look_at, find_mistakes in CONTRADICTIONS:
        if not wrong.intersection(look_at):
            yield from find_mistakes(settings)


def find_risks(settings: Settings) -> Iterator[str]:
    """What may be meant, and the log should warn of at start."""
    if settings.threads <= settings.most_others:
        yield (
            f"WEB_THREADS={settings.threads} does not exceed a third more than DB_POOL_SIZE + "
            f"DB_MAX_OVERFLOW + DB_POOL_MAX_WAITING + {EXPORTS_PER_CONNECTION} x EXPORT_CONCURRENCY, "
            f"{settings.most_others}: probes may have to wait behind requests"
        )
    if settings.metrics_bind and is_open_to_others(settings.metrics_bind):
        yield (
            f"METRICS_BIND={settings.metrics_bind} shows the metrics to whoever reaches that address: names "
            "of tables, how much they are used, and how the database is"
        )
    for name in _find_unused(settings):
        yield f"{name} is not used, since {settings.target} comes first"
    if settings.app_name or settings.trusts_identity:
        given = {"API_KEYS_FILE": settings.api_keys_file, "JWT_ISSUER": settings.jwt_issuer}
        yield from (
            f"{name} is not used, since the proxy in front says who calls"
            for name, value in given.items()
            if value
        )


def _find_unused(settings: Settings) -> Iterator[str]:
    """Settings of a database that is not the one served."""
    if settings.target is TargetKind.AUTOSCALING and settings.database_instance:
        yield "DATABRICKS_DATABASE_INSTANCE"
    if settings.target is not TargetKind.STATIC and settings.pg_password:
        yield "PGPASSWORD"


def _target_mistakes(settings: Settings) -> Iterator[str]:
    if settings.target is not TargetKind.STATIC:
        return
    if not settings.pg_host and not settings.pg_password:
        yield (
            "LAKEBASE_ENDPOINT, DATABRICKS_DATABASE_INSTANCE, PGHOST with PGPASSWORD: "
            "set one of the three, to say which database to serve."
        )
        return
    if not settings.pg_host:
        yield "PGHOST: must be set together with PGPASSWORD."
    if not settings.pg_password:
        yield (
            "PGPASSWORD: must be set together with PGHOST; for Lakebase set LAKEBASE_ENDPOINT "
            "or DATABRICKS_DATABASE_INSTANCE instead."
        )
    if not settings.pg_user:
        yield "PGUSER: must be set together with PGHOST and PGPASSWORD."


def _tls_mistakes(settings: Settings) -> Iterator[str]:
    hosts = [settings.pg_host, *([settings.pg_host_read] if settings.pg_host_read else [])]
    if settings.pg_sslmode in UNENCRYPTED_MODES and not all(map(_is_on_this_machine, hosts)):
        yield (
            f"PGSSLMODE: {settings.pg_sslmode} does not enforce TLS and is for a loopback host "
            "or a socket folder only; use require, verify-ca or verify-full."
        )
    if settings.pg_sslrootcert:
        if settings.pg_sslmode not in CA_VERIFYING_MODES:
            # libpq takes "require" with a root file for "verify-ca".
            yield "PGSSLROOTCERT: goes with PGSSLMODE=verify-ca or verify-full only."
        elif not Path(settings.pg_sslrootcert).is_file():
            yield f"PGSSLROOTCERT: there is no file {settings.pg_sslrootcert}."
        elif not _has_certificates(settings.pg_sslrootcert):
            yield f"PGSSLROOTCERT: no certificates can be read from {settings.pg_sslrootcert}."


def _replica_mistakes(settings: Settings) -> Iterator[str]:
    if settings.read_endpoint and settings.pg_host_read:
        yield "LAKEBASE_READ_ENDPOINT, PGHOST_READ: set one of them, not both."
    elif settings.read_endpoint and settings.target is not TargetKind.AUTOSCALING:
        yield "LAKEBASE_READ_ENDPOINT: goes with LAKEBASE_ENDPOINT only; else set PGHOST_READ."
    if settings.pg_port_read and not settings.has_replica:
        yield "PGPORT_READ: goes with PGHOST_READ or LAKEBASE_READ_ENDPOINT only."


def _has_certificates(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:
        return False
    return True


def _is_on_this_machine(hosts: str | None) -> bool:
    """Whether all hosts, of which libpq may take any, are loopback or the folder of a socket."""
    return bool(hosts) and all(host.startswith("/") or is_loopback(host) for host in (hosts or "").split(","))


def _login_mistakes(settings: Settings) -> Iterator[str]:
    if settings.target is TargetKind.STATIC:
        return
    if settings.databricks_client_secret and not settings.databricks_client_id:
        yield "DATABRICKS_CLIENT_ID: must be set together with DATABRICKS_CLIENT_SECRET."
    if settings.databricks_client_secret and settings.databricks_token:
        yield "DATABRICKS_TOKEN, DATABRICKS_CLIENT_SECRET: set one of them, not both."


def _pool_mistakes(settings: Settings) -> Iterator[str]:
    if settings.pool_size + settings.pool_max_overflow == 0:
        yield "DB_POOL_SIZE, DB_MAX_OVERFLOW: one of them must be above 0."


def _stop_mistakes(settings: Settings) -> Iterator[str]:
    if settings.drain_delay + STOP_MARGIN > settings.shutdown_time:
        yield (
            f"DRAIN_DELAY, SHUTDOWN_TIME: of {settings.shutdown_time} s a drain may take "
            f"{settings.shutdown_time - STOP_MARGIN} at most; then what is in flight is finished."
        )


def _cors_mistakes(settings: Settings) -> Iterator[str]:
    if settings.cors_credentials and not settings.cors_origins:
        yield "CORS_CREDENTIALS: goes with CORS_ORIGINS only."
    elif settings.cors_credentials and "*" in settings.cors_origins:
        yield "CORS_CREDENTIALS, CORS_ORIGINS: no browser sends logins to any page; name the origins."


def _token_mistakes(settings: Settings) -> Iterator[str]:
    if settings.jwt_issuer and not settings.jwt_audience:
        yield (
            "JWT_AUDIENCE: must be set together with JWT_ISSUER: tokens that the provider gave for another "
            "service would be accepted else."
        )
    if not settings.jwt_issuer:
        given = {
            "JWT_AUDIENCE": settings.jwt_audience,
            "JWT_JWKS_URL": settings.jwt_jwks_url,
            "JWT_ROLES_CLAIM": settings.jwt_roles_claim,
        }
        yield from (f"{name}: goes with JWT_ISSUER only." for name, value in given.items() if value)


def _metrics_mistakes(settings: Settings) -> Iterator[str]:
    if settings.metrics_bind and settings.metrics_bind == settings.address:
        yield "METRICS_BIND: the API is served there; take another port."


def _key_mistakes(settings: Settings) -> Iterator[str]:
    if settings.api_keys_file and not Path(settings.api_keys_file).is_file():
        yield f"API_KEYS_FILE: there is no file {settings.api_keys_file}."


# With the settings that each looks at: where one is wrong by itself, more words on it would mislead.
CONTRADICTIONS: tuple[tuple[tuple[str, ...], Callable[[Settings], Iterator[str]]], ...] = (
    (("lakebase_endpoint", "database_instance", "pg_host", "pg_user", "pg_password"), _target_mistakes),
    (("pg_host", "pg_host_read", "pg_sslmode", "pg_sslrootcert"), _tls_mistakes),
    (("lakebase_endpoint", "read_endpoint", "pg_host_read", "pg_port_read"), _replica_mistakes),
    (("databricks_client_id", "databricks_client_secret", "databricks_token"), _login_mistakes),
    (("pool_size", "pool_max_overflow"), _pool_mistakes),
    (("drain_delay", "shutdown_time"), _stop_mistakes),
    (("cors_origins", "cors_credentials"), _cors_mistakes),
    (("jwt_issuer", "jwt_audience", "jwt_jwks_url", "jwt_roles_claim"), _token_mistakes),
    (("api_keys_file",), _key_mistakes),
    (("bind", "app_port", "metrics_bind"), _metrics_mistakes),
)
