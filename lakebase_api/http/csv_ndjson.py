"""Lists as tables: CSV as PostgreSQL's COPY writes it, and JSON by the line."""

from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any

from lakebase_api.http.json_response import ENCODER

# https://www.rfc-editor.org/rfc/rfc4180, https://www.rfc-editor.org/rfc/rfc7111
CSV = "text/csv"
CSV_CONTENT_TYPE = "text/csv; charset=utf-8; header=present"
# https://github.com/ndjson/ndjson-spec
NDJSON = "application/x-ndjson"

# What makes a text need quotes.
MARKS = (",", '"', "\n", "\r")
# What a spreadsheet takes for a formula. https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_csv(
    names: Sequence[str], rows: Iterable[Sequence[object]], *, disarmed: Collection[str] = ()
) -> bytes:
    """The rows as ``COPY … TO STDOUT (FORMAT csv, HEADER)`` gives them.

    NULL is nothing, the empty text ``""``; numbers have the digits they have, and no exponent. Texts in
    the columns ``disarmed`` that a spreadsheet would take for formulas get an apostrophe before, and so are
    changed. Cells are texts, integers, decimals, truth values, and ``None``.
    """
    # A column at a time: nearly always one look tells that none of its texts needs quotes.
    columns = [
        _write_column(cells, quotes_formulas=name in disarmed)
        for name, cells in zip(names, zip(*rows, strict=True), strict=False)
    ]
    lines = [",".join(map(_write_text, names)), *map(",".join, zip(*columns, strict=True)), ""]
    if len(names) == 1:
        lines = ['"\\."' if line == "\\." else line for line in lines]  # else it ends what COPY reads
    return "\n".join(lines).encode()


def write_ndjson(rows: Iterable[object]) -> bytes:
    """The rows as JSON, each as ``answer_json`` writes it and on a line of its own."""
    return ENCODER.encode_lines(rows)


def _write_column(cells: Sequence[Any], *, quotes_formulas: bool) -> Iterable[str]:
    kinds = set(map(type, cells))
    if kinds == {str}:
        return _write_texts(cells, quotes_formulas=quotes_formulas)
    if len(kinds) == 1:
        return map(WRITERS[kinds.pop()], cells)
    if quotes_formulas:
        cells = [_disarm(cell) if type(cell) is str else cell for cell in cells]
    return [WRITERS[type(cell)](cell) for cell in cells]


def _write_texts(cells: Sequence[str], *, quotes_formulas: bool) -> Iterable[str]:
    starts = {text[:1] for text in cells}
    if quotes_formulas and not starts.isdisjoint(FORMULA_STARTS):
        cells = [_disarm(text) for text in cells]
    joined = "".join(cells)
    if "" not in starts and not any(mark in joined for mark in MARKS):
        return cells
    return map(_write_text, cells)


def _disarm(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _write_text(text: str) -> str:
    # Four times as fast as a regular expression.
    if text and "," not in text and '"' not in text and "\n" not in text and "\r" not in text:
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _write_decimal(number: Decimal) -> str:
    # str() may write an exponent, but is faster.
    text = str(number)
    return f"{number:f}" if "E" in text else text


WRITERS: dict[type, Callable[[Any], str]] = {
    str: _write_text,
    int: str,
    Decimal: _write_decimal,
    NoneType: lambda _: "",
    bool: lambda is_true: "t" if is_true else "f",
}
