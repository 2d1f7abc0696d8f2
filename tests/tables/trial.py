"""The tables of the trial, with ordinary rows, with NULLs, and with values that are hard to show."""

from pathlib import Path

from tests.conftest import ROLE, OrdersDatabase

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]
# As somebody has it who serves three tables beside orders.
DECLARED = (REPOSITORY / "tables.toml").read_text() + "\n" + (FOLDER / "trial.toml").read_text()

CUSTOMERS, EVENTS, LINEITEMS = 150, 60, 120
SEGMENTS = ("AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY")
# In columns that are not declared; must never be seen.
SECRET = "not-to-be-seen"

CREATE_CUSTOMERS = f"""
CREATE TABLE public.customer_synced (
    c_custkey bigint PRIMARY KEY, c_name text, c_address text, c_nationkey integer, c_phone text,
    c_acctbal numeric(18,2), c_mktsegment text, c_comment text
);
INSERT INTO public.customer_synced
SELECT n, 'Customer#' || lpad(n::text, 9, '0'), '{SECRET}', n % 25, '{SECRET}', (n * 7919 % 1000000) / 100.0,
    (ARRAY['AUTOMOBILE', 'BUILDING', 'FURNITURE', 'HOUSEHOLD', 'MACHINERY'])[1 + n % 5],
    'ironic deposits ' || n
FROM generate_series(1, 140) AS n;
INSERT INTO public.customer_synced VALUES
    (-7, 'Łódź – 5 €', '{SECRET}', -1, NULL, 'NaN', 'BUILDING', E'two\\nlines, "quoted"'),
    (0, '', '{SECRET}', NULL, NULL, -999.99, NULL, ''),
    (141, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (142, '=1+1', '{SECRET}', 2147483647, NULL, 0.00, 'MACHINERY', ' '),
    (143, '%_\\', '{SECRET}', -2147483648, NULL, 9999999999999999.99, 'MACHINERY', E'\\x01\\t\\r'),
    (144, '😀', '{SECRET}', 0, NULL, 0.1, 'HOUSEHOLD', E'\\u2028\\u2029'),
    (145, 'NULL', '{SECRET}', 0, NULL, 1.10, 'HOUSEHOLD', '\\N'),
    (146, 'null', '{SECRET}', 0, NULL, 1.1, 'HOUSEHOLD', '</script>'),
    (9007199254740993, 'Customer#9007199254740993', '{SECRET}', 1, NULL, 1, 'FURNITURE', 'above 2^53'),
    (9223372036854775807, 'the last', '{SECRET}', 1, NULL, 1, 'FURNITURE', 'the last')
"""

CREATE_EVENTS = f"""
CREATE SCHEMA IF NOT EXISTS app;
CREATE TABLE app.events (
    id uuid PRIMARY KEY, at timestamptz, payload jsonb, ok boolean, tags text[], secret text
);
INSERT INTO app.events
SELECT md5(n::text)::uuid, timestamptz '2026-01-01 00:00:00+00' + n * interval '1 hour 1.001 seconds',
    jsonb_build_object('kind', (ARRAY['click', 'view'])[1 + n % 2], 'x', n), n % 3 = 0,
    ARRAY[(ARRAY['a', 'b', 'c'])[1 + n % 3], 'd' || n % 4], '{SECRET}'
FROM generate_series(1, 50) AS n;
INSERT INTO app.events VALUES
    ('00000000-0000-0000-0000-000000000000', NULL, NULL, NULL, NULL, '{SECRET}'),
    ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'infinity', '{{}}', true, '{{}}', '{SECRET}'),
    ('00000000-0000-0000-0000-000000000001', '-infinity', '[]', false, '{{NULL}}', '{SECRET}'),
    ('00000000-0000-0000-0000-000000000002', '0044-03-15 12:00:00+00 BC', 'null', true,
        '{{"null","NULL"}}', ''),
    ('00000000-0000-0000-0000-000000000003', '294276-12-31 23:59:59.999999+00', '"text"', true, '{{""}}', ''),
    ('00000000-0000-0000-0000-000000000004', '1883-11-18 12:03:57-04:56:02', '1.10', NULL,
        '{{"a,b","c\\"d"}}', ''),
    ('00000000-0000-0000-0000-000000000005', '2026-03-29 01:00:00+00', '12345678901234567890.123456789', NULL,
        '{{"{{}}","\\\\"}}', ''),
    ('00000000-0000-0000-0000-000000000006', '2026-03-29 01:00:00.1+00',
        '{{"a": 1.10, "b": [true, null, {{"c": "\\u2028 Łódź"}}], "d": 1e400}}', false,
        '{{😀,"two\nlines"}}', ''),
    ('00000000-0000-0000-0000-000000000007', '2026-03-29 01:00:00.123456+00', 'false', false,
        '[3:4]={{x,y}}', ''),
    ('00000000-0000-0000-0000-000000000008', '2026-03-29 01:00:00.12+00', '{{"kind": "click", "x": null}}',
        false, '{{{{a,b}},{{c,d}}}}', '')
"""

CREATE_LINEITEMS = f"""
CREATE TABLE public.lineitem_synced (
    l_orderkey bigint, l_linenumber integer, l_partkey bigint, l_quantity numeric(18,2), l_returnflag char(1),
    l_shipdate date, l_comment text, PRIMARY KEY (l_orderkey, l_linenumber)
);
INSERT INTO public.lineitem_synced
SELECT n / 4, n % 4, n * 31 % 20, 1 + n * 7 % 50, (ARRAY['N', 'R', 'A'])[1 + n % 3],
    date '1996-01-01' + n, '{SECRET}'
FROM generate_series(0, 112) AS n;
INSERT INTO public.lineitem_synced VALUES
    (-5, -1, NULL, NULL, NULL, NULL, NULL),
    (-5, 2147483647, 9223372036854775807, 'NaN', 'N', 'infinity', '{SECRET}'),
    (-5, -2147483648, -9223372036854775808, -0.01, ' ', '-infinity', '{SECRET}'),
    (-9223372036854775808, 0, 0, 0.10, '', '0044-03-15 BC', '{SECRET}'),
    (9223372036854775807, 0, 0, 0.1, 'é', '5874897-12-31', '{SECRET}'),
    (9007199254740993, 1, 1, 1, '=', '1996-03-13', '{SECRET}'),
    (9007199254740992, 1, 1, 1, '"', '1996-03-13', '{SECRET}')
"""

GRANT = f"""
GRANT USAGE ON SCHEMA app TO {ROLE};
GRANT SELECT ON public.customer_synced, app.events, public.lineitem_synced TO {ROLE};
ANALYZE public.customer_synced, app.events, public.lineitem_synced
"""


def create_trial(database: OrdersDatabase) -> None:
    """Make the three tables beside orders, which the role of the tests may then read."""
    for statements in (CREATE_CUSTOMERS, CREATE_EVENTS, CREATE_LINEITEMS, GRANT):
        database.execute(statements)
