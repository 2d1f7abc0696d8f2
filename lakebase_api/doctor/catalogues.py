"""Asks the database's catalogues about a role and the tables it needs.

Only catalogues are read, and no lock is taken on the orders table; what is not a table is locked as by a
SELECT, and its keys are looked at.
"""

from collections.abc import Mapping

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from lakebase_api.doctor.facts import Column, Facts, Index, Key, Privilege, Relation, Seen
from lakebase_api.lakebase.connecting import Connection
from lakebase_api.orders import overlay
from lakebase_api.orders.order import KEY, Order
from lakebase_api.settings import Settings

COLUMNS = Order.__struct_fields__

# The privileges of a role, by its oid; what is asked of an oid that is NULL is NULL.
FIND_RELATION = """
SELECT role.oid AS role_oid, role.rolname AS role, role.rolcanlogin AS may_log_in,
       current_database() AS database,
       has_database_privilege(role.oid, current_database(), 'CONNECT') AS may_connect,
       has_database_privilege(role.oid, current_database(), 'CREATE') AS may_create,
       -- 6171 is pg_database_owner, who has the schema "public" and is whoever has the database.
       pg_get_userbyid(CASE home.nspowner WHEN 6171 THEN datdba ELSE home.nspowner END) AS schema_owner,
       has_schema_privilege(role.oid, home.oid, 'USAGE') AS may_use_schema,
       relation.oid AS oid, relation.relkind::text AS kind, pg_get_userbyid(relation.relowner) AS owner,
       -- 4 is UPDATE. Asked only of what may not take one, because it opens the relation.
       relation.relkind IN ('r', 'p') OR (pg_relation_is_updatable(relation.oid, true) & 4) = 4
           AS is_updatable,
       pg_get_userbyid(own.nspowner) AS status_schema_owner,
       has_schema_privilege(role.oid, own.oid, 'USAGE') AS may_use_status_schema,
       has_schema_privilege(role.oid, own.oid, 'CREATE') AS may_create_in_status_schema
FROM pg_roles AS role JOIN pg_database ON datname = current_database()
LEFT JOIN pg_namespace AS home ON home.nspname = %(schema)s
LEFT JOIN pg_class AS relation ON relation.relnamespace = home.oid AND relation.relname = %(table)s
      AND relation.relkind IN ('r', 'p', 'v', 'm', 'f')
LEFT JOIN pg_namespace AS own ON own.nspname = %(status_schema)s
WHERE role.rolname = coalesce(%(role)s, current_user)
"""

FIND_COLUMNS = """
SELECT attname AS name,
       (WITH RECURSIVE below AS (
           SELECT oid, typtype, typbasetype FROM pg_type WHERE oid = atttypid
           UNION ALL
           SELECT t.oid, t.typtype, t.typbasetype FROM below JOIN pg_type AS t ON t.oid = below.typbasetype
       ) SELECT oid FROM below WHERE typtype <> 'd')::regtype::text AS type,
       attnotnull AS is_not_null,
       has_column_privilege(%(role)s::oid, attrelid, attnum, 'SELECT') AS may_select,
       has_column_privilege(%(role)s::oid, attrelid, attnum, 'UPDATE') AS may_update
FROM pg_attribute
WHERE attrelid = %(oid)s::oid AND attnum > 0 AND NOT attisdropped AND attname = ANY(%(columns)s)
"""

# An index of each partition makes the key unique in the whole if the key alone decides on the partition.
FIND_KEY = """
WITH RECURSIVE part AS (
    SELECT oid, relkind FROM pg_class WHERE oid = %(oid)s::oid
    UNION ALL
    SELECT child.oid, child.relkind
    FROM part JOIN pg_inherits ON inhparent = part.oid JOIN pg_class AS child ON child.oid = inhrelid
)
SELECT count(*) FILTER (WHERE relkind IN ('r', 'm') AND NOT EXISTS (
           SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
           WHERE indrelid = part.oid AND attname = %(key)s
                 AND indisunique AND indisvalid AND indnkeyatts = 1 AND indpred IS NULL
       )) AS lacking,
       coalesce(bool_or(relkind IN ('v', 'f') OR (relkind = 'p' AND NOT EXISTS (
           SELECT FROM pg_partitioned_table
               JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
           WHERE partrelid = part.oid AND partnatts = 1 AND attname = %(key)s
       ))) OR (count(*) > 1 AND NOT bool_or(relkind = 'p')), false) AS is_beyond_indexes
FROM part
"""

