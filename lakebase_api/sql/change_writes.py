"""The parts of the statement that changes rows which write the values, into the table or beside it."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from lakebase_api.sql.change_sql import WRITE_BESIDE, WRITE_DIRECTLY
from lakebase_api.sql.change_values import join, name_value
from lakebase_api.sql.overlay_names import spell_storage_type
from lakebase_api.sql.source import Source, name_changed, name_synced
from lakebase_api.table.declaration import Column

Names = Mapping[str, sql.Composable]


def compose_direct_write(source: Source, columns: Sequence[Column], names: Names) -> Names:
    """Into the table, before the history, which has what came of it."""
    pairs = list(enumerate(columns))
    write = sql.SQL(WRITE_DIRECTLY).format(
        **names,
        settings=join(
            sql.SQL("{} = item.{}").format(sql.Identifier(column.name), name_value("w", n))
            for n, column in pairs
        ),
        returned=join(
            sql.SQL("{} AS {}").format(sql.Identifier("t", column.name), name_value("n", n))
            for n, column in pairs
        ),
        etag=source.show_etag(),
    )
    return {
        "written_first": sql.SQL("written AS ({}),").format(write),
        "written_then": sql.SQL(""),
        "join_written": sql.SQL("JOIN written USING (place)"),
        "left_join_written": sql.SQL("LEFT JOIN written USING (place)"),
    }


def compose_write_beside(columns: Sequence[Column], names: Names, *, is_withdrawal: bool) -> Names:
    """Beside the table, after the history."""
    targets = [
        sql.Identifier(name)
        for column in columns
        for name in (column.name, name_changed(column.name), name_synced(column.name))
    ]
    values = [_keep(n, column, is_withdrawal=is_withdrawal) for n, column in enumerate(columns)]
    write = sql.SQL(WRITE_BESIDE).format(
        **names,
        targets=join(targets),
        target_values=join(values),
        assignments=join(sql.SQL("{0} = excluded.{0}").format(target) for target in targets),
    )
    nothing = sql.SQL("")
    return {
        "written_first": nothing,
        "written_then": sql.SQL("written AS ({}),").format(write),
        "join_written": nothing,
        "left_join_written": nothing,
    }


def _keep(n: int, column: Column, *, is_withdrawal: bool) -> sql.Composable:
    """What is kept of a column: the value, whether it is changed, what its table had."""
    template = "NULL, false, {}::{}" if is_withdrawal else "{wanted}, true, {}::{}"
    storage = spell_storage_type(column.type)
    return sql.SQL(template).format(name_value("y", n), storage, wanted=name_value("w", n))
