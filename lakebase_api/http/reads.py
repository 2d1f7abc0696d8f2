"""What the reading operations of a table work with."""

from functools import cached_property

from lakebase_api.http.cursors import CursorCodec
from lakebase_api.http.rendering import Renderer
from lakebase_api.http.resource import Resource
from lakebase_api.http.schemas import QuerySchemas, ReadSchemas
from lakebase_api.http.validation import RequestParser
from lakebase_api.sql.counting import TableCounts
from lakebase_api.sql.table_database import TableDatabase


class Reads:
    """The database, counts, cursors and forms of one table. Safe to share between threads."""

    def __init__(
        self, resource: Resource, database: TableDatabase, counts: TableCounts, cursors: CursorCodec
    ) -> None:
        table = resource.table
        self.table = table
        self.database = database
        self.counts = counts
        self.cursors = cursors
        self.renderer = Renderer(table)
        self.queries = QuerySchemas(table)
        self.schemas = ReadSchemas(resource)
        self.parser: RequestParser = resource.blueprint.ARGUMENTS_PARSER

    @cached_property
    def texts(self) -> dict[str, str]:
        """Words for the documentation, and the parts that names of operations are made of."""
        table = self.table
        names = table.name.replace("-", "_")
        return {
            "row": table.one.replace("_", " "),
            "rows": names.replace("_", " "),
            "names": names,
            "path": f"/{table.name}",
        }