# In any order: as many as are read in a moment.
LOOK_AT_KEYS = """
SELECT count(*) AS rows, count(key) AS keys, count(DISTINCT key) AS different, count(*) < {most} AS is_all
FROM (SELECT {key} AS key FROM {table} LIMIT {most}) AS seen
"""
MOST_LOOKED_AT = 1_000_000
LONGEST_LOOK = b"SET LOCAL statement_timeout = '2s'"

# Another one as soon as the definition of the table is another, of its columns, its indexes or its grants.
FIND_MARK = """
WITH RECURSIVE part AS (
    SELECT pg_class.oid, pg_namespace.xmin AS version
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %(schema)s AND relname = %(table)s AND relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT inhrelid, pg_inherits.xmin FROM part JOIN pg_inherits ON inhparent = part.oid
), found AS (
    SELECT 'part', oid, 0, version FROM part
    UNION ALL
    SELECT 'class', oid, 0, xmin FROM pg_class WHERE oid IN (SELECT oid FROM part)
    UNION ALL
    SELECT 'column', attrelid, attnum, xmin FROM pg_attribute
    WHERE attrelid IN (SELECT oid FROM part) AND attnum > 0
    UNION ALL
    SELECT 'index', indrelid, indexrelid, xmin FROM pg_index WHERE indrelid IN (SELECT oid FROM part)
)
SELECT coalesce(md5(string_agg(found::text, '' ORDER BY found::text)), 'none') FROM found
"""

# An index of a partitioned table is one of each of its partitions, and they may also have their own.
# Rows are counted where they are: the statistics of a partitioned table are as old as its last ANALYZE.
FIND_INDEXES = """
WITH RECURSIVE part AS (
    SELECT oid, relkind, relnamespace, relname, reltuples FROM pg_class WHERE oid = %(oid)s::oid
    UNION ALL
    SELECT child.oid, child.relkind, child.relnamespace, child.relname, child.reltuples
    FROM part JOIN pg_inherits ON inhparent = part.oid AND part.relkind = 'p'
              JOIN pg_class AS child ON child.oid = inhrelid
), leaf AS (
    SELECT oid, greatest(reltuples, pg_stat_get_live_tuples(oid)) AS rows
    FROM part WHERE relkind IN ('r', 'm')
), found AS (
    SELECT indrelid, relname, indisvalid, attname
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
         JOIN pg_am ON pg_am.oid = relam AND amname = 'btree'
         JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
    WHERE indrelid IN (SELECT oid FROM leaf) AND indpred IS NULL
)
SELECT "column",
       (SELECT count(*) FROM leaf WHERE NOT EXISTS
           (SELECT FROM found WHERE indrelid = oid AND attname = "column" AND indisvalid)) AS lacking,
       ARRAY(SELECT relname::text FROM found WHERE attname = "column" AND NOT indisvalid) AS invalid,
       (SELECT coalesce(sum(rows), 0)::bigint FROM leaf) AS rows,
       -- A role sees no statistics of partitions that it was not granted, only of the whole. A negative
       -- n_distinct is a part of the rows.
       (SELECT max(greatest(n_distinct, -n_distinct * reltuples))::bigint
        FROM part JOIN pg_namespace ON pg_namespace.oid = relnamespace
             JOIN pg_stats ON schemaname = nspname AND tablename = relname AND attname = "column") AS distinct
FROM unnest(%(columns)s::text[]) AS "column"
"""

FIND_PRIVILEGES = """
SELECT wanted.name AS "table", privilege,
       has_table_privilege(%(role)s::oid, pg_class.oid, privilege) AS is_granted
FROM unnest(%(tables)s::text[], %(privileges)s::text[]) AS wanted(name, privilege)
LEFT JOIN pg_namespace ON nspname = %(schema)s
LEFT JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = wanted.name AND relkind = 'r'
"""

FIND_SIMILAR = """
SELECT nspname::text, relname::text
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
     JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE attname = ANY(%(columns)s) AND attnum > 0
      AND relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition
GROUP BY nspname, relname HAVING count(*) = cardinality(%(columns)s)
ORDER BY nspname, relname LIMIT 3
"""


