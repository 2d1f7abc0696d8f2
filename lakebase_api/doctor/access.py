"""Whether callers can be told: what says who may call, and that keys and tokens can be checked."""

import time
from collections.abc import Iterator

import psycopg
from psycopg import sql

from lakebase_api.access.api_keys import KeptKey
from lakebase_api.access.authenticator import NOBODY, WAYS
from lakebase_api.access.key_file import WrongLines, read_key_file
from lakebase_api.access.key_table import PRIVILEGES, KeyTable
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.findings import Check, advised, failed, passed, skipped
from lakebase_api.settings import Settings

ACCESS, KEYS, PROVIDER = "access", "api_keys", "identity_provider"
# Seconds before its end from which on a key is told of.
SOON = 14 * 24 * 3600


def judge_access(settings: Settings) -> Iterator[Check]:
    """The checks that need no database."""
    yield _judge_configuration(settings)
    if _reads_no_credentials(settings):
        return
    if settings.jwt_issuer:
        yield _judge_provider(settings)
    if settings.api_keys_file:
        yield _judge_file(settings.api_keys_file)


def judge_key_table(connection: Connection | None, settings: Settings) -> Iterator[Check]:
    """The check of the table of keys, on the connection if there is one."""
    if settings.api_keys_file or _reads_no_credentials(settings):
        return
    if connection is None:
        yield skipped(KEYS, "no connection")
        return
    table = KeyTable(connection, settings.status_schema)
    try:
        if not table.is_there:
            yield passed(KEYS, "there are none; python -m lakebase_api keys create makes one")
            return
        yield _judge_keys(list(table.read().values()))
    except psycopg.errors.InsufficientPrivilege as error:
        yield _miss_grant(connection, settings, first_line(error))
    except psycopg.Error as error:
        yield skipped(KEYS, first_line(error))


def _reads_no_credentials(settings: Settings) -> bool:
    return bool(settings.app_name or settings.trusts_identity)


def _judge_configuration(settings: Settings) -> Check:
    if settings.lets_nobody_in:
        return failed(
            ACCESS, f"only probes and documentation are served. {NOBODY}", mend=f"Set one of {WAYS}"
        )
    if not settings.says_who_calls:
        return passed(
            ACCESS, f"everybody who reaches {settings.address} may do everything: this machine alone"
        )
    known = {
        "the proxy in front says who calls": settings.trusts_identity,
        "tokens of JWT_ISSUER": settings.jwt_issuer and not _reads_no_credentials(settings),
        "API keys": not _reads_no_credentials(settings),
        f"ANONYMOUS={settings.anonymous}": settings.anonymous,
    }
    return passed(ACCESS, ", ".join(how for how, is_so in known.items() if is_so))


def _judge_provider(settings: Settings) -> Check:
    # Imports what a service without tokens does without.
    from lakebase_api.access.key_set import FETCH_TIME
    from lakebase_api.access.provider import Provider, ProviderError

    assert settings.jwt_issuer
    try:
        keys = Provider(settings.jwt_issuer, settings.jwt_jwks_url, FETCH_TIME).fetch_keys()
    except ProviderError as error:
        return failed(
            PROVIDER,
            f"its keys cannot be had: {first_line(error)}",
            mend="Correct JWT_ISSUER or JWT_JWKS_URL, and see that it can be reached from here",
        )
    if not any(key.fits(algorithm) for key in keys for algorithm in settings.jwt_algorithms):
        return failed(
            PROVIDER,
            f"none of its keys is for {', '.join(settings.jwt_algorithms)}",
            mend="Set JWT_ALGORITHMS to what it signs with",
        )
    return passed(PROVIDER, f"{len(keys)} keys")


def _judge_file(file: str) -> Check:
    try:
        return _judge_keys(list(read_key_file(file).values()))
    except (OSError, WrongLines) as error:
        return failed(KEYS, str(error), mend="Correct API_KEYS_FILE")


def _judge_keys(keys: list[KeptKey]) -> Check:
    now = time.time()
    live = [key for key in keys if key.expires_at is None or key.expires_at > now]
    ending = sorted({key.name for key in live if key.expires_at and key.expires_at < now + SOON})
    # Of which another key lives on: it was rotated.
    ending = [name for name in ending if not any(key.name == name and _is_lasting(key, now) for key in live)]
    says = f"{len(live)} that are accepted"
    if ending:
        names = ", ".join(ending)
        return advised(KEYS, f"{says}; soon no longer: {names}", mend="Run keys rotate for each", sql=())
    return passed(KEYS, says)


def _is_lasting(key: KeptKey, now: float) -> bool:
    return key.expires_at is None or key.expires_at >= now + SOON


def _miss_grant(connection: Connection, settings: Settings, says: str) -> Check:
    names = {
        "schema": sql.Identifier(settings.status_schema),
        "role": sql.Identifier(connection.info.user),
        "table": sql.Identifier(settings.status_schema, "api_key"),
    }
    grants = ("GRANT USAGE ON SCHEMA {schema} TO {role}", f"GRANT {PRIVILEGES} ON {{table}} TO {{role}}")
    return failed(
        KEYS,
        says,
        mend="The owner of the table runs",
        sql=tuple(sql.SQL(grant).format(**names).as_string(None) for grant in grants),
    )
