"""Judges the tables that keep status changes: that they are there, or can be made, and are granted."""

from psycopg import sql

from lakebase_api.doctor.facts import Facts, Privilege
from lakebase_api.lakebase.checks import STATUS_CHANGES, Blocks, Check, failed, passed
from lakebase_api.orders import overlay
from lakebase_api.settings import Settings, StatusWrites

SETUP = "python -m lakebase_api setup"
# What reading an order and its history needs.
READ_TABLES = (overlay.VERSION_TABLE, overlay.STATUS_TABLE, overlay.HISTORY_TABLE)


def judge_changes(facts: Facts, settings: Settings, *, for_reading: bool | None = None) -> Check:
    """The check of the app's own tables. ``for_reading``: as if no changes were to be made."""
    if for_reading is None:
        for_reading = settings.status_writes == StatusWrites.OFF
    if facts.relation.status_schema_owner is None:
        return _judge_absence(facts, settings, for_reading=for_reading)
    if not facts.relation.may_use_status_schema or not _may_all(facts, for_reading=for_reading):
        return _judge_presence(facts, settings, for_reading=for_reading)
    return _judge_version(facts, settings, for_reading=for_reading)


def is_current(facts: Facts) -> bool:
    """Whether every table is there, as this release has it, and the role may work with it."""
    relation = facts.relation
    return (
        bool(relation.may_use_status_schema)
        and _may_all(facts, for_reading=False)
        and facts.version is not None
        and facts.version >= len(overlay.MIGRATIONS)
    )


def _judge_absence(facts: Facts, settings: Settings, *, for_reading: bool) -> Check:
    relation, schema = facts.relation, _quote(settings.status_schema)
    if for_reading:
        return passed(STATUS_CHANGES, "none are kept, and none are made")
    if relation.may_create:
        return passed(STATUS_CHANGES, f"schema {schema} is made at the first change")
    return failed(
        STATUS_CHANGES,
        f"there is no schema {schema}, and {relation.role} may not make it",
        mend=f"The owner of the database runs the following, or whoever may create in it runs "
        f"`{SETUP} --role {relation.role}`",
        sql=(f"GRANT CREATE ON DATABASE {_quote(relation.database)} TO {_quote(relation.role)}",),
        fault="the tables of status changes are missing",
        blocks=Blocks.CHANGES,
    )


def _judge_presence(facts: Facts, settings: Settings, *, for_reading: bool) -> Check:
    """The schema is there, but something in it is missing or not granted."""
    is_absent = {item.is_granted is None for item in _needed(facts, for_reading=for_reading)}
    if is_absent == {False} or (for_reading and not facts.relation.may_use_status_schema):
        return _judge_grants(facts, settings, for_reading=for_reading)
    if for_reading:
        return passed(STATUS_CHANGES, "none are kept, and none are made")
    return _judge_unmade(facts, settings, has_some=False in is_absent)


def _judge_grants(facts: Facts, settings: Settings, *, for_reading: bool) -> Check:
    relation, schema, role = facts.relation, _quote(settings.status_schema), _quote(facts.relation.role)
    grants = [] if relation.may_use_status_schema else [f"GRANT USAGE ON SCHEMA {schema} TO {role}"]
    needed = _needed(facts, for_reading=for_reading)
    for table in dict.fromkeys(item.table for item in needed):
        lacking = [item.privilege for item in needed if item.table == table and item.is_granted is False]
        if lacking:
            name = _quote(settings.status_schema, table)
            grants.append(f"GRANT {', '.join(lacking)} ON {name} TO {role}")
    reads_fail = not relation.may_use_status_schema or not _may_all(facts, for_reading=True)
    return failed(
        STATUS_CHANGES,
        f"{relation.role} may not work with the tables in {schema}",
        mend=f"Their owner, {relation.status_schema_owner}, runs",
        sql=tuple(grants),
        fault="a grant on the tables of status changes is missing",
        blocks=Blocks.EVERYTHING if reads_fail else Blocks.CHANGES,
    )


def _judge_unmade(facts: Facts, settings: Settings, *, has_some: bool) -> Check:
    """Tables are missing in the schema: all of them, or those of this release."""
    relation, schema = facts.relation, _quote(settings.status_schema)
    owner = relation.status_schema_owner
    if relation.may_use_status_schema and relation.may_create_in_status_schema:
        return passed(STATUS_CHANGES, f"the tables in {schema} are made at the first change")
    grant = f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {_quote(relation.role)}"
    setup = f"`{SETUP} --role {relation.role}`"
    return failed(
        STATUS_CHANGES,
        f"tables are missing in {schema}, which is {owner}'s, and {relation.role} may not make them",
        mend=f"{owner} runs {setup}" + ("" if has_some else ", or the following"),
        sql=() if has_some else (grant,),
        fault="the tables of status changes are missing",
        blocks=Blocks.CHANGES if relation.may_use_status_schema else Blocks.EVERYTHING,
    )


def _judge_version(facts: Facts, settings: Settings, *, for_reading: bool) -> Check:
    relation, schema = facts.relation, _quote(settings.status_schema)
    wanted = len(overlay.MIGRATIONS)
    if facts.version is not None and facts.version < wanted and not for_reading:
        return failed(
            STATUS_CHANGES,
            f"the tables in {schema} are of version {facts.version}, and this release needs {wanted}",
            mend=f"Their owner, {relation.status_schema_owner}, runs `{SETUP} --role {relation.role}`",
            fault="the tables of status changes are of an older release",
            blocks=Blocks.CHANGES,
        )
    unknown = "; this login may not read their version" if facts.version is None else ""
    return passed(STATUS_CHANGES, f"kept in {schema}, which is {relation.status_schema_owner}'s{unknown}")


def _needed(facts: Facts, *, for_reading: bool) -> list[Privilege]:
    if not for_reading:
        return facts.privileges
    return [item for item in facts.privileges if item.privilege == "SELECT" and item.table in READ_TABLES]


def _may_all(facts: Facts, *, for_reading: bool) -> bool:
    return all(item.is_granted for item in _needed(facts, for_reading=for_reading))


def _quote(*names: str) -> str:
    return sql.Identifier(*names).as_string(None)
