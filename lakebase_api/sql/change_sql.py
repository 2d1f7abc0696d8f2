"""The statement that changes rows, with every condition inside it.

A change is the next version in its row's history. Of writers who race for a version the history's primary key
lets one have it; the statements of the others fail as a whole, and when they run again they see what the
winner did. So nobody holds a lock while another decides, and a change is one statement in one round trip.
Locks are taken all the same, by the statement and until its end: one on the idempotency key, which nobody
waits for; on expired keys, which others skip; and, where the declared table itself is changed, on its rows.
"""

# For how long a repeated request gets the answer of the first.
# https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
KEY_LIFE = "24 hours"
# Expired keys that a request with a key removes, so that nothing has to wake the database for it.
EXPIRED_KEYS_REMOVED = 100
# What separates ETags in a list of them, and never stands in one.
# https://www.rfc-editor.org/rfc/rfc9110#name-etag
SEPARATOR = '"'

# The parameters before those of the items, and before those of the circumstances where these are kept.
FIRST_OF_CIRCUMSTANCES = 6

# An item has the parts of its key, k0 and on, what is wanted for each column, w0 and on, and its ETags.
ONE_ITEM = "SELECT {values}, 1 AS place"
# A planner that is told how many there are, by another statement, plans for one in a third of the time.
MANY_ITEMS = "SELECT * FROM unnest({arrays}) WITH ORDINALITY AS item ({names}, place)"

# Not the version that the row shows: the history may have later ones, of changes made in the table itself.
LAST_VERSION = """
(SELECT coalesce(max(h._version), 0) AS version FROM {history} AS h WHERE {same_history}) AS last
"""

# Of each column: as it is shown (o0), as its table has it (y0), as it is shown once it is changed (n0) and,
# to withdraw it, whether it is changed (c0).
OVERLAID = """
SELECT item.*, {is_known} AS is_known, {stays_within} AS stays_within, {columns}, last.version,
    {etag} AS etag, {next_etag} AS next_etag
FROM item LEFT JOIN {table} AS t ON {same_row} AND {as_declared}
LEFT JOIN {changes} AS s ON {same_change} AND s._source = {source}
CROSS JOIN LATERAL {last_version}
"""
# After `recorded`, where those who race wait for one another.
WRITE_BESIDE = """
INSERT INTO {changes} ({key}, _source, _version, {targets})
SELECT {item_key}, {source}, version + 1, {target_values}
FROM admitted WHERE outcome = 'changed' AND (SELECT count(*) FROM recorded) >= 0
ON CONFLICT ({key}, _source) DO UPDATE SET _version = excluded._version, {assignments}
"""

# Others than this service may update the table: its rows are locked, in one order, and read as they are then.
DIRECT = """
SELECT item.*, {is_known} AS is_known, {stays_within} AS stays_within, {columns}, last.version,
    {etag} AS etag
FROM item LEFT JOIN (
    SELECT {all_columns} FROM {table} WHERE ({key}) IN (SELECT {item_key} FROM item) AND {as_declared}
    AND NOT EXISTS (SELECT FROM claim WHERE NOT is_free) -- else it would wait for the first request
    ORDER BY {key} FOR UPDATE
) AS t ON {same_row}
CROSS JOIN LATERAL {last_version}
"""
# What is told is the row as its table, and what is triggered there, made it.
WRITE_DIRECTLY = """
UPDATE {table} AS t SET {settings} FROM admitted AS item WHERE {same_row} AND outcome = 'changed'
RETURNING item.place, {returned}, {etag} AS next_etag
"""

CHANGE = """
WITH item AS ({item}), claim AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended($4 || ' ' || $2, 0)) AS is_free
    WHERE $4::text IS NOT NULL
), current AS MATERIALIZED ({current}), decision AS MATERIALIZED (
    SELECT *, CASE
        WHEN NOT is_known THEN 'unknown'
        WHEN if_match IS NULL AND {requires_match} THEN 'unconditional'
        WHEN if_match <> '*' AND etag <> ALL (string_to_array(if_match, {separator})) THEN 'stale'
        WHEN {is_unchanged} THEN 'unchanged'
        WHEN {illegal} IS NOT NULL THEN 'illegal'
        WHEN NOT stays_within THEN 'outside'
        ELSE 'changed'
    END AS outcome
    FROM current
), first AS MATERIALIZED (
    SELECT fingerprint, answer FROM {idempotency} AS i
    WHERE {is_own_key} AND NOT {is_expired}
), admitted AS MATERIALIZED (
    SELECT * FROM decision
    WHERE NOT EXISTS (SELECT FROM first) AND NOT EXISTS (SELECT FROM claim WHERE NOT is_free)
    AND NOT ($1::boolean AND EXISTS (SELECT FROM decision WHERE outcome NOT IN ('changed', 'unchanged')))
), {written_first} recorded AS (
    INSERT INTO {history} ({key}, _source, _version, _old, _new, _synced,
        _is_withdrawal, _changed_by, _request_id, _idempotency_key{circumstances})
    SELECT {item_key}, {source}, version + 1, {old}, {new}, {synced},
        {is_withdrawal}, $2::text, $3::text, $4::text{circumstance_values}
    FROM admitted {join_written} WHERE outcome = 'changed' ORDER BY {item_key}
    RETURNING 1
), {written_then} fresh AS MATERIALIZED (
    SELECT jsonb_agg(jsonb_build_object(
        'key', jsonb_build_array({key_texts}), 'outcome', outcome,
        'values', CASE WHEN outcome = 'changed' THEN {new} WHEN is_known THEN {old} ELSE {nothing} END,
        'etag', CASE WHEN outcome = 'changed' THEN next_etag WHEN is_known THEN etag END,
        'illegal', CASE WHEN outcome = 'illegal' THEN {illegal} END
    ) ORDER BY place) AS answer FROM decision {left_join_written}
), removed AS (
    DELETE FROM {idempotency} AS i
    WHERE $4::text IS NOT NULL AND {is_expired} AND ({is_own_key} OR ctid = ANY (ARRAY(
        SELECT ctid FROM {idempotency} AS i WHERE {is_expired}
        ORDER BY created_at LIMIT {keys_removed} FOR UPDATE SKIP LOCKED
    ))) RETURNING 1
), kept AS (
    INSERT INTO {idempotency} (source, caller, key, fingerprint, answer)
    SELECT {source}, $2::text, $4::text, $5::text, answer FROM fresh
    WHERE $4::text IS NOT NULL AND EXISTS (SELECT FROM admitted)
    AND (SELECT count(*) FROM removed) >= 0 -- first, since the same key may be among them
)
SELECT fresh.answer::text, first.fingerprint, first.answer::text, EXISTS (SELECT FROM claim WHERE NOT is_free)
FROM fresh LEFT JOIN first ON true
"""
IS_EXPIRED = "i.created_at <= now() - interval {}"
IS_OWN_KEY = "i.key = $4 AND i.caller = $2 AND i.source = {source}"
