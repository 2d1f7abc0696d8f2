"""Judges the tables that keep changes of a table: that they are there, or can be made, and are granted."""

from collections.abc import Iterator

from lakebase_api.doctor.facts import Facts
from lakebase_api.doctor.names import name_changes, quote
from lakebase_api.lakebase.findings import Blocks, Check, Remedy, advised, failed, name_changes_check, passed
from lakebase_api.settings import Settings
from lakebase_api.sql.overlay_names import IDEMPOTENCY_TABLE, list_privileges, spell_storage_type
from lakebase_api.sql.overlay_state import find_lacking, find_other_types, has_circumstances
from lakebase_api.sql.overlay_tables import MIGRATIONS
from lakebase_api.table.declaration import Writes

SETUP = "python -m lakebase_api setup"
VERSION = len(MIGRATIONS)
NONE_ARE_KEPT = "none are kept, and none are made"


def judge_changes(facts: Facts, settings: Settings, *, for_reading: bool | None = None) -> Check:
    """The check of the app's own tables. ``for_reading``: as if no changes were to be made."""
    if for_reading is None:
        for_reading = facts.table.writes is Writes.OFF
    name = name_changes_check(facts.table.name)
    if not facts.table.changeable:
        return passed(name, NONE_ARE_KEPT)
    if facts.role.status_schema_owner is None:
        return _judge_absence(facts, settings, for_reading=for_reading)
    if not facts.role.may_use_status_schema or not _may_all(facts, for_reading=for_reading):
        return _judge_presence(facts, settings, for_reading=for_reading)
    return _judge_form(facts, settings, for_reading=for_reading)


def is_current(facts: Facts) -> bool:
    """Whether every table is there, as this release has it, and the role may work with it."""
    version = facts.own.version
    return (
        bool(facts.role.may_use_status_schema)
        and _may_all(facts, for_reading=False)
        and version is not None
        and version >= VERSION
        and not find_lacking(facts.own.found, facts.table)
        and has_circumstances(facts.own.found, facts.table)
    )


def _judge_absence(facts: Facts, settings: Settings, *, for_reading: bool) -> Check:
    role, name, schema = facts.role, name_changes_check(facts.table.name), quote(settings.status_schema)
    if for_reading:
        return passed(name, NONE_ARE_KEPT)
    if role.may_create:
        return passed(name, f"schema {schema} is made at the first connection")
    return failed(
        name,
        f"there is no schema {schema}, and {role.role} may not make it",
        mend=f"The owner of the database runs the following, or whoever may create in it runs "
        f"`{SETUP} --role {role.role}`",
        sql=(f"GRANT CREATE ON DATABASE {quote(role.database)} TO {quote(role.role)}",),
        fault=f"the tables of {name_changes(facts.table)} are missing",
        blocks=Blocks.CHANGES,
    )


def _judge_presence(facts: Facts, settings: Settings, *, for_reading: bool) -> Check:
    """The schema is there, but something in it is missing or not granted."""
    is_absent = {is_granted is None for _, _, is_granted in _needed(facts, for_reading=for_reading)}
    if is_absent == {False} or (for_reading and not facts.role.may_use_status_schema):
        return _judge_grants(facts, settings, for_reading=for_reading)
    if for_reading:
        return passed(name_changes_check(facts.table.name), NONE_ARE_KEPT)
    return _judge_unmade(facts, settings, has_some=False in is_absent)


def _judge_grants(facts: Facts, settings: Settings, *, for_reading: bool) -> Check:
    role, schema = facts.role, quote(settings.status_schema)
    grants = [] if role.may_use_status_schema else [f"GRANT USAGE ON SCHEMA {schema} TO {quote(role.role)}"]
    needed = list(_needed(facts, for_reading=for_reading))
    for table in dict.fromkeys(table for table, _, _ in needed):
        lacking = [privilege for own, privilege, is_granted in needed if own == table and is_granted is False]
        if lacking:
            own = quote(settings.status_schema, table)
            grants.append(f"GRANT {', '.join(lacking)} ON {own} TO {quote(role.role)}")
    reads_fail = not role.may_use_status_schema or not _may_all(facts, for_reading=True)
    return failed(
        name_changes_check(facts.table.name),
        f"{role.role} may not work with the tables in {schema}",
        mend=f"Their owner, {role.status_schema_owner}, runs",
        sql=tuple(grants),
        remedy=Remedy.GRANT if for_reading else Remedy.OTHER,
        fault=f"a grant on the tables of {name_changes(facts.table)} is missing",
        blocks=Blocks.EVERYTHING if reads_fail else Blocks.CHANGES,
    )


