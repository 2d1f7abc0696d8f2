"""Looks on an open connection at everything that the service needs of the database."""

from psycopg import sql

from lakebase_api.doctor.capacity import judge_connections
from lakebase_api.doctor.catalogues import gather_facts
from lakebase_api.doctor.changes import judge_changes
from lakebase_api.doctor.facts import Relation
from lakebase_api.doctor.table import judge_table
from lakebase_api.lakebase.checks import CONNECTIONS, STATUS_CHANGES, Check, failed, passed, skipped
from lakebase_api.lakebase.connecting import Connection
from lakebase_api.settings import Settings

# The checks of a connection, in their order; in direct mode "update" comes after "filters".
RIGHTS = ("schema", "table", "columns", "index", "filters", STATUS_CHANGES)
NAMES = (*RIGHTS, CONNECTIONS)


def examine(settings: Settings, connection: Connection, *, looks_at_rows: bool = True) -> list[Check]:
    """The checks for the role of the session. Raises psycopg's errors; any thread may call it.

    Only where rows must be looked at can it take longer than a moment, two seconds at the most.
    """
    facts = gather_facts(connection, settings, looks_at_rows=looks_at_rows)
    rights = [] if facts is None else [*judge_table(facts, settings), judge_changes(facts, settings)]
    return [*rights, judge_connections(connection, settings)]


def examine_for(settings: Settings, connection: Connection, role: str) -> list[Check]:
    """The same for another role, whether the session is that of somebody else. Raises psycopg's errors."""
    facts = gather_facts(connection, settings, role)
    connections = judge_connections(connection, settings)
    if facts is None:
        missing = f"there is no role {role}"
        return [miss_role(role), *(skipped(name, missing) for name in RIGHTS), connections]
    return [
        _judge_role(facts.relation),
        *judge_table(facts, settings),
        judge_changes(facts, settings),
        connections,
    ]


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


def _judge_role(relation: Relation) -> Check:
    role, database = (sql.Identifier(name).as_string(None) for name in (relation.role, relation.database))
    if not relation.may_log_in:
        return failed(
            "role",
            f"{relation.role} may not log in",
            mend="Who may alter roles runs",
            sql=(f"ALTER ROLE {role} LOGIN",),
        )
    if not relation.may_connect:
        return failed(
            "role",
            f"{relation.role} may not connect to {relation.database}",
            mend="The owner of the database runs",
            sql=(f"GRANT CONNECT ON DATABASE {database} TO {role}",),
        )
    return passed("role", f"{relation.role} may connect")
