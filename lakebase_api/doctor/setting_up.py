"""Makes the tables that keep status changes, as the app's role or for it."""

from collections.abc import Mapping
from dataclasses import replace

import psycopg
from psycopg import sql

from lakebase_api.doctor.app_role import find_app_role
from lakebase_api.doctor.catalogues import gather_facts
from lakebase_api.doctor.changes import SETUP, is_current, judge_changes
from lakebase_api.doctor.examination import miss_role
from lakebase_api.doctor.facts import Facts
from lakebase_api.doctor.login import log_in
from lakebase_api.environment import SettingsError, load_settings
from lakebase_api.lakebase.checks import State
from lakebase_api.lakebase.connecting import Connection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.orders import overlay
from lakebase_api.redaction import redact
from lakebase_api.settings import Settings, StatusWrites

UNKNOWN = "<the client id of the app>"


class SetupRefused(Exception):
    """Nothing was changed; the text says why, and the way out, and holds no secret."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


def set_up(environ: Mapping[str, str], role: str | None = None) -> str:
    """Make the tables, or bring them to this release, and say in a line what was done.

    ``role`` is who may work with them, by default the app's, which then must be the one that logs in. May be
    run any number of times, and by several hosts at once. Raises ``SetupRefused``.
    """
    try:
        settings = load_settings(environ)
    except SettingsError as error:
        raise SetupRefused(str(error)) from None
    steps = log_in(settings)
    while True:
        try:
            check = next(steps)
        except StopIteration as end:
            connection = end.value
            break
        if check.state is State.FAILED:
            raise SetupRefused(check.line)
    with connection:
        return _set_up_for(connection, settings, role or _app_role(settings, connection.info.user))


def _app_role(settings: Settings, login: str) -> str:
    """The role to set up for when none was named: the login, if it is the app's."""
    app_role = find_app_role(settings)
    if app_role == login:
        return login
    known = f"the app is {app_role}" if app_role else "who the app is, the settings do not say"
    raise SetupRefused(
        f"This login is {login}, and {known}. Only the owner of the tables can grant or change them. "
        f"Run this as the app; or, to own them and grant them to it: `{SETUP} --role {app_role or UNKNOWN}`."
    )


def _set_up_for(connection: Connection, settings: Settings, role: str) -> str:
    try:
        before = _gather(connection, settings, role)
        if is_current(before):
            return f"{_describe(before, settings)} Nothing had to be done."
        steps = _make(connection, settings, role)
    except psycopg.errors.InsufficientPrivilege as error:
        raise _explain(connection, settings, role, error) from error
    except psycopg.Error as error:
        raise SetupRefused(f"{first_line(error)}. Nothing was changed.") from error
    after = _gather(connection, settings, role)
    check = judge_changes(after, replace(settings, orders_writes=StatusWrites.OVERLAY))
    if check.state is State.FAILED:
        raise SetupRefused(check.line)
    return f"{_describe(after, settings)} {steps} made; {role} may work with it."


def _make(connection: Connection, settings: Settings, role: str) -> str:
    """Migrate and grant in one transaction, which also keeps the lock to its end."""
    with connection.transaction():
        steps = overlay.set_up(connection, settings.status_schema)
        if role != connection.info.user:
            for statement in overlay.grants(settings.status_schema, role):
                connection.execute(statement.encode())
    return "1 migration" if steps == 1 else f"{steps} migrations"


def _gather(connection: Connection, settings: Settings, role: str) -> Facts:
    facts = gather_facts(connection, settings, role)
    if facts is None:
        raise SetupRefused(miss_role(role).line)
    return facts


def _describe(facts: Facts, settings: Settings) -> str:
    return f"Schema {settings.status_schema} belongs to {facts.relation.status_schema_owner}."


def _explain(
    connection: Connection, settings: Settings, role: str, error: psycopg.errors.InsufficientPrivilege
) -> SetupRefused:
    """What to do about a schema that cannot be made, or is somebody else's."""
    login = connection.info.user
    facts = _gather(connection, settings, login)
    owner = facts.relation.status_schema_owner
    names = {
        "schema": sql.Identifier(settings.status_schema),
        "database": sql.Identifier(facts.relation.database),
        "login": sql.Identifier(login),
    }
    said = f"{first_line(error)}. Nothing was changed."
    if owner is None or owner == login:
        grant = sql.SQL("GRANT CREATE ON DATABASE {database} TO {login}").format(**names).as_string(None)
        return SetupRefused(f"{said} The owner of the database runs: {grant};")
    return SetupRefused(
        f"{said} Schema {settings.status_schema} belongs to {owner}: {owner} runs `{SETUP} --role {role}`, "
        f"or hands it over: {_hand_over(facts, settings, login)}"
    )


def _hand_over(facts: Facts, settings: Settings, login: str) -> str:
    """The SQL that makes the schema and what is in it the login's."""
    schema, role = sql.Identifier(settings.status_schema), sql.Identifier(login)
    there = [item.table for item in facts.privileges if item.is_granted is not None]
    statements = [sql.SQL("ALTER SCHEMA {} OWNER TO {};").format(schema, role)]
    statements += [
        sql.SQL("ALTER TABLE {} OWNER TO {};").format(sql.Identifier(settings.status_schema, table), role)
        for table in dict.fromkeys(there)
    ]
    return sql.SQL(" ").join(statements).as_string(None)
