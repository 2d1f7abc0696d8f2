"""What the doctor asks of PostgreSQL's catalogues. Each statement is of all tables that are asked for.

``wanted`` is a list of JSON objects, one for each table.
"""

# The privileges of a role, by its oid; what is asked of an oid that is NULL is NULL.
FIND_ROLE = """
SELECT role.oid AS role_oid, role.rolname AS role, role.rolcanlogin AS may_log_in,
       current_database() AS database,
       has_database_privilege(role.oid, current_database(), 'CONNECT') AS may_connect,
       has_database_privilege(role.oid, current_database(), 'CREATE') AS may_create,
       pg_get_userbyid(own.nspowner) AS status_schema_owner,
       has_schema_privilege(role.oid, own.oid, 'USAGE') AS may_use_status_schema,
       has_schema_privilege(role.oid, own.oid, 'CREATE') AS may_create_in_status_schema
FROM pg_roles AS role
LEFT JOIN pg_namespace AS own ON own.nspname = %(status_schema)s
WHERE role.rolname = coalesce(%(role)s, current_user)
"""

FIND_RELATIONS = """
SELECT wanted.name,
       -- 6171 is pg_database_owner, who has the schema "public" and is whoever has the database.
       pg_get_userbyid(CASE home.nspowner WHEN 6171 THEN datdba ELSE home.nspowner END) AS schema_owner,
       has_schema_privilege(%(role)s::oid, home.oid, 'USAGE') AS may_use_schema,
       relation.oid AS oid, relation.relkind::text AS kind, pg_get_userbyid(relation.relowner) AS owner,
       -- 4 is UPDATE. Asked only of what may not take one, because it opens the relation.
       relation.relkind IN ('r', 'p') OR (pg_relation_is_updatable(relation.oid, true) & 4) = 4
           AS is_updatable
FROM jsonb_to_recordset(%(wanted)s) AS wanted(name text, schema text, source text)
JOIN pg_database ON datname = current_database()
LEFT JOIN pg_namespace AS home ON home.nspname = wanted.schema
LEFT JOIN pg_class AS relation ON relation.relnamespace = home.oid AND relation.relname = wanted.source
      AND relation.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

# A domain is as good as the type below it, also as that of an array's elements.
FIND_COLUMNS = """
WITH RECURSIVE declared AS (
    SELECT wanted.name AS root, attrelid, attnum, attname, attnotnull, atttypid
    FROM jsonb_to_recordset(%(wanted)s) AS wanted(name text, oid oid, columns text[])
    JOIN pg_attribute ON attrelid = wanted.oid AND attnum > 0 AND NOT attisdropped
         AND attname = ANY(wanted.columns)
), below AS (
    SELECT atttypid AS used, atttypid AS oid, '' AS brackets FROM declared GROUP BY atttypid
    UNION ALL
    SELECT used, CASE typtype WHEN 'd' THEN typbasetype ELSE typelem END,
           brackets || CASE typtype WHEN 'd' THEN '' ELSE '[]' END
    FROM below JOIN pg_type USING (oid)
    WHERE typtype = 'd' OR EXISTS (SELECT FROM pg_type AS element WHERE element.typarray = below.oid)
), types AS (
    SELECT used, below.oid, typnamespace, typname, format_type(below.oid, NULL) || brackets AS type
    FROM below JOIN pg_type ON pg_type.oid = below.oid
    WHERE typtype <> 'd' AND NOT EXISTS (SELECT FROM pg_type AS element WHERE element.typarray = below.oid)
)
SELECT root, attname AS name, quote_ident(attname) AS quoted, type,
       (SELECT nspname FROM pg_namespace WHERE oid = typnamespace) AS type_schema, typname AS type_name,
       pg_type_is_visible(types.oid) AS is_type_visible,
       has_schema_privilege(%(role)s::oid, typnamespace, 'USAGE') AS may_use_type,
       attnotnull AS is_not_null,
       has_column_privilege(%(role)s::oid, attrelid, attnum, 'SELECT') AS may_select,
       has_column_privilege(%(role)s::oid, attrelid, attnum, 'UPDATE') AS may_update
