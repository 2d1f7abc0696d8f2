"""What PostgreSQL's catalogues say of a table or view that may be declared.

https://www.postgresql.org/docs/current/catalogs.html
"""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from lakebase_api.lakebase.connection import Connection

# So that the names of all types but PostgreSQL's own are printed with their schema.
QUALIFY = b"SET LOCAL search_path = pg_catalog"

FIND_RELATION = """
WITH RECURSIVE part AS (
    SELECT pg_class.oid, relkind, reltuples
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %(schema)s AND relname = %(table)s AND relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT child.oid, child.relkind, child.reltuples
    FROM part JOIN pg_inherits ON inhparent = part.oid AND part.relkind = 'p'
              JOIN pg_class AS child ON child.oid = inhrelid
), rows AS (
    -- -1 is not known.
    SELECT sum(
        CASE WHEN reltuples > 0 THEN reltuples ELSE nullif(pg_stat_get_live_tuples(oid), 0) END
    ) AS rows
    FROM part WHERE relkind IN ('r', 'm')
)
SELECT oid, relkind::text AS kind, (SELECT rows::bigint FROM rows) AS rows
FROM pg_class
WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
      AND relname = %(table)s AND relkind IN ('r', 'p', 'v', 'm', 'f')
"""

# Of a domain the type below it, with the length that is nearest. -1 is a type without one.
FIND_COLUMNS = """
SELECT attname::text AS name,
       format_type(base.oid, base.modifier) AS type,
       coalesce(element.typname, own.typname)::text AS type_name,
       (SELECT nspname::text FROM pg_namespace
        WHERE oid = coalesce(element.typnamespace, own.typnamespace)) AS type_schema,
       coalesce(element.typtype, own.typtype)::text AS type_kind,
       NOT (attnotnull OR base.is_not_null) AS may_be_null,
       ARRAY(SELECT enumlabel::text FROM pg_enum
             WHERE enumtypid = coalesce(element.oid, own.oid) ORDER BY enumsortorder) AS labels,
       (SELECT max(CASE WHEN n_distinct >= 0 THEN n_distinct ELSE -n_distinct * %(rows)s END)::bigint
        FROM pg_stats WHERE schemaname = %(schema)s AND tablename = %(table)s
                            AND pg_stats.attname = pg_attribute.attname) AS distinct
FROM pg_attribute
CROSS JOIN LATERAL (
    WITH RECURSIVE below AS (
        SELECT atttypid AS oid, atttypmod AS modifier, false AS is_not_null, 0 AS depth
        UNION ALL
        SELECT typbasetype, CASE WHEN modifier = -1 THEN typtypmod ELSE modifier END,
               is_not_null OR typnotnull, depth + 1
        FROM below JOIN pg_type ON pg_type.oid = below.oid AND typtype = 'd'
    ) SELECT oid, modifier, is_not_null FROM below ORDER BY depth DESC LIMIT 1
) AS base
JOIN pg_type AS own ON own.oid = base.oid
LEFT JOIN pg_type AS element ON element.oid = own.typelem AND own.typcategory = 'A'
WHERE attrelid = %(oid)s::oid AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
"""

# The columns of an expression are not known: they are none. A prefix is found where characters are compared
# by their bytes. https://www.postgresql.org/docs/current/indexes-opclass.html
FIND_INDEXES = """
SELECT relname::text AS name,
       ARRAY(SELECT coalesce(attname::text, '')
             FROM unnest(indkey[0:indnkeyatts - 1]) WITH ORDINALITY AS part(number, position)
                  LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = number AND number > 0
             ORDER BY position) AS columns,
       amname::text AS method,
       indisunique AND indpred IS NULL AND indexprs IS NULL AS is_unique,
       indisprimary AS is_primary,
       opcname ~ '_pattern_ops$' OR (collname IN ('C', 'POSIX', 'ucs_basic'))
           OR (collname = 'default' AND (SELECT datcollate IN ('C', 'POSIX') FROM pg_database
                                         WHERE datname = current_database())) AS finds_prefix
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
     JOIN pg_am ON pg_am.oid = relam
     JOIN pg_opclass ON pg_opclass.oid = indclass[0]
     LEFT JOIN pg_collation ON pg_collation.oid = indcollation[0]
WHERE indrelid = %(oid)s::oid AND indisvalid AND indpred IS NULL
ORDER BY indisprimary DESC, indnkeyatts, relname
"""


@dataclass(frozen=True)
class FoundColumn:
    """A column: its type, of a domain the one below, and what is in it by the statistics.

    ``type_name``, ``type_schema`` and ``type_kind`` are of an array's elements; ``labels`` those of an enum.
    ``distinct`` is how many different values there are; ``None`` without statistics.
    """

    name: str
    type: str
    type_name: str
    type_schema: str
    type_kind: str
    may_be_null: bool
    labels: list[str]
    distinct: int | None

    @property
    def is_array(self) -> bool:
        """Whether it holds several values."""
        return self.type.endswith("[]")


@dataclass(frozen=True)
class FoundIndex:
    """A valid index of all rows. An expression in it is a column without a name."""

    name: str
    columns: list[str]
    method: str
    is_unique: bool
    is_primary: bool
    finds_prefix: bool | None


@dataclass(frozen=True)
class FoundTable:
    """A table or view. ``rows`` is an estimate; ``None`` without statistics, as views are."""

    schema: str
    name: str
    kind: str
    rows: int | None
    columns: Sequence[FoundColumn]
    indexes: Sequence[FoundIndex]

    @property
    def is_view(self) -> bool:
        """Whether no column of it can be NOT NULL, as far as PostgreSQL knows."""
        return self.kind in ("v", "m")


def find_relation(connection: Connection, schema: str, name: str) -> FoundTable | None:
    """What there is of that name; ``None`` if nothing that has rows. Raises psycopg's errors."""
    names = {"schema": schema, "table": name}
    with connection.transaction():
        connection.execute(QUALIFY)
        relation = connection.execute(FIND_RELATION, names).fetchone()
        if relation is None:
            return None
        oid, kind, rows = relation
        values = {**names, "oid": oid, "rows": rows or 0}
        of_columns = connection.cursor(row_factory=class_row(FoundColumn))
        columns = of_columns.execute(FIND_COLUMNS, values).fetchall()
        of_indexes = connection.cursor(row_factory=class_row(FoundIndex))
        indexes = of_indexes.execute(FIND_INDEXES, values).fetchall()
    return FoundTable(schema, name, kind, rows, columns, indexes)
