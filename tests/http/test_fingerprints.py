"""What must be the same on every host: whether two of them are is seen at their fingerprints."""

from pathlib import Path
from typing import Any

import pytest

from lakebase_api.http.fingerprints import NOT_SET
from tests.gunicorn_process import ROOT
from tests.http.unopened import build_app

SECRET = "long enough, and the same"
RIGHTS = """
[roles]
reader = ["orders:read", "orders:history"]
watcher = ["service:observe"]
[callers]
"key:ann" = ["reader", "watcher"]
"key:bob" = "reader"
[rows.orders]
reader = { o_orderstatus = "F", o_custkey_min = 7 }
[limits]
reader = "600/60"
"""
# The same rights in other words.
RESPELLED = """
# Who may do what.
[limits]
reader = "600/60"
[callers]
"key:bob" = ["reader"]
"key:ann" = ["watcher", "reader"]
[roles]
watcher = "service:observe"
reader = ["orders:history", "orders:read"]
[rows.orders]
reader = { o_custkey_min = 7, o_orderstatus = ["F"] }
"""
NAMES = {"cursor_secret", "tables", "rights"}


class Host:
    """A host with files of its own, and what it says of itself."""

    def __init__(self, folder: Path) -> None:
        self.tables, self.rights = folder / "tables.toml", folder / "rights.toml"
        self.tables.write_text((ROOT / "tables.toml").read_text())
        self.rights.write_text(RIGHTS)
        self.settings = {
            "CURSOR_SECRET": SECRET,
            "TABLES_FILE": str(self.tables),
            "RIGHTS_FILE": str(self.rights),
        }

    def tell(self) -> dict[str, str]:
        """Its fingerprints, to those who start it now and ask."""
        fingerprints: dict[str, str] = self.ask("/readyz?verbose")["fingerprints"]
        return fingerprints

    def ask(self, path: str) -> Any:
        """The answer to a path."""
        return build_app(**self.settings).test_client().get(path).json


@pytest.fixture
def hosts(tmp_path: Path) -> list[Host]:
    """Two hosts of one service."""
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    return [Host(folder) for folder in folders]


def find_differences(hosts: list[Host]) -> set[str]:
    """What the fingerprints of two hosts say is another on the other."""
    one, other = (host.tell() for host in hosts)
    assert one.keys() == other.keys() == NAMES
    return {name for name in NAMES if one[name] != other[name]}


def test_hosts_with_the_same_say_the_same(hosts: list[Host]) -> None:
    assert find_differences(hosts) == set()


def test_other_words_for_the_same_make_no_difference(hosts: list[Host]) -> None:
    _, other = hosts
    other.rights.write_text(RESPELLED)
    other.tables.write_text(f"# Ours.\n\n{other.tables.read_text()}")
    assert find_differences(hosts) == set()


def test_another_secret_is_seen(hosts: list[Host]) -> None:
    hosts[1].settings["CURSOR_SECRET"] += "!"
    assert find_differences(hosts) == {"cursor_secret"}


def test_no_secret_is_said(hosts: list[Host]) -> None:
    del hosts[1].settings["CURSOR_SECRET"]
    assert find_differences(hosts) == {"cursor_secret"}
    assert hosts[1].tell()["cursor_secret"] == NOT_SET


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("`F` fulfilled", "`F` done"),
        ("[orders.columns]", '[orders.columns]\no_extra = { type = "text", null = true }'),
    ],
)
def test_another_declaration_is_seen_also_of_a_column_that_rights_name(
    hosts: list[Host], before: str, after: str
) -> None:
    text = hosts[1].tables.read_text()
    assert before in text
    hosts[1].tables.write_text(text.replace(before, after, 1))
    assert find_differences(hosts) == {"tables"}


def test_a_setting_that_changes_what_is_declared_is_seen(hosts: list[Host]) -> None:
    hosts[1].settings["DEFAULT_POSTGRES_TABLE"] = "elsewhere"
    assert find_differences(hosts) == {"tables"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"orders:read", ', '"orders:read", "orders:export", '),
        ('"key:bob"', '"key:eve"'),
        ('o_orderstatus = "F"', 'o_orderstatus = "O"'),
        ("o_custkey_min = 7", "o_custkey_min = 8"),
        ("600/60", "601/60"),
    ],
)
def test_other_rights_are_seen(hosts: list[Host], before: str, after: str) -> None:
    hosts[1].rights.write_text(RIGHTS.replace(before, after))
    assert find_differences(hosts) == {"rights"}


def test_who_may_call_without_a_name_is_of_the_rights(hosts: list[Host]) -> None:
    hosts[1].settings["ANONYMOUS"] = "read"
    assert find_differences(hosts) == {"rights"}


def test_fingerprints_are_too_short_to_prove_a_guess_and_only_told_when_asked_for(hosts: list[Host]) -> None:
    assert all(len(said) == 4 for said in hosts[0].tell().values())
    assert "fingerprints" not in hosts[0].ask("/readyz")


def test_the_status_tells_the_same(hosts: list[Host]) -> None:
    [host, _] = hosts
    del host.settings["RIGHTS_FILE"]
    assert host.ask("/status.json")["fingerprints"] == host.tell()
