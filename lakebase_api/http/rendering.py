"""Rows in answers: what was read of a row, as JSON and as CSV have it.

Values are as PostgreSQL's ``row_to_json`` and ``COPY`` write them, so that every answer shows the same.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from lakebase_api.http.csv_ndjson import write_csv
from lakebase_api.http.json_response import spell_great
from lakebase_api.http.value_texts import NO_NUMBERS, render_time
from lakebase_api.table.declaration import Column, Table
from lakebase_api.table.types import NUMBERS, Kind

Rows = Sequence[Sequence[Any]]
Cells = list[Any]

# Where a decimal's first digit stands behind the point, at the least, for Python to write it without an
# exponent, as PostgreSQL does.
# https://docs.python.org/3/library/decimal.html#decimal.Decimal.adjusted
LEAST_PLACE = -6


class Renderer:
    """Shows rows of a table. Immutable and so safe to share between threads."""

    def __init__(self, table: Table) -> None:
        self._names, self._key_names = table.names, table.key_names
        # Names of columns may be none of Python's.
        columns = {f"column_{place}": name for place, name in enumerate(table.names)}
        self._row = msgspec.defstruct("Row", [(name, Any) for name in columns], rename=columns, frozen=True)
        self._changes = {column.name: _choose_change(column) for column in table.columns}
        self._whole = frozenset(
            column.name
            for column in table.columns
            if column.type.kind is Kind.INTEGER and not column.is_text_in_json
        )
        self._texts = frozenset(
            column.name for column in table.columns if column.type.kind in (Kind.TEXT, Kind.ENUM)
        )

    def show(self, rows: Rows, fields: tuple[str, ...], *, great_as_text: bool = False) -> list[Any]:
        """Rows that begin with the fields, each to be encoded as JSON.

        ``great_as_text``: whether integers that JavaScript would round are to be texts.
        """
        changed = self._change(rows, fields, great_as_text=great_as_text)
        if fields == self._names:
            size = len(fields)
            return [self._row(*row[:size]) for row in changed]
        return [dict(zip(fields, row, strict=False)) for row in changed]

    def show_one(self, row: Sequence[Any], fields: tuple[str, ...], *, great_as_text: bool = False) -> Any:
        """These fields of a whole row, to be encoded as JSON."""
        if fields != self._names:
            found: Mapping[str, Any] = dict(zip(self._names, row, strict=True))
            row = [found[name] for name in fields]
        return self.show([row], fields, great_as_text=great_as_text)[0]

    def show_keys(self, keys: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Keys as they are in JSON."""
        return [tuple(key) for key in self._change(keys, self._key_names, great_as_text=False)]

    def write_csv(self, rows: Rows, fields: tuple[str, ...], *, quotes_formulas: bool) -> bytes:
        """Rows that begin with the fields, as CSV."""
        cells = [row[: len(fields)] for row in rows]
        disarmed: Collection[str] = self._texts if quotes_formulas else ()
        return write_csv(fields, cells, disarmed=disarmed)

    def _change(self, rows: Rows, fields: tuple[str, ...], *, great_as_text: bool) -> Rows:
        """The rows with what has to be another value in JSON; mostly there is nothing."""
        changed: dict[int, Cells] = {}
        first = rows[0] if rows else ()
        for place, name in enumerate(fields):
            change = self._changes[name]
            if change is None or (
                # What is an integer is so in every row.
                change is _show_numbers and not great_as_text and rows and type(first[place]) is int
            ):
                continue
            cells = [row[place] for row in rows]
            shown = change(cells)
            if great_as_text and name in self._whole:
                shown = list(map(spell_great, shown))
            if shown is not cells:
                changed[place] = shown
        if not changed or not rows:
            return rows
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for place, shown in changed.items():
            columns[place] = shown
        return list(zip(*columns, strict=True))


def _choose_change(column: Column) -> Callable[[Cells], Cells] | None:
    kind = column.type.kind
    if kind in NUMBERS:
        return _show_as_texts if column.is_text_in_json else _show_numbers
    if kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return _show_times
    return _show_json if kind in (Kind.JSON, Kind.ARRAY) else None


def _show_numbers(cells: Cells) -> Cells:
    numbers = [cell for cell in cells if cell is not None]
    if numbers and type(numbers[0]) is str:
        return [None if cell is None else _show_float(cell) for cell in cells]
    if numbers and type(numbers[0]) is Decimal and not _are_usual(numbers):
        return [None if cell is None else _show_decimal(cell) for cell in cells]
    return cells


def _are_usual(numbers: Sequence[Decimal]) -> bool:
    """Whether the encoder writes them as PostgreSQL does. Each has to be looked at, for little."""
    return all(map(Decimal.is_finite, numbers)) and min(map(Decimal.adjusted, numbers)) >= LEAST_PLACE


def _show_decimal(number: Decimal) -> Any:
    return msgspec.Raw(f"{number:f}".encode()) if number.is_finite() else str(number)


def _show_float(text: str) -> Any:
    return text if text in NO_NUMBERS else msgspec.Raw(text.encode())


def _show_as_texts(cells: Cells) -> Cells:
    return [None if cell is None else _spell_number(cell) for cell in cells]


def _spell_number(number: int | Decimal | str) -> str:
    return f"{number:f}" if isinstance(number, Decimal) else str(number)


def _show_times(cells: Cells) -> Cells:
    return [None if cell is None else render_time(cell) for cell in cells]


def _show_json(cells: Cells) -> Cells:
    return [None if cell is None else msgspec.Raw(cell.encode()) for cell in cells]
