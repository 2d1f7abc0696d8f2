"""The tables beside a declared table that keep its changes, and whether they are there."""

from lakebase_api.sql.source import Source
from lakebase_api.table.declaration import Table


class Overlay:
    """Whether the changes of a declared table are kept beside it by now. Safe to share between threads."""

    def __init__(self, table: Table, schema: str) -> None:
        self.table = table
        self.schema = schema
        self.is_there = False
        self._with_changes = Source(table, schema)
        self._without = Source(table)

    @property
    def source(self) -> Source:
        """The table as statements are to read it now."""
        return self._with_changes if self.is_there else self._without
