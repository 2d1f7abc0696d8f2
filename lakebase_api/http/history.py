"""Answers with the changes of a row."""

from collections.abc import Iterator
from typing import Any

from flask import Response

from lakebase_api.http.change_texts import ChangeTexts, ShortForm
from lakebase_api.http.json_response import answer_json
from lakebase_api.http.key import Key, spell_key
from lakebase_api.http.problems import Problem
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.value_texts import render_text, render_time
from lakebase_api.sql.history import History, Version, fetch_history
from lakebase_api.sql.table_database import TableDatabase


def get_history(texts: ChangeTexts, database: TableDatabase, query: dict[str, int], key: Key) -> Response:
    """The changes of a row, the newest first. Problems: there is no such row, and never was."""
    page_size = query["page_size"]
    found = database.read(
        fetch_history, database.overlay, key, query["cursor"], page_size, current_exchange().within
    )
    if found is None:
        raise Problem(texts.not_found, texts.unknown([spell_key(key)]))
    current_exchange().rows = len(found.versions)
    pagination = {"page_size": page_size, "has_next": found.has_next, "next_cursor": found.next_cursor}
    response = answer_json({**_show_history(texts, found), texts.beside("pagination"): pagination})
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _show_history(texts: ChangeTexts, found: History) -> dict[str, Any]:
    table = texts.table
    key = {column.name: render_text(column, text) for column, text in zip(table.key, found.key, strict=True)}
    if short := texts.short_form:
        return {**key, **_show_in_short_form(short, found)}
    columns = {
        column.name: {
            "value": render_text(column, found.columns[column.name].value),
            "synced": render_text(column, found.columns[column.name].synced),
            "conflict": found.columns[column.name].conflict,
        }
        for column in table.changeable
    }
    changes = [row for version in found.versions for row in _show_version(texts, version)]
    return {**key, texts.beside("columns"): columns, texts.beside("changes"): changes}


def _show_version(texts: ChangeTexts, version: Version) -> Iterator[dict[str, Any]]:
    """A row for each column that it changed, of those that are still declared."""
    for column in texts.table.columns:
        if (name := column.name) in version.new:
            yield {
                "version": version.version,
                "column": name,
                "old": render_text(column, version.old[name]),
                "new": render_text(column, version.new[name]),
                "synced": render_text(column, version.synced[name]),
                **_show_circumstances(version),
            }


def _show_in_short_form(short: ShortForm, found: History) -> dict[str, Any]:
    column, path = short
    state = found.columns[column.name]
    changes = [
        {
            "version": version.version,
            f"old_{path}": render_text(column, version.old.get(column.name)),
            f"new_{path}": render_text(column, version.new.get(column.name)),
            f"synced_{path}": render_text(column, version.synced.get(column.name)),
            **_show_circumstances(version),
        }
        for version in found.versions
    ]
    return {
        column.name: render_text(column, state.value),
        f"synced_{path}": render_text(column, state.synced),
        f"{path}_conflict": state.conflict,
        "changes": changes,
    }


def _show_circumstances(version: Version) -> dict[str, Any]:
    return {
        "is_withdrawal": version.is_withdrawal,
        "changed_at": render_time(version.changed_at),
        "changed_by": version.changed_by,
        "request_id": version.request_id,
        "changed_by_label": version.changed_by_label,
        "changed_by_method": version.changed_by_method,
    }
