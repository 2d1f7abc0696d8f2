"""What holds for every table, whatever its columns, types and key are."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from psycopg import sql

from lakebase_api.local.sample_values import spell_array
from lakebase_api.table.declaration import Column, Filter, Writes
from lakebase_api.table.types import Kind
from lakebase_api.table.values import parse_value
from tests.tables.nasty import list_values
from tests.tables.served import UNDECLARED, Key, Row, Served, parse_json

# Its history is older than those of other tables.
FIRST = "orders"
NDJSON, CSV = "application/x-ndjson", "text/csv"
# Keys in one request, within its bounds.
SEVERAL = 20
# Of the values of a column, so that a table of many columns is looked at in seconds.
VALUES_A_FILTER = 6


def check_that_every_form_has_every_row(served: Served) -> None:
    """Count, pages, stream, export in all their forms, and COPY: one and the same rows."""
    expected = served.expect()
    assert served.read("/count")[f"total_{served.table.name}"] == len(expected)
    assert list(itertools.chain(*served.walk({}))) == expected
    page = served.read("/pages", {"page_size": 1000})
    assert (served.rows_of(page), page["pagination"]["total_count"]) == (expected, len(expected))
    for path in ("/stream", "/pages"):
        assert parse_lines(served.get(path, {"page_size": 1000}, NDJSON).text) == expected
        assert served.get(path, {"page_size": 1000}, CSV).data == served.copy()
    *lines, last = parse_lines(served.get("/export", {"format": "ndjson"}).text)
    assert lines == expected
    assert last["next_cursor"] is None
    assert served.get("/export", {"format": "csv"}).data == served.copy()


def check_that_each_key_leads_to_its_row(served: Served) -> None:
    """By key, by several keys, and keys of a sample."""
    rows = {served.key_of(row): row for row in served.expect()}
    asked = [key for key in rows if served.can_ask_for(key)]
    for key in asked:
        answer = served.get(served.spell_path(key))
        assert parse_json(answer.text) == rows[key]
        headers = {"If-None-Match": answer.headers["ETag"]}
        assert served.client.get(served.path + served.spell_path(key), headers=headers).status_code == 304
    for at in range(0, len(asked), SEVERAL):
        several = asked[at : at + SEVERAL]
        body = served.read("", {"keys": ",".join(served.spell_asked(key) for key in several)})
        assert sorted(map(repr, served.rows_of(body))) == sorted(repr(rows[key]) for key in several)
        assert body["missing"] == []
    sample = served.read("/sample")[f"sample_{served.table.one}_keys"]
    assert 0 < len(sample) <= 5
    known = {tuple(map(str, key)) for key in rows}
    for spelled in map(str, sample):
        assert {(spelled,), tuple(map(unquote, spelled.split("/")))} & known, spelled


def check_that_fields_are_parts_of_rows(served: Served) -> None:
    """A part of the columns, in the order of the declaration."""
    names = served.table.names[::2]
    part = [{name: row[name] for name in names} for row in served.expect()]
    query = {"fields": ",".join(reversed(names)), "page_size": 1000}
    assert served.rows_of(served.read("/stream", query)) == part


def check_that_each_sort_is_that_of_sql(served: Served) -> None:
    """Each column up and down, and walked both ways."""
    for name, direction in itertools.product(served.table.sortable, ("", "-")):
        way = "DESC" if direction else ""
        order = sql.SQL("{} {}, {}").format(sql.Identifier(name), sql.SQL(way), served.order_by_key(way))
        query = {"sort": direction + name}
        pages = served.walk(query)
        assert list(itertools.chain(*pages)) == served.expect(order=order), query
        assert served.walk_back(query) == pages[::-1], query


def check_that_each_filter_is_that_of_sql(served: Served) -> None:
    """Each filter of each column, with values that the rows have and with some that they have not."""
    for column in served.table.columns:
        for declared in column.filters:
            for query, where in FILTERS[declared](column):
                expected = served.expect(where)
                found = served.read("/pages", {**query, "page_size": 1000})
                assert served.rows_of(found) == expected, query
                assert found["pagination"]["total_count"] == len(expected), query
                assert list(itertools.chain(*served.walk(query, 50))) == expected, query
                export = served.get("/export", {**query, "format": "ndjson"}).text
                assert parse_lines(export)[:-1] == expected, query


def check_that_etags_tell_each_column(served: Served) -> None:
    """A row has another ETag when a declared column is another, and only then."""
    key = next(filter(served.can_ask_for, map(served.key_of, served.expect())))
    source = sql.Identifier(served.table.schema, served.table.source)

    def look() -> str:
        etag: str = served.get(served.spell_path(key)).headers["ETag"]
        return etag

    for column in served.table.columns:
        if column in served.table.key:
            continue
        first, second = list_two_values(served, column)
        served.set(source, key, column.name, first)
        before = look()
        served.set(source, key, column.name, second)
        assert look() != before, column.name
        served.set(source, key, UNDECLARED, column.name)
        served.set(source, key, column.name, first)
        assert look() == before, column.name
        served.set(served.truth, key, column.name, first)
    assert parse_json(served.get(served.spell_path(key)).text) == served.expect_row(key)


def check_that_changes_show_everywhere(served: Served) -> None:
    """Each value of each changeable column, NULL included, in every answer and explained by the history."""
    if served.table.writes is Writes.OFF:
        return
    keys = itertools.cycle(list(filter(served.can_ask_for, map(served.key_of, served.expect()))))
    last: dict[str, Key] = {}
    for column in served.table.changeable:
        for value in list_changes(column):
            last[column.name] = next(keys)
            change(served, last[column.name], {column: value})
    if served.table.changeable:
        change(served, next(keys), {each: list_changes(each)[-1] for each in served.table.changeable})
        check_that_every_form_has_every_row(served)
    for column in served.table.changeable:
        order = sql.SQL("{}, {}").format(sql.Identifier(column.name), served.order_by_key())
        assert list(itertools.chain(*served.walk({"sort": column.name}, 50))) == served.expect(order=order)
    check_that_each_filter_is_that_of_sql(served)
    if served.table.writes is Writes.OVERLAY:
        for name, key in last.items():
            withdraw(served, key, served.table.by_name[name])
        check_that_every_form_has_every_row(served)


def change(served: Served, key: Key, values: Mapping[Column, str | None]) -> None:
    """Change columns of a row, and look at the answer, the row and its history."""
    before = served.expect_row(key)
    body = ", ".join(f"{json.dumps(each.name)}: {served.show(each, value)}" for each, value in values.items())
    path = served.path + served.spell_path(key)
    ask, media_type = served.client.patch, "application/merge-patch+json"
    if len(values) == 1:
        [column] = values
        assert column.change is not None
        ask, media_type = served.client.post, "application/json"
        path = f"{path}/{column.change.path}"
    answer = ask(path, data=f"{{{body}}}", content_type=media_type)
    assert answer.status_code == 200, (body, answer.text)
    for column, value in values.items():
        served.change(key, column.name, value)
    after = served.expect_row(key)
    assert parse_json(served.get(served.spell_path(key)).text) == after, body
    for column in values:
        assert parse_json(answer.text)[column.name] == after[column.name], body
    if served.table.writes is Writes.OVERLAY and after != before:
        check_history(served, key, before, after)


def check_history(served: Served, key: Key, before: Row, after: Row) -> None:
    """The newest version explains what has become another."""
    changes = served.read(f"{served.spell_path(key)}/history")["changes"]
    if served.table.name == FIRST:
        [column] = served.table.changeable
        assert column.change is not None
        path = column.change.path
        explained = [
            {"column": column.name, "old": changes[0][f"old_{path}"], "new": changes[0][f"new_{path}"]}
        ]
    else:
        explained = [each for each in changes if each["version"] == changes[0]["version"]]
    for name in served.table.names:
        if before[name] != after[name]:
            [entry] = [each for each in explained if each["column"] == name]
            assert (entry["old"], entry["new"]) == (before[name], after[name])


def withdraw(served: Served, key: Key, column: Column) -> None:
    """Withdraw the change of a column: it is what the source says again."""
    assert column.change is not None
    answer = served.client.delete(f"{served.path}{served.spell_path(key)}/{column.change.path}")
    assert answer.status_code == 200, answer.text
    served.restore(key, column.name)
    assert parse_json(served.get(served.spell_path(key)).text) == served.expect_row(key)


def check_that_what_is_not_declared_appears_nowhere(served: Served) -> None:
    """Neither its name nor its values: in the document, in answers (all are looked at), or in errors."""
    document = served.client.get("/openapi.json").text
    assert UNDECLARED not in document
    for parameter in ("sort", "fields", None):
        told = [
            _refuse(served, {parameter: name} if parameter else {name: "x"})
            for name in (UNDECLARED, "never_at_all")  # of one length, since long answers are cut
        ]
        assert told[0].replace(UNDECLARED, "never_at_all") == told[1]


def _refuse(served: Served, query: dict[str, str]) -> str:
    answer = served.client.get(f"{served.path}/stream", query_string=query)
    assert answer.status_code == 422, query
    errors = parse_json(answer.text)["errors"]
    return json.dumps(errors)


def check_that_a_table_without_changes_takes_none(served: Served) -> None:
    """405, whatever the body."""
    if served.table.changeable:
        return
    key = next(filter(served.can_ask_for, map(served.key_of, served.expect())))
    body = {served.table.columns[-1].name: None}
    assert served.client.patch(served.path + served.spell_path(key), json=body).status_code == 405


def parse_lines(text: str) -> list[Any]:
    """The values of NDJSON, whose lines end with a line feed and nothing else."""
    assert not text or text.endswith("\n")
    return [parse_json(line) for line in text.split("\n")[:-1]]


def list_changes(column: Column) -> list[str | None]:
    """Values that the column may be changed to."""
    # In JSON a zero has no sign.
    values: list[str | None] = [value for value in list_values(column) if value != "-0"]
    return [*values, None] if column.may_be_null and not column.values else values


def list_two_values(served: Served, column: Column) -> tuple[str, str]:
    """Values of the column that are shown as two."""

    def read(value: str) -> Any:
        # As a number, a zero below zero is zero.
        return parse_json(served.show(column, value))

    first, *others = list_values(column)
    return first, next(other for other in others if read(other) != read(first))


Case = tuple[dict[str, Any], sql.Composable]


def _list_parameters(column: Column) -> list[str]:
    """Values of the column as a client may ask for them, which not all can be."""
    values = []
    for text in list_values(column):
        spelled = text.replace(" ", "T", 1).replace("+00", "Z") if column.type.kind in ZONED else text
        try:
            parse_value(column.type, spelled)
        except ValueError:
            continue
        values.append(spelled)
    return values


ZONED = (Kind.TIMESTAMP, Kind.TIMESTAMPTZ)


def _compare(column: Column, operator: str, value: str) -> sql.Composable:
    return sql.SQL("{} {} {}").format(sql.Identifier(column.name), sql.SQL(operator), sql.Literal(value))


def _list_any(column: Column) -> Iterator[Case]:
    values = _list_parameters(column)
    for value in values[:VALUES_A_FILTER]:
        yield {column.name: value}, _compare(column, "=", value)
    yield (
        {column.name: values[:VALUES_A_FILTER]},
        sql.SQL(" OR ").join(_compare(column, "=", value) for value in values[:VALUES_A_FILTER]),
    )


def _list_ranges(column: Column) -> Iterator[Case]:
    low, high = column.range_names
    values = _list_parameters(column)
    for value in values[:VALUES_A_FILTER]:
        yield {low: value}, _compare(column, ">=", value)
        yield {high: value}, _compare(column, "<=", value)
    both = sql.SQL(" AND ").join([_compare(column, ">=", values[0]), _compare(column, "<=", values[-1])])
    yield {low: values[0], high: values[-1]}, both


def _list_prefixes(column: Column) -> Iterator[Case]:
    for value in dict.fromkeys(text[:1] for text in _list_parameters(column) if text):
        pattern = value.translate({ord(mark): f"\\{mark}" for mark in "%_\\"}) + "%"
        where = _compare(column, "LIKE", pattern)
        yield {f"{column.name}_prefix": value}, where


def _list_nulls(column: Column) -> Iterator[Case]:
    name = sql.Identifier(column.name)
    yield {f"{column.name}_null": "true"}, sql.SQL("{} IS NULL").format(name)
    yield {f"{column.name}_null": "false"}, sql.SQL("{} IS NOT NULL").format(name)


def _list_contained(column: Column) -> Iterator[Case]:
    name = f"{column.name}_contains"
    if column.type.element is None:
        for value in list_values(column):
            yield {name: value}, _compare(column, "@>", value)
        return
    elements = _list_parameters(replace(column, type=column.type.element))
    for first, second in zip(elements, elements[1:] + elements[:1], strict=True):
        yield {name: first}, _compare(column, "@>", spell_array([first]))
        yield {name: [first, second]}, _compare(column, "@>", spell_array([first, second]))


FILTERS: dict[Filter, Callable[[Column], Iterator[Case]]] = {
    Filter.ANY: _list_any,
    Filter.RANGE: _list_ranges,
    Filter.PREFIX: _list_prefixes,
    Filter.NULL: _list_nulls,
    Filter.CONTAINS: _list_contained,
}

Check = Callable[[Served], None]
READS: Sequence[Check] = (
    check_that_every_form_has_every_row,
    check_that_each_key_leads_to_its_row,
    check_that_fields_are_parts_of_rows,
    check_that_each_sort_is_that_of_sql,
    check_that_each_filter_is_that_of_sql,
    check_that_what_is_not_declared_appears_nowhere,
    check_that_a_table_without_changes_takes_none,
)
# These change the table.
CHANGES: Sequence[Check] = (check_that_etags_tell_each_column, check_that_changes_show_everywhere)
