"""A declared table as a resource: how it is called in paths and in the document, and how it is served."""

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Flask, Response

from lakebase_api.http.authorization import Admit
from lakebase_api.http.key import build_converter, describe_key, name_parameter, spell_path
from lakebase_api.http.openapi import Document
from lakebase_api.http.operation import Operation, View
from lakebase_api.http.validation import read_arguments
from lakebase_api.table.declaration import Table

# Answers a request for the operation from memory, or as it is read.
Keep = Callable[[Operation, Callable[[], Response]], Response]

# What stands where a key would.
SIBLINGS = ("count", "export", "pages", "sample", "stream")
# The same of a synced table.
FRESHNESS = "freshness"
# Its schemas were there before there were other tables, and keep their names.
FIRST = "orders"


class Resource:
    """What is served of a table. Immutable."""

    def __init__(self, table: Table) -> None:
        self.table = table
        paths = [column.change.path for column in table.changeable if column.change]
        self.siblings = (*SIBLINGS, *([FRESHNESS] if table.synced_table else ()), *paths)

    def name_schema(self, name: str) -> str:
        """The name of a component of the document: the table's own, beside those of other tables."""
        return name if self.table.name == FIRST else f"{_join_words(self.table.one)}{name}"

    def name_row(self) -> str:
        """The name of the component that is a row."""
        return _join_words(self.table.one)

    def serve(
        self, app: Flask, document: Document, operations: Sequence[Operation], admit: Admit, keep: Keep
    ) -> None:
        """Serve the operations below the table's path to those whom ``admit`` lets in.

        The document tells of them.
        """
        for column in self.table.key:
            converter = build_converter(self.table, column, self.siblings)
            app.url_map.converters[converter.__name__] = converter
            document.describe_converter(converter, describe_key(column))
        blueprint = Blueprint(self.table.name, __name__, url_prefix=f"/{self.table.name}")
        serve_operations(blueprint, operations, admit, self.table, keep)
        app.register_blueprint(blueprint)
        document.add_part(blueprint.name, f"{_spell(self.table.name).capitalize()}.", operations)


def read_always(operation: Operation, read: Callable[[], Response]) -> Response:
    """Answer as it is read: nothing is kept."""
    return read()


def serve_operations(
    blueprint: Blueprint,
    operations: Sequence[Operation],
    admit: Admit,
    table: Table | None = None,
    keep: Keep = read_always,
) -> None:
    """Have the blueprint serve the operations to those whom ``admit`` lets in.

    Those that are of one row have the key of the table.
    """
    key_names = [name_parameter(table, column) for column in table.key] if table else []
    for operation in operations:
        rule = operation.path.format(key=spell_path(table) if table else "")
        view = _build_view(operation, admit, keep, key_names)
        blueprint.add_url_rule(rule, operation.name, view, methods=[operation.method])


def _build_view(operation: Operation, admit: Admit, keep: Keep, key_names: Sequence[str]) -> View:
    """What Flask calls: it reads the request as the operation says, and answers with its view."""

    def answer(**segments: Any) -> Response:
        admitted = admit(operation)

        def read() -> Response:
            key = (tuple([segments[name] for name in key_names]),) if segments else ()
            return admitted.view(*read_arguments(admitted), *key)

        if admitted.around:
            return admitted.around(lambda: keep(admitted, read))
        return keep(admitted, read)

    return answer


def _spell(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _join_words(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
