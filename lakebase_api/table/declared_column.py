"""Reads the declaration of a column."""

import re
from typing import Any

from lakebase_api.table.declaration import Change, Column, Filter
from lakebase_api.table.mistakes import Section, suggest
from lakebase_api.table.names import check_identifier, check_name
from lakebase_api.table.types import NUMBERS, TIMES, UNSORTED_KINDS, Kind, Type, UnknownType, find_type
from lakebase_api.table.written_values import read_example, read_value

KNOWN = ("type", "null", "filter", "sort", "values", "as", "change", "description", "example")
KNOWN_OF_CHANGE = ("path", "transitions")
# The kinds whose values are compared as a whole, and come in a path or a query.
SINGLE_KINDS = (
    Kind.INTEGER,
    Kind.NUMERIC,
    Kind.BOOLEAN,
    Kind.TEXT,
    Kind.ENUM,
    Kind.UUID,
    *TIMES,
)
FITTING = {
    Filter.ANY: SINGLE_KINDS,
    Filter.RANGE: (*NUMBERS, *TIMES),
    Filter.PREFIX: (Kind.TEXT,),
    Filter.CONTAINS: (Kind.ARRAY, Kind.JSON),
    Filter.NULL: tuple(Kind),
}
# What the encoder of JSON takes in no name.
UNSERVED = re.compile(r'["\\\x00-\x1f]')
# The longest prefix of a column that keeps something of another one.
LONGEST_PREFIX = "_changed_"
NULL = "null"


def read_column(section: Section) -> Column | None:
    """The column; ``None`` if it cannot be told what it is. What is wrong with it is in the mistakes."""
    name = str(section.path[-1])
    section.refuse_unknown(KNOWN)
    if problem := check_identifier(name):
        section.refuse(f"{problem}.")
    elif UNSERVED.search(name):
        section.refuse('has a ", a \\ or a control character; rename it in a view.')
    kind = _read_type(section)
    may_be_null = section.read_flag("null", default=False)
    is_sortable = section.read_flag("sort", default=True)
    if kind is None:
        return None
    if section.content.get("sort") is True and kind.kind in UNSORTED_KINDS:
        section.refuse(f"{kind.name} has no usual order.", "sort")
    values = _read_values(section, kind)
    return Column(
        name,
        kind,
        may_be_null=may_be_null,
        filters=_read_filters(section, kind, may_be_null=may_be_null),
        is_sortable=is_sortable,
        values=values,
        is_text_in_json=_read_form(section, kind),
        change=_read_change(section, kind, (*values, *((NULL,) if may_be_null else ()))),
        description=section.read_text("description") or "",
        example=_read_example(section, kind),
    )


def _read_type(section: Section) -> Type | None:
    text = section.read_text("type", must=True)
    try:
        return find_type(text, is_enum="values" in section.content) if text else None
    except UnknownType as refusal:
        section.refuse(str(refusal), "type")
        return None


def _read_filters(section: Section, kind: Type, *, may_be_null: bool) -> tuple[Filter, ...]:
    filters = []
    for word in section.read_texts("filter"):
        if word not in tuple(Filter):
            section.refuse(f"{word} is not known{suggest(word, tuple(Filter))}", "filter")
        elif problem := check_filter(kind, Filter(word), may_be_null=may_be_null):
            section.refuse(f"{word} {problem}", "filter")
        else:
            filters.append(Filter(word))
    return tuple(filters)


def check_filter(kind: Type, asked: Filter, *, may_be_null: bool) -> str | None:
    """Why a column of the type cannot be filtered so; ``None`` if it can."""
    if asked is Filter.NULL and not may_be_null:
        return "is for a column with null = true."
    if asked is Filter.CONTAINS:
        # json has no index, and no comparison.
        is_comparable = kind.name != "json" and (kind.element is None or kind.element.kind in SINGLE_KINDS)
        if not is_comparable:
            return f"does not fit {kind.name}."
    if kind.kind in FITTING[asked]:
        return None
    fitting = ", ".join(other for other, kinds in FITTING.items() if kind.kind in kinds)
    return f"does not fit {kind.name}, which has: {fitting}."


def _read_values(section: Section, kind: Type) -> tuple[str, ...]:
    given = section.content.get("values", [])
    if not isinstance(given, list) or (not given and "values" in section.content):
        section.refuse("must be a list of values.", "values")
        return ()
    if given and (kind.element or kind).kind not in SINGLE_KINDS:
        section.refuse(f"{kind.name} has too many to list.", "values")
        return ()
    values = []
    for position, value in enumerate(given):
        try:
            values.append(read_value(kind, value))
        except ValueError as error:
            section.refuse(str(error), "values", position)
    section.refuse_repeated("values", values)
    return tuple(dict.fromkeys(values))


def _read_form(section: Section, kind: Type) -> bool:
    form = section.content.get("as")
    if form is None:
        return False
    if form != "string":
        section.refuse('must be "string", if anything.', "as")
    if kind.kind not in NUMBERS:
        section.refuse(f"{kind.name} is a text in JSON, or none, by itself.", "as")
    return True


def _read_example(section: Section, kind: Type) -> Any:
    if "example" not in section.content:
        return None
    try:
        return read_example(kind, section.content["example"], is_text=section.content.get("as") == "string")
    except ValueError as error:
        section.refuse(str(error), "example")
        return None


def _read_change(section: Section, kind: Type, values: tuple[str, ...]) -> Change | None:
    content = section.content.get("change")
    if content is None:
        return None
    change = (
        Section(content, (*section.path, "change"), section.mistakes) if isinstance(content, dict) else None
    )
    if change is None:
        section.refuse('must be a table such as { path = "status" }.', "change")
        return None
    change = Section(content, (*section.path, "change"), section.mistakes)
    change.refuse_unknown(KNOWN_OF_CHANGE)
    if kind.kind in UNSORTED_KINDS:
        change.refuse(f"{kind.name} cannot be changed: only columns of single values can.")
    name = str(section.path[-1])
    if problem := check_identifier(f"{LONGEST_PREFIX}{name}"):
        change.refuse(f"the name of the column {problem} with {LONGEST_PREFIX} before it, for its changes.")
    path = change.read_text("path", must=True)
    if path and (problem := check_name(path)):
        change.refuse(problem, "path")
    return Change(path or "", _read_transitions(change, values if section.content.get("values") else ()))


def _read_transitions(change: Section, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for position, text in enumerate(change.read_texts("transitions")):
        parts = text.split(">")
        # A value may have the sign in it.
        splits = [(">".join(parts[:at]), ">".join(parts[at:])) for at in range(1, len(parts))]
        fitting = [pair for pair in splits if not values or set(pair) <= set(values)]
        if len(fitting) == 1:
            pairs.append(fitting[0])
        elif splits and values:
            change.refuse(f"{text} must be two of {', '.join(values)}.", "transitions", position)
        else:
            change.refuse(f'{text} must have the form "from>to".', "transitions", position)
    return tuple(pairs)