FROM declared JOIN types ON used = atttypid
"""

# Unique is a key of which some columns already are. An index of each partition makes it unique in the whole
# if the key alone decides on the partition.
FIND_KEYS = """
WITH RECURSIVE part AS (
    SELECT wanted.name AS root, key, pg_class.oid, relkind
    FROM jsonb_to_recordset(%(wanted)s) AS wanted(name text, oid oid, key text[]) JOIN pg_class USING (oid)
    UNION ALL
    SELECT root, key, child.oid, child.relkind
    FROM part JOIN pg_inherits ON inhparent = part.oid JOIN pg_class AS child ON child.oid = inhrelid
), judged AS (
    SELECT root, relkind,
        EXISTS (
            SELECT FROM pg_index WHERE indrelid = part.oid AND indisunique AND indisvalid AND indpred IS NULL
            AND (SELECT bool_and(coalesce(attname = ANY(key), false))
                 FROM generate_series(0, indnkeyatts - 1) AS place
                 LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[place] AND attnum > 0)
        ) AS has_unique,
        EXISTS (
            SELECT FROM pg_partitioned_table WHERE partrelid = part.oid
            AND (SELECT bool_and(coalesce(attname = ANY(key), false))
                 FROM generate_series(0, partnatts - 1) AS place
                 LEFT JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[place] AND attnum > 0)
        ) AS is_split_by_key
    FROM part
)
SELECT root, count(*) FILTER (WHERE relkind IN ('r', 'm') AND NOT has_unique) AS lacking,
       bool_or(relkind IN ('v', 'f') OR (relkind = 'p' AND NOT is_split_by_key))
           OR (count(*) > 1 AND NOT bool_or(relkind = 'p')) AS is_beyond_indexes
FROM judged GROUP BY root
"""

# In any order: as many as are read in a moment.
LOOK_AT_KEYS = """
SELECT count(*) AS rows, count(*) FILTER (WHERE is_whole) AS keys,
       count(DISTINCT key) FILTER (WHERE is_whole) AS different, count(*) < {most} AS is_all
