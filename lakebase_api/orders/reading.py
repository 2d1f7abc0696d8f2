"""Reading the orders with the status as changed, from the moment that there is a table of changes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import Any, TypeVar

from psycopg import RawCursor, errors, sql
from psycopg.rows import TupleRow

from lakebase_api.lakebase.connecting import Connection
from lakebase_api.orders.conditions import ANY_OF, EQUAL, Shape
from lakebase_api.orders.order import KEY, STATUS_TABLE, Source, View

T = TypeVar("T")

# How many statements of a kind are kept: there is one for each shape of conditions, set of columns and order.
SHAPES_KEPT = 256

# Statements are composed from names of this program alone, never from values.
Compose = Callable[[View], sql.Composable]


@dataclass(frozen=True)
class Reading:
    """A statement in two forms. One that is not ``reusable`` is planned for its values each time."""

    without_changes: bytes
    with_changes: bytes
    reusable: bool = True


class Reader:
    """Runs statements that show the status of orders. Safe to share between threads.

    The table of changes is looked for until it is there: the first change makes it, in whichever process.
    ``shows_changes``: whether there can be one.
    """

    def __init__(self, source: Source, *, shows_changes: bool) -> None:
        self.source = source
        self._shows_changes = shows_changes
        self._has_changes = False

    def prepare(self, compose: Compose, *, shape: Shape = (), walked: str = KEY) -> Reading:
        """The statement for either case. It gives no row where the view's gate does not hold.

        The rows are found by walking in the order of the column ``walked`` through those of the ``shape``. If
        that has a range of another column, the statement is planned each time: a plan that is good for a year
        may read the whole table for a day.
        """
        reusable = all(each.statement in (EQUAL, ANY_OF) or each.column == walked for each in shape)
        unchanged = self.source.without_changes(may_have_changes=self._shows_changes)
        changed = self.source.with_changes()
        return Reading(compose(unchanged).as_bytes(None), compose(changed).as_bytes(None), reusable)

    def read(self, connection: Connection, reading: Reading, values: Sequence[object]) -> list[TupleRow]:
        """The rows of the statement. Raises psycopg's errors."""

        def fetch(statement: bytes) -> list[TupleRow]:
            return fetch_all(connection, statement, values, reusable=reading.reusable)

        return self.read_by(fetch, connection, reading)

    def read_by(self, fetch: Callable[[bytes], list[T]], connection: Connection, reading: Reading) -> list[T]:
        """The rows that ``fetch`` gets by the statement on this connection. Raises what it raises."""
        if not self._has_changes:
            found = fetch(reading.without_changes)
            if found or not self._shows_changes or not exists(connection, self.source.status_schema):
                return found
            self._has_changes = True
        try:
            return fetch(reading.with_changes)
        except errors.UndefinedTable:
            if exists(connection, self.source.status_schema):
                raise
            # Somebody removed it.
            self._has_changes = False
            return fetch(reading.without_changes)


def exists(connection: Connection, schema: str) -> bool:
    """Whether changes are kept by now. Raises psycopg's errors."""
    names = (sql.Identifier(schema, STATUS_TABLE).as_string(None),)
    return connection.execute("SELECT to_regclass(%s) IS NOT NULL", names).fetchone() == (True,)


def fetch_all(
    connection: Connection, statement: bytes, values: Sequence[object] = (), *, reusable: bool = True
) -> list[TupleRow]:
    """The rows of a statement with ``$1`` and so on for the values. Raises psycopg's errors.

    A ``reusable`` one is prepared once it was used some times, and may then be planned for any values. A
    number that JSON has not is its text: ``NaN``, ``Infinity`` or ``-Infinity``.
    """
    # As text, which psycopg turns into decimals sooner than PostgreSQL's binary form.
    cursor = RawCursor(connection).execute(statement, values, prepare=None if reusable else False)
    return _spell_numbers(cursor.fetchall())


def _spell_numbers(rows: list[TupleRow]) -> list[TupleRow]:
    # Every row has to be looked at, and the usual one must not cost more.
    for place, value in enumerate(rows[0] if rows else ()):
        example = next(_find(rows, place), None) if value is None else value
        if type(example) is Decimal and not all(map(Decimal.is_finite, _find(rows, place))):
            rows = [(*row[:place], _spell(row[place]), *row[place + 1 :]) for row in rows]
    return rows


def _find(rows: list[TupleRow], place: int) -> Iterator[Any]:
    """What stands there in the rows, without NULL and zero."""
    return filter(None, map(itemgetter(place), rows))


def _spell(number: Decimal | None) -> Decimal | str | None:
    return number if number is None or number.is_finite() else str(number)
