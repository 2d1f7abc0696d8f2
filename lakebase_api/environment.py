"""Reads the settings from the environment and ``.env``, and reports all mistakes at once."""

import dataclasses
import io
import os
import string
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import certifi
from dotenv.parser import parse_stream
from marshmallow import ValidationError

from lakebase_api.contradictions import find_contradictions
from lakebase_api.redaction import keep_secret, redact
from lakebase_api.settings import CA_VERIFYING_MODES, VARIABLES, Settings

# Blanks and line ends, and what editors and browsers leave beside a text unseen.
UNSEEN = string.whitespace + "\u00a0\u200b\ufeff"
# Control characters, line ends of Unicode, and bytes that are not UTF-8.
UNFIT = ("Cc", "Zl", "Zp", "Cs")
# What the SDK and libpq would read in the environment only, and that decides who logs in, and where. So does
# OpenTelemetry's, which has a hundred.
NOT_OF_THE_FILE = (
    "DATABRICKS_CONFIG_PROFILE",
    "DATABRICKS_CONFIG_FILE",
    "DATABRICKS_AUTH_TYPE",
    "ARM_CLIENT_ID",
    "ARM_CLIENT_SECRET",
    "ARM_TENANT_ID",
    "PGSERVICE",
    "PGPASSFILE",
    "PGSSLCERT",
    "PGSSLKEY",
)


class SettingsError(Exception):
    """Settings are missing or wrong. The text has a line for each mistake, by variable name.

    ``settings`` are those that could be read, with defaults in place of the others.
    """

    def __init__(self, mistakes: list[str], settings: Settings) -> None:
        self.mistakes = [redact(line) for line in mistakes]
        super().__init__("The settings need mending:\n" + "\n".join(f"  {line}" for line in self.mistakes))
        self.settings = settings


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check every setting; an empty variable counts as absent.

    Blanks and line ends around a value are cut off. From now on the secrets are kept out of what is logged.
    Raises ``SettingsError`` naming every mistake.
    """
    environ, mistakes = _with_env_file(environ)
    values: dict[str, Any] = {}
    wrong: set[str] = set()
    for attribute, variable in VARIABLES.items():
        name = next((name for name in variable.names if environ.get(name)), None)
        if name is None:
            continue
        if variable.secret:
            keep_secret(environ[name])
        try:
            _refuse_unfit(environ[name])
            values[attribute] = variable.field.deserialize(environ[name])
        except ValidationError as error:
            wrong.add(attribute)
            mistakes.append(f"{name}: {' '.join(error.messages)}")
    settings = Settings(**values)
    mistakes += find_contradictions(settings, wrong)
    if environ.get("PGHOSTADDR"):
        mistakes.append("PGHOSTADDR: would lead past PGHOST; unset it, and put the address into PGHOST.")
    if settings.pg_sslmode in CA_VERIFYING_MODES and not settings.pg_sslrootcert:
        settings = dataclasses.replace(settings, pg_sslrootcert=certifi.where())
    if mistakes:
        raise SettingsError(mistakes, settings)
    return settings


def _refuse_unfit(text: str) -> None:
    for character in text:
        if unicodedata.category(character) in UNFIT:
            raise ValidationError(
                f"Has the character U+{ord(character):04X} in it, which does not belong there."
            )


def _with_env_file(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    environ = _trim(environ)
    path = Path(environ.get("ENV_FILE", ".env"))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return environ, [f"ENV_FILE: there is no file {path}."] if "ENV_FILE" in environ else []
    except (OSError, ValueError) as error:
        return environ, [f"ENV_FILE: {path} cannot be read: {error}."]
    lines = list(parse_stream(io.StringIO(text)))
    mistakes = [
        f"ENV_FILE: {path} line {line.original.line}: not NAME=value." for line in lines if line.error
    ]
    from_file = _trim({line.key: line.value for line in lines if line.key and line.value})
    mistakes += [
        f"{name}: is not read from {path}; set it in the environment."
        for name in (*NOT_OF_THE_FILE, *filter(_is_of_opentelemetry, from_file))
        if name in from_file
    ]
    return {**from_file, **environ}, mistakes


def _is_of_opentelemetry(name: str) -> bool:
    return name.startswith("OTEL_")


def _trim(variables: Mapping[str, str]) -> dict[str, str]:
    trimmed = {name: value.strip(UNSEEN) for name, value in variables.items()}
    return {name: value for name, value in trimmed.items() if value}