FROM (SELECT {key} AS key, {is_whole} AS is_whole FROM {table} LIMIT {most}) AS seen
"""
LONGEST_LOOK = "SET LOCAL statement_timeout = {milliseconds}"

# An index of a partitioned table is one of each of its partitions, and they may also have their own.
# Rows are counted where they are: the statistics of a partitioned table are as old as its last ANALYZE.
FIND_INDEXES = """
WITH RECURSIVE part AS (
    SELECT wanted.name AS root, pg_class.oid, relkind, relnamespace, relname, reltuples
    FROM jsonb_to_recordset(%(wanted)s) AS wanted(name text, oid oid) JOIN pg_class USING (oid)
    UNION ALL
    SELECT root, child.oid, child.relkind, child.relnamespace, child.relname, child.reltuples
    FROM part JOIN pg_inherits ON inhparent = part.oid AND part.relkind = 'p'
              JOIN pg_class AS child ON child.oid = inhrelid
), leaf AS (
    SELECT root, oid, CASE WHEN reltuples > 0 THEN reltuples ELSE pg_stat_get_live_tuples(oid) END AS rows
    FROM part WHERE relkind IN ('r', 'm')
), found AS MATERIALIZED (
    SELECT root, indrelid, relname, indisvalid, amname,
        ARRAY(
            SELECT coalesce(attname, '') FROM generate_series(0, indnkeyatts - 1) AS place
            LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[place] AND attnum > 0
            ORDER BY place
        )::text[] AS columns,
        opcname LIKE '%%pattern\\_ops' AS is_by_pattern,
        -- 100 is "default", the collation of the database.
        CASE WHEN indcollation[0] = 100
             THEN (SELECT datcollate IN ('C', 'POSIX') FROM pg_database WHERE datname = current_database())
             ELSE collcollate IN ('C', 'POSIX') OR collprovider = 'b' END AS is_by_byte
    FROM leaf JOIN pg_index ON indrelid = leaf.oid AND indpred IS NULL
         JOIN pg_class ON pg_class.oid = indexrelid
         JOIN pg_am ON pg_am.oid = relam AND amname IN ('btree', 'gin')
         JOIN pg_opclass ON pg_opclass.oid = indclass[0]
         LEFT JOIN pg_collation ON pg_collation.oid = indcollation[0]
), useful AS (
    SELECT wanted.root, wanted.columns, wanted.use, indrelid, relname, indisvalid
    FROM jsonb_to_recordset(%(uses)s) AS wanted(root text, columns text[], use text)
    JOIN found ON found.root = wanted.root AND CASE wanted.use
        WHEN 'contains' THEN amname = 'gin' AND found.columns @> wanted.columns
        ELSE amname = 'btree' AND found.columns[1:cardinality(wanted.columns)] = wanted.columns
             AND CASE wanted.use WHEN 'prefix' THEN is_by_pattern OR coalesce(is_by_byte, false)
                                 WHEN 'any' THEN true ELSE NOT is_by_pattern END
    END
), total AS (
    SELECT root, count(*) AS leaves, coalesce(sum(rows), 0)::bigint AS rows FROM leaf GROUP BY root
), statistics AS (
    -- A role sees no statistics of partitions that it was not granted, only of the whole. A negative
    -- n_distinct is a part of the rows.
    SELECT root, attname, max(greatest(n_distinct, -n_distinct * reltuples))::bigint AS distinct
    FROM part JOIN pg_namespace ON pg_namespace.oid = relnamespace
         JOIN pg_stats ON schemaname = nspname AND tablename = relname
    GROUP BY root, attname
)
SELECT wanted.root, wanted.columns, wanted.use,
       coalesce(leaves, 0) - (SELECT count(DISTINCT indrelid) FROM useful WHERE useful.root = wanted.root
           AND useful.columns = wanted.columns AND useful.use = wanted.use AND indisvalid) AS lacking,
       ARRAY(SELECT relname::text FROM useful WHERE useful.root = wanted.root
           AND useful.columns = wanted.columns AND useful.use = wanted.use AND NOT indisvalid) AS invalid,
       coalesce(total.rows, 0) AS rows, statistics.distinct AS distinct
FROM jsonb_to_recordset(%(uses)s) AS wanted(root text, columns text[], use text)
LEFT JOIN total ON total.root = wanted.root
LEFT JOIN statistics ON statistics.root = wanted.root AND attname = wanted.columns[1]
"""

FIND_PRIVILEGES = """
SELECT wanted.name AS "table", privilege,
       has_table_privilege(%(role)s::oid, pg_class.oid, privilege) AS is_granted
FROM unnest(%(tables)s::text[], %(privileges)s::text[]) AS wanted(name, privilege)
LEFT JOIN pg_namespace ON nspname = %(schema)s
LEFT JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = wanted.name AND relkind = 'r'
"""

FIND_SIMILAR = """
SELECT root, nspname::text, relname::text
FROM (
    SELECT wanted.name AS root, nspname, relname,
           row_number() OVER (PARTITION BY wanted.name ORDER BY nspname, relname) AS place
    FROM jsonb_to_recordset(%(wanted)s) AS wanted(name text, columns text[])
         JOIN pg_attribute ON attname = ANY(wanted.columns) AND attnum > 0
         JOIN pg_class ON pg_class.oid = attrelid AND relkind IN ('r', 'p', 'v', 'm', 'f')
              AND NOT relispartition
         JOIN pg_namespace ON pg_namespace.oid = relnamespace
    GROUP BY wanted.name, wanted.columns, nspname, relname
    HAVING count(*) = cardinality(wanted.columns)
) AS found
WHERE place <= 3 ORDER BY root, place
"""
