"""Reads the settings from the environment and ``.env``, and reports all mistakes at once."""

import dataclasses
import io
import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import certifi
from dotenv.parser import parse_stream
from marshmallow import ValidationError

from lakebase_api.settings import (
    CA_VERIFYING_MODES,
    UNENCRYPTED_MODES,
    VARIABLES,
    Settings,
    TargetKind,
)


class SettingsError(Exception):
    """Settings are missing or wrong. The text has a line for each mistake, by variable name.

    ``settings`` are those that could be read, with defaults in place of the others.
    """

    def __init__(self, mistakes: list[str], settings: Settings) -> None:
        super().__init__("The settings need mending:\n" + "\n".join(f"  {line}" for line in mistakes))
        self.mistakes = mistakes
        self.settings = settings


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check every setting; an empty variable counts as absent.

    Raises ``SettingsError`` naming every mistake.
    """
    environ, mistakes = _with_env_file(environ)
    values: dict[str, Any] = {}
    wrong: set[str] = set()
    for attribute, variable in VARIABLES.items():
        name = next((name for name in variable.names if environ.get(name)), None)
        if name is None:
            continue
        try:
            values[attribute] = variable.field.deserialize(environ[name])
        except ValidationError as error:
            wrong.add(attribute)
            mistakes.append(f"{name}: {' '.join(_flatten(error.messages))}")
    settings = Settings(**values)
    mistakes += _contradictions(settings, has_wrong_endpoint="lakebase_endpoint" in wrong)
    if settings.pg_sslmode in CA_VERIFYING_MODES and not settings.pg_sslrootcert:
        settings = dataclasses.replace(settings, pg_sslrootcert=certifi.where())
    if mistakes:
        raise SettingsError(mistakes, settings)
    return settings


def _with_env_file(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    path = Path(environ.get("ENV_FILE") or ".env")
    if not path.exists():
        missing = [f"ENV_FILE: there is no file {path}."] if environ.get("ENV_FILE") else []
        return dict(environ), missing
    try:
        bindings = list(parse_stream(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        return dict(environ), [f"ENV_FILE: {path} cannot be read: {error}."]
    mistakes = [
        f"ENV_FILE: {path} line {line.original.line}: not NAME=value." for line in bindings if line.error
    ]
    from_file = {line.key: line.value for line in bindings if line.key and line.value}
    return {**from_file, **{name: value for name, value in environ.items() if value}}, mistakes


def _flatten(messages: Any) -> Iterator[str]:
    if isinstance(messages, str):
        yield messages
    else:
        for message in messages.values() if isinstance(messages, dict) else messages:
            yield from _flatten(message)


def _contradictions(settings: Settings, *, has_wrong_endpoint: bool) -> Iterator[str]:
    """What is wrong with settings that are each right by themselves."""
    if not has_wrong_endpoint:
        yield from _target_mistakes(settings)
    yield from _tls_mistakes(settings)
    yield from _login_mistakes(settings)
    if settings.pool_size + settings.pool_max_overflow == 0:
        yield "DB_POOL_SIZE, DB_MAX_OVERFLOW: one of them must be above 0."


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
    if settings.pg_sslmode in UNENCRYPTED_MODES and not _is_on_this_machine(settings.pg_host):
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


def _is_on_this_machine(host: str | None) -> bool:
    if not host:
        return False
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _login_mistakes(settings: Settings) -> Iterator[str]:
    if settings.target is TargetKind.STATIC:
        return
    if settings.databricks_client_secret and not settings.databricks_client_id:
        yield "DATABRICKS_CLIENT_ID: must be set together with DATABRICKS_CLIENT_SECRET."
    if settings.databricks_client_secret and settings.databricks_token:
        yield "DATABRICKS_TOKEN, DATABRICKS_CLIENT_SECRET: set one of them, not both."
