"""All checks in their order, from the settings to the connections, whatever is wrong on the way."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import psycopg

from lakebase_api.access.rights_file import RightsError, load_rights
from lakebase_api.doctor import login
from lakebase_api.doctor.access import judge_access, judge_key_table
from lakebase_api.doctor.app_role import find_app_role
from lakebase_api.doctor.examination import Examination
from lakebase_api.doctor.freshness import judge_freshness
from lakebase_api.doctor.growth import judge_growth
from lakebase_api.doctor.own_tables import judge_own_tables
from lakebase_api.doctor.replica import judge_replica
from lakebase_api.doctor.roles import judge_rights
from lakebase_api.environment import SettingsError, load_settings
from lakebase_api.lakebase.connection import LakebaseConnection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.findings import CONNECTIONS, Check, failed, passed, skipped
from lakebase_api.redaction import redact
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Table
from lakebase_api.table.loading import load_tables
from lakebase_api.table.mistakes import TablesError

# A mistake in one of these leaves nothing to connect to, or nothing to look for there.
NEEDED = ("PG", "DATABRICKS_", "LAKEBASE_", "ENDPOINT_NAME", "ENV_FILE", "DEFAULT_POSTGRES_", "STATUS_WRITES")
MEND_FIRST = "the settings need mending first"
SIZES = ("WEB_CONCURRENCY", "DB_POOL_SIZE", "DB_MAX_OVERFLOW")


def run_checks(environ: Mapping[str, str], role: str | None = None) -> Iterator[Check]:
    """Yield each check once it is made, without secrets.

    ``role``: whose rights to look at, if not the login's.
    """
    for check in _run_checks(environ, role):
        sql = tuple(redact(statement) for statement in check.sql)
        yield replace(check, says=redact(check.says), mend=redact(check.mend), sql=sql)


def _run_checks(environ: Mapping[str, str], role: str | None) -> Iterator[Check]:
    try:
        settings = load_settings(environ)
    except SettingsError as error:
        yield from (_judge_mistake(mistake) for mistake in error.mistakes)
        if _mention(error.mistakes, NEEDED):
            tables = yield from _check_tables(error.settings)
            yield from _skip_all(error.settings, tables, MEND_FIRST)
            return
        settings, mistakes = error.settings, error.mistakes
    else:
        hint = "" if settings.cursor_secret else "; several hosts need a CURSOR_SECRET, which is not set"
        yield passed("settings", f"{settings.target}{hint}")
        mistakes = []
    yield from judge_access(settings)
    tables = yield from _check_tables(settings)
    if tables and settings.says_who_calls:
        yield from _check_rights(settings, tables)
    if tables:
        yield from _check_database(settings, tables, role, is_sized=not _mention(mistakes, SIZES))
        yield from judge_freshness(settings, tables, role)
    else:
        yield from _skip_all(settings, tables, "the tables need mending first")


def _check_tables(settings: Settings) -> Generator[Check, None, Sequence[Table]]:
    """Yield what is wrong with the declarations; the tables that can be looked at all the same."""
    try:
        return load_tables(settings)
    except TablesError as error:
        yield from (_judge_mistake(mistake, "tables") for mistake in error.mistakes)
        return ()


def _check_rights(settings: Settings, tables: Sequence[Table]) -> Iterator[Check]:
    try:
        yield judge_rights(settings, load_rights(settings, tables))
    except RightsError as error:
        yield from (_judge_mistake(mistake, "rights") for mistake in error.mistakes)


def _skip_all(settings: Settings, tables: Sequence[Table], reason: str) -> Iterator[Check]:
    yield from (skipped(name, reason) for name in login.STEPS)
    yield from _skip_database(Examination(settings, tables), reason)


def _judge_mistake(mistake: str, check: str = "settings") -> Check:
    name, _, says = mistake.partition(": ")
    return failed(check, f"{name}: {says.rstrip('.')}", mend=f"Correct {name}")


def _mention(mistakes: Iterable[str], names: tuple[str, ...]) -> bool:
    return any(
        name.startswith(names) for mistake in mistakes for name in mistake.partition(":")[0].split(", ")
    )


def _check_database(
    settings: Settings, tables: Sequence[Table], role: str | None, *, is_sized: bool
) -> Iterator[Check]:
    examination = Examination(settings, tables)
    connection = yield from login.log_in(settings)
    if connection is None:
        yield from _skip_database(examination, "no connection")
        yield from judge_key_table(None, settings)
        yield from judge_own_tables(None, settings.status_schema)
        yield judge_growth(None, settings.status_schema, tables)
        yield from judge_replica(settings, None)
        return
    with connection:
        for check in _examine(settings, examination, connection, role):
            is_guess = check.name == CONNECTIONS and not is_sized
            yield skipped(check.name, MEND_FIRST) if is_guess else check
        if role is None:
            yield from judge_key_table(connection, settings)
        yield from judge_own_tables(connection, settings.status_schema, role)
        yield judge_growth(connection, settings.status_schema, tables)
        yield from judge_replica(settings, connection)


def _skip_database(examination: Examination, reason: str) -> Iterator[Check]:
    yield from examination.skip(reason)
    yield skipped(CONNECTIONS, reason)


def _examine(
    settings: Settings, examination: Examination, connection: LakebaseConnection, role: str | None
) -> Iterator[Check]:
    try:
        if role is None:
            yield from _warn_of_another(settings, connection)
            yield from examination.examine(connection)
        else:
            yield from examination.examine_for(connection, role)
    except psycopg.Error as error:
        yield failed(
            "catalogues",
            first_line(error),
            mend="Run this again; raise DB_COMMAND_TIMEOUT if it took too long",
        )
    except Exception as error:  # noqa: BLE001  told as a check: a traceback would tell less
        yield failed(
            "catalogues",
            f"what the database holds could not be read: {type(error).__name__}: {first_line(error)}",
            mend="Report this line, with the version of the server, to whoever maintains this service",
        )


def _warn_of_another(settings: Settings, connection: LakebaseConnection) -> Iterator[Check]:
    """Say that the rights of a person, say, are not those of the app."""
    app_role = find_app_role(settings)
    if app_role != connection.info.user:
        whose = app_role or "<the app's client id>"
        yield skipped("role", f"these are the rights of {connection.info.user}; the app's: --role {whose}")
