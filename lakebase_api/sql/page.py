"""What a list is asked to show, and the page of it that is found."""

from bisect import bisect_left
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import TupleRow

from lakebase_api.sql.predicates import Predicates
from lakebase_api.sql.shown import Form
from lakebase_api.sql.sorting import Sort, sort_by_key
from lakebase_api.table.declaration import Table

# Rows that are passed over in about a millisecond.
NEAR = 10_000
# Page sizes for which statements are planned.
PLANNED_SIZES = (10, 20, 50, 100, 200, 500, 1000)
# Rows are read until there are enough: what is planned for more need not come to its end.
AT_MOST = "SELECT * FROM ({rows}) AS planned LIMIT {limit}"


@dataclass(frozen=True)
class Listing:
    """Which rows are listed, in which order, with which fields, and how many at a time. Immutable."""

    table: Table
    which: Predicates
    sort: Sort
    fields: tuple[str, ...]
    page_size: int
    form: Form = Form.JSON

    @property
    def is_by_key(self) -> bool:
        """Whether a position in the order is a key that is a whole number."""
        return self.table.has_integer_key and self.sort == sort_by_key(self.table)

    def may_be_long(self, offset: int = 0) -> bool:
        """Whether the page so many rows from the beginning may take a walk through the table to find."""
        return bool(self.which.shape) or self.sort != sort_by_key(self.table) or offset > NEAR

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields, and behind them what else it takes to say the position of a row."""
        return tuple(dict.fromkeys((*self.fields, *(key.column for key in self.sort))))

    @property
    def limit(self) -> int:
        """How many rows to read: one more than a page has, by which it is seen that there is a next one."""
        return self.page_size + 1

    @property
    def planned_limit(self) -> int:
        """That or a greater one of a few numbers, for the text of a statement.

        PostgreSQL takes a limit that is a parameter for a tenth of the table, and plans again for each value,
        which is half of its work: https://www.postgresql.org/docs/current/sql-prepare.html#SQL-PREPARE-NOTES
        """
        return PLANNED_SIZES[bisect_left(PLANNED_SIZES, self.page_size)] + 1

    @property
    def is_planned(self) -> bool:
        """Whether no more rows are planned for than are to be read."""
        return self.page_size in PLANNED_SIZES


@dataclass(frozen=True)
class Position:
    """A position in an order whose cursors are not keys, and the way on from there.

    ``values`` are those of a row in the sort's columns, which itself is not on the way; at the beginning and,
    backward, at the end there are none.
    """

    values: tuple[object, ...] = ()
    is_backward: bool = False


@dataclass(frozen=True)
class Page:
    """Rows that begin with the fields of the listing, and where the pages beside them are, if there are any.

    In the order of keys that are whole numbers a position is the key to start after, or the beginning.
    ``state`` is another one as soon as anything in the database has changed; it is not known of every table,
    nor of a page without rows.
    """

    rows: list[TupleRow]
    previous: int | Position | None
    next: int | Position | None
    state: str | None


def read_at_most(rows: sql.Composable, limit: sql.Composable) -> sql.Composable:
    """So many rows of a statement that is planned for more."""
    return sql.SQL(AT_MOST).format(rows=rows, limit=limit)