def _judge_unmade(facts: Facts, settings: Settings, *, has_some: bool) -> Check:
    """Tables are missing in the schema: all of them, or those of this release."""
    role, schema, name = facts.role, quote(settings.status_schema), name_changes_check(facts.table.name)
    if role.may_use_status_schema and role.may_create_in_status_schema:
        return passed(name, f"the tables in {schema} are made at the first connection")
    owner, setup = role.status_schema_owner, f"`{SETUP} --role {role.role}`"
    return failed(
        name,
        f"tables are missing in {schema}, which is {owner}'s, and {role.role} may not make them",
        mend=f"{owner} runs {setup}" + ("" if has_some else ", or the following"),
        sql=() if has_some else (f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {quote(role.role)}",),
        fault=f"the tables of {name_changes(facts.table)} are missing",
        blocks=Blocks.CHANGES if role.may_use_status_schema else Blocks.EVERYTHING,
    )


def _judge_form(facts: Facts, settings: Settings, *, for_reading: bool) -> Check:
    """Whether they are as this release, and the declaration, have them."""
    role, schema = facts.role, quote(settings.status_schema)
    version = facts.own.version
    if not for_reading and (old := _find_old(facts, settings)):
        return failed(
            name_changes_check(facts.table.name),
            old,
            mend=f"Their owner, {role.status_schema_owner}, runs `{SETUP} --role {role.role}`",
            fault=f"the tables of {name_changes(facts.table)} are of an older release",
            blocks=Blocks.CHANGES,
        )
    if not for_reading and (others := find_other_types(facts.own.found, facts.table)):
        wanted = {name: spell_storage_type(facts.table.by_name[name].type).as_string(None) for name in others}
        kept = ", ".join(f"{name} as {kind}, not {wanted[name]}" for name, kind in others.items())
        return failed(
            name_changes_check(facts.table.name),
            f"the tables in {schema} keep {kept}",
            mend=f"Declare {facts.table.name} as before, or have {role.status_schema_owner}, their owner, "
            "alter those columns",
            fault="changes are kept in another type than is declared",
            blocks=Blocks.CHANGES,
        )
    if not for_reading and not has_circumstances(facts.own.found, facts.table):
        return advised(
            name_changes_check(facts.table.name),
            f"the history in {schema} is of an older release: it does not say how callers were known",
            mend=f"Its owner, {role.status_schema_owner}, runs `{SETUP} --role {role.role}`",
            sql=(),
        )
    unknown = "; this login may not read their version" if version is None else ""
    says = f"kept in {schema}, which is {role.status_schema_owner}'s{unknown}"
    return passed(name_changes_check(facts.table.name), says)


def _find_old(facts: Facts, settings: Settings) -> str:
    """What is of an older release, or of an older declaration."""
    schema, version = quote(settings.status_schema), facts.own.version
    if version is not None and version < VERSION:
        return f"the tables in {schema} are of version {version}, and this release needs {VERSION}"
    # The owner adds them when it connects the first time.
    if facts.role.status_schema_owner == facts.role.role:
        return ""
    lacking = ", ".join(find_lacking(facts.own.found, facts.table))
    return f"the tables in {schema} have no columns for changes of {lacking}" if lacking else ""


def _needed(facts: Facts, *, for_reading: bool) -> Iterator[tuple[str, str, bool | None]]:
    """The tables, their privileges, and whether each is granted; ``None`` where there is no such table."""
    for table, privileges in list_privileges([facts.table]).items():
        for privilege in privileges:
            if not for_reading or (table != IDEMPOTENCY_TABLE and privilege == "SELECT"):
                yield table, privilege, facts.own.privileges[table, privilege]


def _may_all(facts: Facts, *, for_reading: bool) -> bool:
    return all(is_granted for _, _, is_granted in _needed(facts, for_reading=for_reading))
