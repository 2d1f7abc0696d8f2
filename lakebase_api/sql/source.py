"""How SQL names the rows of a declared table: as they are, or with the changes that are kept beside them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from psycopg import sql

from lakebase_api.table.declaration import Table
from lakebase_api.table.types import KEY_INTEGER_PROOF, Kind

# The same for every representation of the row: made of the values shown, and of the number of changes made
# here, so that a value which was changed and changed back has another.
ETAG = "left(encode(sha256(convert_to(ROW({columns}, {version})::text, 'UTF8')), 'hex'), 32)"

# That the columns are there and of the types they must be: each expression is of one family of types alone.
# It is part of every statement, which the server refuses to understand where it does not hold; nothing is
# read for it, since `true` is all that the planner leaves.
AS_DECLARED = "(true OR EXISTS (SELECT FROM {table} AS d WHERE {proofs}))"

OVERLAID_ROWS = "{table} AS t LEFT JOIN {overlay} AS s ON {same_key} AND s._source = {source} AND {bound}"
OVERLAID_COLUMN = "CASE WHEN s.{is_changed} THEN s.{column} ELSE t.{column} END"

EVERY_KEY = sql.SQL("true")
# Sources that are kept: there is one for each table, and for each set of columns that callers do not see.
NARROWED_KEPT = 1024


def name_changed(column: str) -> str:
    """The column of the overlay that says whether this one is changed."""
    return f"_changed_{column}"


def name_synced(column: str) -> str:
    """The column of the overlay that has what the table had when this one was changed."""
    return f"_synced_{column}"


@dataclass(frozen=True, eq=False)
class Source:
    """A declared table as ``t``, with the overlay ``s`` of that schema over it unless there is none.

    ``lacking`` are changeable columns that the overlay does not have yet. A statement is composed once for
    each: it has an identity, and equals only itself. Immutable.
    """

    table: Table
    overlay_schema: str | None = None
    lacking: frozenset[str] = frozenset()

    @property
    def identifier(self) -> sql.Identifier:
        """The table or view itself."""
        return sql.Identifier(self.table.schema, self.table.source)

    @property
    def literal(self) -> sql.Literal:
        """What the overlay and its history know the table by: changes stay with the name, not the table."""
        return sql.Literal(self.identifier.as_string(None))

    def show_rows(
        self,
        columns: Collection[str] | None = None,
        *,
        of: sql.Composable | None = None,
        bound: sql.Composable = EVERY_KEY,
    ) -> sql.Composable:
        """The rows, or those of a subquery, with what these columns take to be shown; all if ``None``.

        ``bound`` is what is known of the keys of the rows, said of the overlay ``s``: PostgreSQL does not
        infer it, and would read every change up to there.
        """
        rows = of or self.identifier
        if self.overlay_schema is None or not self.is_overlaid(columns):
            return sql.SQL("{} AS t").format(rows)
        return sql.SQL(OVERLAID_ROWS).format(
            table=rows,
            overlay=sql.Identifier(self.overlay_schema, f"{self.table.name}_changes"),
            same_key=self.match_key("s", "t"),
            source=self.literal,
            bound=bound,
        )

    def is_overlaid(self, columns: Collection[str] | None = None) -> bool:
        """Whether one of these columns, or the whole row if ``None``, may be changed beside the table."""
        return self.overlay_schema is not None and any(
            columns is None or (column.name in columns and column.name not in self.lacking)
            for column in self.table.by_name.values()
            if column.change
        )

    def show_column(self, name: str) -> sql.Composable:
        """A column as it is shown."""
        if not self.is_overlaid([name]):
            return sql.Identifier("t", name)
        return sql.SQL(OVERLAID_COLUMN).format(
            is_changed=sql.Identifier(name_changed(name)), column=sql.Identifier(name)
        )

    def show_columns(self, names: Iterable[str]) -> sql.Composable:
        """A list of columns, each under its name."""
        return sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(self.show_column(name), sql.Identifier(name)) for name in names
        )

    def show_etag(self) -> sql.Composable:
        """The ETag of a row."""
        version = (
            "0" if self.overlay_schema is None or not self.table.changeable else "coalesce(s._version, 0)"
        )
        return compose_etag((self.show_column(name) for name in self.table.names), sql.SQL(version))

    def as_declared(self) -> sql.Composable:
        """A condition that every statement on the table has: only a table as declared can be asked it."""
        proofs = []
        for column in self.table.columns:
            is_whole_key = column in self.table.key and column.type.kind is Kind.INTEGER
            proof = KEY_INTEGER_PROOF if is_whole_key else column.type.proof
            proofs.append(sql.SQL(proof).format(column=sql.Identifier("d", column.name)))
        return sql.SQL(AS_DECLARED).format(table=self.identifier, proofs=sql.SQL(" AND ").join(proofs))

    def key_of(self, alias: str = "t") -> sql.Composable:
        """The columns of the key, as those of ``alias``."""
        return sql.SQL(", ").join(sql.Identifier(alias, name) for name in self.table.key_names)

    def match_key(self, left: str, right: str) -> sql.Composable:
        """That two rows have the same key."""
        return sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier(left, name), sql.Identifier(right, name))
            for name in self.table.key_names
        )


@lru_cache(NARROWED_KEPT)
def narrow(source: Source, table: Table) -> Source:
    """The source with those columns alone that ``table`` shows: the same, or one that hides some."""
    return source if source.table is table else replace(source, table=table)


def compose_etag(columns: Iterable[sql.Composable], version: sql.Composable) -> sql.Composable:
    """The ETag of a row with these expressions for its columns and the number of its changes."""
    return sql.SQL(ETAG).format(columns=sql.SQL(", ").join(columns), version=version)
