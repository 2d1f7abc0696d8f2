"""The file of rights: each mistake with its line."""

import re
from pathlib import Path

import pytest

from lakebase_api.access.rights_file import RightsError, load_rights, read_rights
from lakebase_api.environment import load_settings
from lakebase_api.table.loading import read_tables
from tests.gunicorn_process import ROOT
from tests.tables import trial

STATIC = {"PGHOST": "127.0.0.1", "PGUSER": "ann", "PGPASSWORD": "secret"}
TABLES, _ = read_tables(trial.DECLARED, "tables.toml")
GOOD = """
[roles]
reader = ["orders:read", "customers:read"]
agent = ["orders:read", "orders:change", "orders:history"]
auditor = ["service:audit", "service:observe", "*:read"]

[callers]
"key:ann" = ["reader", "agent"]
"claim:realm_access.groups=sales" = "agent"
"*" = "reader"

[rows.orders]
agent = { o_orderstatus = ["F", "O"], o_clerk = "$subject", o_orderdate_from = 1995-01-01 }
reader = { o_custkey = "$claim:customer.id", o_clerk_null = false }

[rows.customers]
reader = { c_mktsegment = "BUILDING" }

[hidden.orders]
agent = ["o_comment", "o_totalprice"]
"""


def read(text: str) -> list[str]:
    return read_rights(text, "rights.toml", TABLES)[1]


def test_what_is_right_has_no_mistakes() -> None:
    assert read(GOOD) == []


def test_the_example_of_the_documentation_is_right() -> None:
    page = (ROOT / "docs/access.md").read_text()
    [example] = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert read(example) == []


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (
            'reader = ["orders:read", ',
            'reader = ["oders:read", ',
            "line 3: roles.reader[0]: oders is no declared",
        ),
        ('"customers:read"]', '"customers:write"]', "line 3: roles.reader[1]: customers:write is no right"),
        ('"customers:read"]', '"customers"]', "line 3: roles.reader[1]: customers is no right"),
        ("service:observe", "service:read", "line 5: roles.auditor[1]: service:read is no right"),
        ('["reader", "agent"]', '["reader", "agnt"]', "did you mean `agent`?"),
        ("claim:realm_access.groups=sales", "claim:groups", 'line 9: callers."claim:groups": must have'),
        ('"key:ann" =', "anonymous =", "line 8: callers.anonymous: anonymous has no roles"),
        ("claim:realm_access.groups=sales", "claim:a..b=c", 'line 9: callers."claim:a..b=c": must have'),
        ("o_orderstatus =", "o_orderstat =", "line 13: rows.orders.agent.o_orderstat: is not known"),
        ("1995-01-01", "true", "line 13: rows.orders.agent.o_orderdate_from: must be a text, as date is"),
        ("1995-01-01", '"1995-13-01"', "line 13: rows.orders.agent.o_orderdate_from: must be a date"),
        ('["F", "O"]', "[]", "line 13: rows.orders.agent.o_orderstatus: must not be empty"),
        ('"$subject"', '"$label"', "line 13: rows.orders.agent.o_clerk: $label is not known here"),
        ('"$claim:customer.id"', '"$claim:"', "line 14: rows.orders.reader.o_custkey: $claim: is not known"),
        ("o_clerk_null = false", 'o_clerk_null = "$subject"', "o_clerk_null: must be a value here"),
        ("o_clerk_null = false", "o_clerk_null = 1", "o_clerk_null: must be true or false"),
        ("[rows.customers]\nreader", "[rows.customers]\nagent", "agent has no right to customers"),
        ("[rows.customers]", "[rows.customer]", "line 16: rows.customer: customer is no declared table"),
        ('{ c_mktsegment = "BUILDING" }', "{}", "line 17: rows.customers.reader: must have a condition"),
        ('"o_totalprice"]', '"o_orderkey"]', "line 20: hidden.orders.agent[1]: o_orderkey is of the key"),
        ('"o_totalprice"]', '"o_price"]', "line 20: hidden.orders.agent[1]: o_price is no column"),
        ("[hidden.orders]", "[hiden.orders]", "line 19: hiden: is not known here; did you mean `hidden`?"),
        (GOOD, "", "has no roles"),
        (GOOD, "roles = 1", "roles: must be a table"),
        (GOOD, "[roles", "line 1: is no TOML"),
    ],
)
def test_a_mistake_is_told_with_its_line(right: str, wrong: str, told: str) -> None:
    assert right in GOOD
    mistakes = read(GOOD.replace(right, wrong, 1))
    assert [line for line in mistakes if told in line], mistakes


def test_all_mistakes_are_told_at_once_in_their_order() -> None:
    mistakes = read(GOOD.replace("orders:read", "orders:red").replace("o_comment", "o_coment"))
    lines = [int(found[1]) for line in mistakes if (found := re.match(r"rights\.toml line (\d+):", line))]
    assert lines == [3, 4, 20]


def test_a_file_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    settings = load_settings({**STATIC, "RIGHTS_FILE": f"{tmp_path}/rights.toml"})
    with pytest.raises(RightsError, match="RIGHTS_FILE: there is no file"):
        load_rights(settings, TABLES)


def test_a_file_with_mistakes_is_refused_with_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "rights.toml"
    path.write_text(GOOD.replace("orders:read", "orders:red"))
    settings = load_settings({**STATIC, "RIGHTS_FILE": str(path), "TABLES_FILE": str(ROOT / "tables.toml")})
    with pytest.raises(RightsError) as refused:
        load_rights(settings, TABLES)
    assert str(refused.value).startswith("The rights need mending:\n  ")
    assert len(refused.value.mistakes) == 2
