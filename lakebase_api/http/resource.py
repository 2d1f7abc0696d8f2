"""A declared table as a resource: the blueprint that its operations are added to."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response

from lakebase_api.http.documentation import DocumentedApi
from lakebase_api.http.key import build_converter, describe_key, name_parameter, spell_path
from lakebase_api.http.validation import Blueprint
from lakebase_api.table.declaration import Table

View = Callable[..., Response]

# What stands where a key would.
SIBLINGS = ("count", "export", "pages", "sample", "stream")
# Its schemas were there before there were other tables, and keep their names.
FIRST = "orders"


class Resource:
    """What is served of a table. Operations are added before the app starts, by one thread."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.blueprint = Blueprint(
            table.name,
            __name__,
            url_prefix=f"/{table.name}",
            description=f"{_spell(table.name).capitalize()}.",
        )
        self.siblings = (*SIBLINGS, *(column.change.path for column in table.changeable if column.change))

    def name_schema(self, name: str) -> str:
        """The name of a component of the document: the table's own, beside those of other tables."""
        return name if self.table.name == FIRST else f"{_join_words(self.table.one)}{name}"

    def name_row(self) -> str:
        """The name of the component that is a row."""
        return _join_words(self.table.one)

    def add(
        self, method: str, path: str, view: View, name: str, text: str, *describe: Callable[[Any], Any]
    ) -> None:
        """Serve an operation at a path below the table's, in which ``{key}`` stands for a key.

        The view gets what ``describe`` reads from the request, and then the key, if the path has one.
        ``describe`` are the blueprint's decorators, the first one outermost; ``name`` is the operationId,
        ``text`` its summary and, after an empty line, its description.
        """
        function = self._take_key(view) if "{key}" in path else _copy(view)
        function.__doc__, function.__name__ = text, name
        for decorate in reversed(describe):
            function = decorate(function)
        rule = path.format(key=spell_path(self.table))
        self.blueprint.route(rule, methods=[method], endpoint=name)(function)

    def register(self, app: Flask, api: DocumentedApi) -> None:
        """Serve what was added."""
        for column in self.table.key:
            converter = build_converter(self.table, column, self.siblings)
            app.url_map.converters[converter.__name__] = converter
            schema = describe_key(column)
            api.register_converter(converter, lambda _, schema=schema: schema)
        api.register_blueprint(self.blueprint)

    def _take_key(self, view: View) -> View:
        names = [name_parameter(self.table, column) for column in self.table.key]

        def view_with_key(*arguments: Any, **parts: Any) -> Response:
            return view(*arguments, tuple(parts[name] for name in names))

        return view_with_key


def _copy(view: View) -> View:
    """A function of its own, since decorators leave their marks on it."""

    def copied(*arguments: Any) -> Response:
        return view(*arguments)

    return copied


def _spell(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _join_words(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
