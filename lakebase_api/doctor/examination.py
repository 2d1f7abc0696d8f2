"""Looks on an open connection at everything that the service needs of the database."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from lakebase_api.doctor.capacity import judge_connections
from lakebase_api.doctor.catalogues import Catalogues
from lakebase_api.doctor.changes import judge_changes
from lakebase_api.doctor.facts import Facts, Role
from lakebase_api.doctor.marks import find_marks
from lakebase_api.doctor.relation import judge_table
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.failures import NO_CONNECT, NO_LOGIN, Failure
from lakebase_api.lakebase.findings import KEY, Check, Remedy, failed, name_changes_check, passed, skipped
from lakebase_api.lakebase.setup_logs import AT_ANY_TIME
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Table

# The checks of a table, in their order; in direct mode "update" comes after "filters".
RIGHTS = ("schema", "table", "columns", KEY, "filters")


class Examination:
    """Looks at the declared tables. Safe to share between threads; each method raises psycopg's errors."""

    def __init__(self, settings: Settings, tables: Sequence[Table]) -> None:
        self._settings = settings
        self._tables = {table.name: table for table in tables}

    @property
    def names(self) -> Sequence[str]:
        """The names of the tables, and how many there are decides whether lines have them."""
        return tuple(self._tables)

    def examine(
        self, connection: Connection, names: Collection[str] | None = None, look_until: float = AT_ANY_TIME
    ) -> list[Check]:
        """The checks of these tables, by default of all, for the role of the session.

        Only where rows must be looked at can it take longer than a moment: two seconds for a table, and not
        after ``look_until``, a time of ``time.monotonic()``.
        """
        tables = self._choose(names)
        gathered = Catalogues(connection, self._settings).gather(tables, look_until)
        rights = [] if gathered is None else [*self._judge(gathered[1])]
        return [*rights, judge_connections(connection, self._settings)]

    def examine_for(
        self, connection: Connection, role: str, names: Collection[str] | None = None
    ) -> list[Check]:
        """The same for another role, while the session is that of somebody else."""
        tables = self._choose(names)
        gathered = Catalogues(connection, self._settings, role).gather(tables, AT_ANY_TIME)
        connections = judge_connections(connection, self._settings)
        if gathered is None:
            return [miss_role(role), *self.skip(f"there is no role {role}", names), connections]
        return [_judge_role(gathered[0]), *self._judge(gathered[1]), connections]

    def find_marks(self, connection: Connection, names: Collection[str]) -> Mapping[str, str]:
        """For each of these tables what is another one once it is defined in another way."""
        return find_marks(connection, [self._tables[name] for name in names])

    def skip(self, reason: str, names: Collection[str] | None = None) -> Iterator[Check]:
        """The checks of these tables, by default of all, as not made."""
        for table in self._choose(names):
            for name in (*RIGHTS, name_changes_check(table.name)):
                yield self._label(skipped(name, reason), table)

    def _choose(self, names: Collection[str] | None) -> list[Table]:
        return [self._tables[name] for name in (self._tables if names is None else names)]

    def _judge(self, gathered: Sequence[Facts]) -> Iterator[Check]:
        for facts in gathered:
            for check in judge_table(facts, self._settings):
                yield self._label(check, facts.table)
            yield self._label(judge_changes(facts, self._settings), facts.table)

    def _label(self, check: Check, table: Table) -> Check:
        return replace(check, table=table.name, is_one_of_several=len(self._tables) > 1)


def miss_role(role: str) -> Check:
    """The check of a role that is not there."""
    # https://docs.databricks.com/aws/en/oltp/projects/postgres-roles
    create = sql.SQL("SELECT databricks_create_role({}, {})")
    kind = "USER" if "@" in role else "SERVICE_PRINCIPAL"
    return failed(
        "role",
        f"there is no role {role}",
        mend="Attach the database to the app, which makes its role; or who may create roles on Lakebase runs",
        sql=(
            "CREATE EXTENSION IF NOT EXISTS databricks_auth",
            create.format(sql.Literal(role), sql.Literal(kind)).as_string(None),
        ),
    )


def _judge_role(found: Role) -> Check:
    if not found.may_log_in:
        return _refuse_role(found, "log in", NO_LOGIN, Remedy.OTHER)
    if not found.may_connect:
        return _refuse_role(found, f"connect to {found.database}", NO_CONNECT, Remedy.GRANT)
    return passed("role", f"{found.role} may connect")


def _refuse_role(found: Role, what: str, failure: Failure, remedy: Remedy) -> Check:
    sql_that_mends = failure.build_sql(found.role, found.database)
    return failed(
        "role", f"{found.role} may not {what}", mend=failure.mend, sql=sql_that_mends, remedy=remedy
    )
