"""Marks of declared tables: another one as soon as a table is defined in another way."""

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from lakebase_api.lakebase.connection import Connection
from lakebase_api.table.declaration import Table

# Of the rows of the catalogues for it, its partitions, its columns and its indexes; its grants are in those.
FIND_MARKS = """
WITH RECURSIVE part AS (
    SELECT wanted.name AS root, pg_class.oid, pg_namespace.xmin AS version
    FROM jsonb_to_recordset(%(wanted)s) AS wanted(name text, schema text, source text)
    JOIN pg_namespace ON nspname = wanted.schema
    JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = wanted.source
         AND relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT root, inhrelid, pg_inherits.xmin FROM part JOIN pg_inherits ON inhparent = part.oid
), found AS (
    SELECT root, ('part', oid, 0, version)::text AS line FROM part
    UNION ALL
    SELECT root, ('class', oid, 0, pg_class.xmin)::text FROM part JOIN pg_class USING (oid)
    UNION ALL
    SELECT root, ('column', attrelid, attnum, pg_attribute.xmin)::text
    FROM part JOIN pg_attribute ON attrelid = oid AND attnum > 0
    UNION ALL
    SELECT root, ('index', indrelid, indexrelid, pg_index.xmin)::text
    FROM part JOIN pg_index ON indrelid = oid
)
SELECT root, md5(string_agg(line, '' ORDER BY line COLLATE "C")) FROM found GROUP BY root
"""
NO_TABLE = "none"


def find_marks(connection: Connection, tables: Sequence[Table]) -> dict[str, str]:
    """The mark of each table by its name, in one short statement. Raises psycopg's errors."""
    values = {"wanted": Jsonb([name_source(table) for table in tables])}
    found: dict[str, str] = dict(connection.execute(FIND_MARKS, values).fetchall())
    return {table.name: found.get(table.name, NO_TABLE) for table in tables}


def name_source(table: Table) -> dict[str, str]:
    """A table as statements on the catalogues are told of it."""
    return {"name": table.name, "schema": table.schema, "source": table.source}
