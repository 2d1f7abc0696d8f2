"""What the service is called, by the tables that it serves."""

from collections.abc import Sequence

from lakebase_api.table.declaration import Table


def name_service(tables: Sequence[Table]) -> str:
    """The title: ``Lakebase Orders API``, or without a name if it serves several tables."""
    if len(tables) != 1:
        return "Lakebase API"
    return f"Lakebase {_spell(tables[0]).title()} API"


def describe_service(tables: Sequence[Table]) -> str:
    """What it serves: ``Orders of a Databricks Lakebase database``."""
    *names, last = (_spell(table) for table in tables) if tables else ("nothing",)
    served = f"{', '.join(names)} and {last}" if names else last
    return f"{served[:1].upper()}{served[1:]} of a Databricks Lakebase database"


def _spell(table: Table) -> str:
    return table.name.replace("_", " ").replace("-", " ")
