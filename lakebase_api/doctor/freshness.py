"""Whether the workspace lets the service see how fresh synced tables are."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lakebase_api.doctor.app_role import find_app_role
from lakebase_api.lakebase.copy_status import CopyStatus
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.findings import Check, advised, failed, passed, skipped
from lakebase_api.lakebase.freshness import Ask
from lakebase_api.lakebase.service import build_ask
from lakebase_api.settings import Settings
from lakebase_api.table.declaration import Table

FRESHNESS = "freshness"
# Words of the SDK's errors that say that something is to be granted, or that the name is wrong; the workspace
# does not tell them apart to who may not see a table.
MISSING = ("PermissionDenied", "NotFound")
# https://docs.databricks.com/aws/en/data-governance/unity-catalog/manage-privileges/privileges
GRANTS = (
    "GRANT USE CATALOG ON CATALOG {catalog} TO {role}",
    "GRANT USE SCHEMA ON SCHEMA {catalog}.{schema} TO {role}",
    "GRANT SELECT ON TABLE {catalog}.{schema}.{table} TO {role}",
)
LONGEST_TEXT = 200


def judge_freshness(settings: Settings, tables: Sequence[Table], role: str | None = None) -> Iterator[Check]:
    """The check of each table that is declared as a synced one, for the login's rights.

    ``role``: for whom the others are made, of whom nothing can be asked here.
    """
    ask = build_ask(settings) if any(table.synced_table for table in tables) else None
    for table in tables:
        if name := table.synced_table:
            check = _judge(settings, ask, name, role)
            yield replace(check, table=table.name, is_one_of_several=len(tables) > 1)


def _judge(settings: Settings, ask: Ask | None, name: str, role: str | None) -> Check:
    if ask is None:
        return skipped(FRESHNESS, f"there is no workspace to ask about {name}")
    if role not in (None, settings.databricks_client_id):
        says = f"whether {role} may see {name} can be asked by {role} alone"
        return skipped(FRESHNESS, f"{says}: it needs USE CATALOG, USE SCHEMA and SELECT")
    try:
        return _judge_copy(name, ask(name))
    except CredentialError as error:
        says = str(error)[:LONGEST_TEXT]
        if not any(word in says for word in MISSING):
            return skipped(FRESHNESS, says)
        app = role or find_app_role(settings) or "<the app's client id>"
        return failed(
            FRESHNESS,
            says,
            mend=f"Correct {_name_setting(settings, name)}; or whoever may grant it runs in a SQL editor of "
            "the workspace",
            sql=_grant(name, app),
        )


def _judge_copy(name: str, copy: CopyStatus) -> Check:
    version = "no version" if copy.source_version is None else f"version {copy.source_version}"
    as_of = f" of {copy.as_of:%Y-%m-%d %H:%M:%S} UTC" if copy.as_of else ""
    says = f"{name} has {version}{as_of}. {copy.meaning[1].rstrip('.')}"
    if copy.state and "FAILED" in copy.state:
        return advised(FRESHNESS, says, mend="Look at its pipeline in the workspace", sql=())
    return passed(FRESHNESS, says)


def _name_setting(settings: Settings, name: str) -> str:
    return "SYNCED_TABLE" if settings.synced_table == name else f"synced_table in {settings.tables_file}"


def _grant(name: str, role: str) -> tuple[str, ...]:
    parts = dict(zip(("catalog", "schema", "table"), map(_quote, name.split(".")), strict=True))
    return tuple(grant.format(**parts, role=_quote(role)) for grant in GRANTS)


def _quote(name: str) -> str:
    """As Databricks SQL quotes. https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-identifiers"""
    return f"`{name.replace('`', '``')}`"
