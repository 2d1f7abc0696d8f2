"""What a list of orders is asked to show, and the page of it that is found."""

from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.orders.conditions import Conditions
from lakebase_api.orders.lists.sorting import BY_KEY, Sort
from lakebase_api.orders.order import Source
from lakebase_api.orders.reading import fetch_all

# Another one as soon as any transaction of the database has changed anything, the server was started anew, or
# the name means another table. There is none of what can change without a transaction: a view may look at the
# clock, a foreign table is elsewhere. Nor on a standby, whose snapshots do not name what is in progress.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
STATE = """
(SELECT hashtextextended(
    concat_ws(' ', pg_current_snapshot(), pg_postmaster_start_time(), current_database(), oid), 0
)::text
FROM pg_class
WHERE oid = to_regclass({table_name}) AND relkind IN ('r', 'p', 'm') AND NOT pg_is_in_recovery())
"""

# Orders that are passed over in about a millisecond.
NEAR = 10_000
# Page sizes for which statements are planned.
PLANNED_SIZES = (10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Listing:
    """Which orders are listed, in which order, with which fields, and how many at a time. Immutable."""

    which: Conditions
    sort: Sort
    fields: tuple[str, ...]
    page_size: int

    @property
    def is_by_key(self) -> bool:
        """Whether a place in the order is a key."""
        return self.sort == BY_KEY

    def may_be_long(self, offset: int = 0) -> bool:
        """Whether the page so many orders from the beginning may take a walk through the table to find."""
        return bool(self.which.shape) or not self.is_by_key or offset > NEAR

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields, and behind them what else it takes to say the place of a row."""
        return tuple(dict.fromkeys((*self.fields, *(key.column for key in self.sort))))

    @property
    def most(self) -> int:
        """How many rows to read: more than a page has, and one of a few numbers, for the text of a statement.

        PostgreSQL takes a limit that is a parameter for a tenth of the table, and plans again for each value,
        which is half of its work: https://www.postgresql.org/docs/current/sql-prepare.html#SQL-PREPARE-NOTES
        """
        return min(size for size in PLANNED_SIZES if size >= self.page_size) + 1


@dataclass(frozen=True)
class Place:
    """A place in an order that is not by key, and the way on from there.

    ``values`` are those of a row in the sort's columns, which itself is not on the way; at the beginning and,
    backward, at the end there are none.
    """

    values: tuple[object, ...] = ()
    is_backward: bool = False


@dataclass(frozen=True)
class Page:
    """Rows that begin with the fields of the listing, and where the pages beside them are, if there are any.

    In the order of the keys a place is the key to start after, or the beginning. ``state`` is another one as
    soon as anything in the database has changed; it is not known of every table, nor of a page without rows.
    """

    rows: list[TupleRow]
    previous: int | Place | None
    next: int | Place | None
    state: str | None


def compose_state(source: Source) -> sql.Composable:
    """The state of what the statement reads, as text; NULL where it is not known."""
    name = sql.Identifier(source.schema, source.table).as_string(None)
    return sql.SQL(STATE).format(table_name=sql.Literal(name))


class StateQuery:
    """Asks for the state alone. Immutable and so safe to share between threads."""

    def __init__(self, source: Source) -> None:
        self._statement = (sql.SQL("SELECT ") + compose_state(source)).as_bytes(None)

    def fetch(self, connection: Connection) -> str | None:
        """The state of a page that would be read now."""
        [(state,)] = fetch_all(connection, self._statement)
        return state if state is None else str(state)
