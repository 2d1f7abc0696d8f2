"""What the reading operations of a table work with."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from lakebase_api.http.cursors import CursorCodec
from lakebase_api.http.filters import build_predicates
from lakebase_api.http.rendering import Renderer
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.resource import Resource
from lakebase_api.http.schemas import QuerySchemas, ReadSchemas
from lakebase_api.sql.counting import TableCounts
from lakebase_api.sql.predicates import Predicates
from lakebase_api.sql.table_database import TableDatabase
from lakebase_api.table.declaration import Table


def choose_rows(table: Table, query: Mapping[str, Any]) -> Predicates:
    """The rows that a checked query asks for, of those that the caller of the current request has."""
    return build_predicates(table, query) + current_exchange().within


class Reads:
    """The database, counts, cursors and forms of one table. Safe to share between threads."""

    def __init__(
        self, resource: Resource, database: TableDatabase, counts: TableCounts, cursors: CursorCodec
    ) -> None:
        self.resource = resource
        self.table = resource.table
        self.database = database
        self.counts = counts
        self.cursors = cursors
        self.renderer = Renderer(self.table)

    @cached_property
    def queries(self) -> QuerySchemas:
        """What they take in, made with the first request."""
        return QuerySchemas(self.table)

    @cached_property
    def schemas(self) -> ReadSchemas:
        """What they give out, made for the document."""
        return ReadSchemas(self.resource)
