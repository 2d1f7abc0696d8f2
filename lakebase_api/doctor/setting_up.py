"""Makes the tables that keep changes of declared tables, as the app's role or for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from lakebase_api.access.key_table import KeyTable
from lakebase_api.doctor.app_role import find_app_role
from lakebase_api.doctor.catalogues import Catalogues
from lakebase_api.doctor.changes import SETUP, is_current, judge_changes
from lakebase_api.doctor.examination import miss_role
from lakebase_api.doctor.facts import Facts, Role
from lakebase_api.doctor.login import LoginFailed, log_in_or_fail
from lakebase_api.doctor.names import quote
from lakebase_api.doctor.own_tables import find_own_table
from lakebase_api.environment import SettingsError, load_settings
from lakebase_api.lakebase.connection import Connection, LakebaseConnection
from lakebase_api.lakebase.failures import first_line
from lakebase_api.lakebase.findings import State
from lakebase_api.lakebase.setup_logs import AT_NO_ROWS
from lakebase_api.redaction import redact
from lakebase_api.settings import Settings
from lakebase_api.sql import overlay_tables
from lakebase_api.sql.own_tables import OWN_TABLES, OwnTable
from lakebase_api.table.declaration import Table
from lakebase_api.table.loading import load_tables
from lakebase_api.table.mistakes import TablesError

FIND_OWN = """
SELECT relname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND relkind = 'r' ORDER BY relname
"""
UNKNOWN = "<the client id of the app>"


class SetupRefused(Exception):
    """Nothing was changed; the text says why, and the way out, and holds no secret."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


def set_up(environ: Mapping[str, str], role: str | None = None, owner: str | None = None) -> str:
    """Make the tables, or bring them to this release, and say in a line what was done.

    ``role`` is who may work with them, by default the app's, which then must be the one that logs in.
    ``owner`` is who is to own them, by default who makes them. May be run any number of times, and by several
    hosts at once. Raises ``SetupRefused``.
    """
    settings, declared, connection = begin(environ)
    tables = [table for table in declared if table.changeable]
    with connection:
        role = role or _app_role(settings, connection.info.user)
        return _Setup(connection, settings, tables, role, owner).run()


def begin(environ: Mapping[str, str]) -> tuple[Settings, Sequence[Table], LakebaseConnection]:
    """The settings, the declared tables and a login. Raises ``SetupRefused``."""
    try:
        settings = load_settings(environ)
        return settings, load_tables(settings), log_in_or_fail(settings)
    except (SettingsError, TablesError, LoginFailed) as error:
        raise SetupRefused(str(error)) from None


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


@dataclass(frozen=True)
class _Setup:
    """Setting up for the tables that may be changed, on a connection in autocommit mode."""

    connection: Connection
    settings: Settings
    tables: Sequence[Table]
    role: str
    owner: str | None

    def run(self) -> str:
        """Make what is missing, and say in a line what was done. Raises ``SetupRefused``."""
        try:
            role, before = self._gather(self.role)
            if all(map(is_current, before)) and all(map(self._has, OWN_TABLES)):
                return f"{self._describe(role)} Nothing had to be done."
            steps = self._make()
        except psycopg.errors.InsufficientPrivilege as error:
            raise self._explain(error) from error
        except psycopg.Error as error:
            raise SetupRefused(f"{first_line(error)}. Nothing was changed.") from error
        role, after = self._gather(self.role)
        for facts in after:
            check = judge_changes(facts, self.settings, for_reading=False)
            if check.state is State.FAILED:
                raise SetupRefused(check.line)
        return f"{self._describe(role)} {steps} made; {self.role} may work with it."

    def _make(self) -> str:
        """Migrate, give away and grant in one transaction, which also keeps the lock to its end."""
        schema = self.settings.status_schema
        with self.connection.transaction():
            steps = sum(overlay_tables.set_up(self.connection, schema, [table]) > 0 for table in self.tables)
            for table in OWN_TABLES:
                table.make(self.connection, schema)
            for statement in self._list_ownership():
                self.connection.execute(statement.encode())
        return "1 migration" if steps == 1 else f"{steps} migrations"

    def _list_ownership(self) -> Sequence[str]:
        """The SQL that has the owner own the tables, and the role work with them."""
        schema = self.settings.status_schema
        given = [] if self.owner is None else self._give_away(quote(self.owner))
        if self.role == (self.owner or self.connection.info.user):
            return given
        granted = [
            *overlay_tables.grants(schema, self.role, self.tables),
            *(grant for table in OWN_TABLES for grant in table.list_grants(schema, self.role)),
        ]
        keys = KeyTable(self.connection, schema)
        return [*given, *granted, *(keys.list_grants(self.role) if keys.is_there else ())]

    def _give_away(self, owner: str) -> list[str]:
        """The SQL that gives everything in the schema, and the schema, to a role: its owner could drop it."""
        schema = self.settings.status_schema
        names = [name for (name,) in self.connection.execute(FIND_OWN, (schema,))]
        tables = [f"ALTER TABLE {quote(schema, name)} OWNER TO {owner}" for name in names]
        # Who is to own a table must be allowed to make one there.
        return [f"ALTER SCHEMA {quote(schema)} OWNER TO {owner}", *tables]

    def _has(self, table: OwnTable) -> bool:
        """Whether the table is there, the role may work with it, and the owner owns it."""
        found = find_own_table(self.connection, table, self.settings.status_schema, self.role)
        return found is not None and found.may_work and self.owner in (None, found.owner)

    def _gather(self, name: str) -> tuple[Role, Sequence[Facts]]:
        gathered = Catalogues(self.connection, self.settings, name).gather(self.tables, AT_NO_ROWS)
        if gathered is None:
            raise SetupRefused(miss_role(name).line)
        return gathered

    def _describe(self, role: Role) -> str:
        if not self.tables:
            return "No table is declared that may be changed."
        return f"Schema {self.settings.status_schema} belongs to {role.status_schema_owner}."

    def _explain(self, error: psycopg.errors.InsufficientPrivilege) -> SetupRefused:
        """What to do about a schema that cannot be made, or is somebody else's."""
        login, schema = self.connection.info.user, self.settings.status_schema
        role, gathered = self._gather(login)
        owner = role.status_schema_owner
        said = f"{first_line(error)}. Nothing was changed."
        if owner is None or owner == login:
            grant = f"GRANT CREATE ON DATABASE {quote(role.database)} TO {quote(login)}"
            return SetupRefused(f"{said} The owner of the database runs: {grant};")
        return SetupRefused(
            f"{said} Schema {schema} belongs to {owner}: {owner} runs `{SETUP} --role {self.role}`, "
            f"or hands it over: {self._hand_over(gathered)}"
        )

    def _hand_over(self, gathered: Sequence[Facts]) -> str:
        """The SQL that makes the schema and what is in it the login's."""
        schema, login = self.settings.status_schema, quote(self.connection.info.user)
        there = dict.fromkeys(
            name
            for facts in gathered
            for (name, _), is_granted in facts.own.privileges.items()
            if is_granted is not None
        )
        statements = [f"ALTER SCHEMA {quote(schema)} OWNER TO {login};"]
        there |= {table.name: None for table in OWN_TABLES if table.is_there(self.connection, schema)}
        statements += [f"ALTER TABLE {quote(schema, name)} OWNER TO {login};" for name in there]
        return " ".join(statements)