def gather_facts(
    connection: Connection, settings: Settings, role: str | None = None, *, looks_at_rows: bool = True
) -> Facts | None:
    """What the catalogues say of this role, by default that of the session; ``None`` when there is none.

    A few short statements on a connection in autocommit mode. Raises psycopg's errors.
    """
    relation = _find_relation(connection, settings, role)
    if relation is None:
        return None
    columns = {column.name: column for column in _find_columns(connection, relation)}
    key = _find_key(connection, relation)
    return Facts(
        relation=relation,
        columns=columns,
        key=key,
        seen=_look_at_keys(connection, settings)
        if looks_at_rows and _must_look(relation, columns, key)
        else None,
        indexes={index.column: index for index in _find_indexes(connection, relation)},
        privileges=_find_privileges(connection, relation.role_oid, settings.status_schema),
        version=_find_version(connection, settings.status_schema),
        similar=[] if relation.oid else _find_similar(connection),
    )


def find_mark(settings: Settings, connection: Connection) -> str:
    """What is another one once the orders table is defined in another way. Raises psycopg's errors."""
    names = {"schema": settings.schema, "table": settings.table}
    [(mark,)] = connection.execute(FIND_MARK, names).fetchall()
    return str(mark)


def _find_relation(connection: Connection, settings: Settings, role: str | None) -> Relation | None:
    names = {
        "role": role,
        "schema": settings.schema,
        "table": settings.table,
        "status_schema": settings.status_schema,
    }
    return connection.cursor(row_factory=class_row(Relation)).execute(FIND_RELATION, names).fetchone()


def _find_columns(connection: Connection, relation: Relation) -> list[Column]:
    values = {"role": relation.role_oid, "oid": relation.oid, "columns": list(COLUMNS)}
    return connection.cursor(row_factory=class_row(Column)).execute(FIND_COLUMNS, values).fetchall()


def _find_key(connection: Connection, relation: Relation) -> Key:
    values = {"oid": relation.oid, "key": KEY}
    [key] = connection.cursor(row_factory=class_row(Key)).execute(FIND_KEY, values).fetchall()
    return key


def _must_look(relation: Relation, columns: Mapping[str, Column], key: Key) -> bool:
    """Whether only the rows can say what the keys are like. A materialized view cannot say NOT NULL."""
    may_look = KEY in columns and columns[KEY].may_select and relation.may_use_schema
    return bool(may_look) and (key.is_beyond_indexes or relation.kind == "m")


def _look_at_keys(connection: Connection, settings: Settings) -> Seen | None:
    statement = sql.SQL(LOOK_AT_KEYS).format(
        key=sql.Identifier(KEY),
        table=sql.Identifier(settings.schema, settings.table),
        most=sql.Literal(MOST_LOOKED_AT),
    )
    try:
        with connection.transaction():
            connection.execute(LONGEST_LOOK)
            return connection.cursor(row_factory=class_row(Seen)).execute(statement).fetchone()
    except psycopg.Error:
        if connection.closed:
            raise
        return None


def _find_indexes(connection: Connection, relation: Relation) -> list[Index]:
    values = {"oid": relation.oid, "columns": list(COLUMNS)}
    return connection.cursor(row_factory=class_row(Index)).execute(FIND_INDEXES, values).fetchall()


def _find_privileges(connection: Connection, role: int, schema: str) -> list[Privilege]:
    wanted = [
        (table, privilege)
        for table, privileges in overlay.TABLE_PRIVILEGES.items()
        for privilege in privileges.split(", ")
    ]
    tables, privileges = zip(*wanted, strict=True)
    values = {"role": role, "schema": schema, "tables": list(tables), "privileges": list(privileges)}
    return connection.cursor(row_factory=class_row(Privilege)).execute(FIND_PRIVILEGES, values).fetchall()


def _find_version(connection: Connection, schema: str) -> int | None:
    """The session's own rights decide, whichever role is looked at."""
    try:
        statement = sql.SQL(overlay.READ_VERSION).format(schema=sql.Identifier(schema))
        [(version,)] = connection.execute(statement).fetchall()
    except (psycopg.ProgrammingError, psycopg.DataError):
        return None
    return int(version)


def _find_similar(connection: Connection) -> list[tuple[str, str]]:
    return connection.execute(FIND_SIMILAR, {"columns": list(COLUMNS)}).fetchall()
