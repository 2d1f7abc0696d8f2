"""Every table that is served has its synced table in the bundle.

For files of yours: ``TABLES=mine.toml BUNDLE=mine.yml python -m pytest`` and the name of this file.
"""

import os
from pathlib import Path

import pytest

from lakebase_api.table.loading import read_tables
from tests.deployment.bundles import compare_with_tables, read_yaml, resolve
from tests.gunicorn_process import ROOT

BUNDLE = Path(os.environ.get("BUNDLE") or ROOT / "databricks.yml")
TABLES = Path(os.environ.get("TABLES") or ROOT / "tables.toml")
# `schema.table` of sources that are made otherwise than by a sync, such as views.
NOT_SYNCED: frozenset[str] = frozenset()


@pytest.mark.parametrize("target", ["dev", "prod"])
def test_every_source_has_its_synced_table_with_the_same_key(target: str) -> None:
    tables, mistakes = read_tables(TABLES.read_text(), str(TABLES))
    assert mistakes == []
    bundle = read_yaml(BUNDLE.read_text())
    asked_for = {name: f"<{name}>" for name, one in bundle["variables"].items() if "default" not in one}
    looked_at = [table for table in tables if f"{table.schema}.{table.source}" not in NOT_SYNCED]
    assert compare_with_tables(resolve(bundle, target, **asked_for), looked_at) == []


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ('source = "shop.parts"\nkey = ["id"]', []),
        ('source = "shop.parts"\nkey = ["id"]\nsynced_table = "main.shop.parts"', []),
        ('source = "app.made_here"\nkey = ["id"]\nwrites = "direct"', []),
        (
            'source = "shop.customers"\nkey = ["id"]',
            ["things: shop.customers has no synced table in the bundle"],
        ),
        ('source = "public.parts"\nkey = ["id"]', ["things: public.parts has no synced table in the bundle"]),
        ('source = "shop.parts"\nkey = ["line"]', ["things: its key is ['line'], and ['id'] in the bundle"]),
        (
            'source = "shop.parts"\nkey = ["id"]\nsynced_table = "other.shop.parts"',
            ["things: is other.shop.parts or main.shop.parts"],
        ),
    ],
)
def test_a_table_that_the_bundle_does_not_make_is_told(declared: str, told: list[str]) -> None:
    columns = "[things.columns]\nid = {type = 'bigint'}\nline = {type = 'bigint', change = {path = 'line'}}"
    if 'key = ["line"]' in declared:
        columns = columns.replace(", change = {path = 'line'}", "")
    tables, mistakes = read_tables(f"[things]\n{declared}\n{columns}", "tables.toml")
    assert mistakes == []
    synced = {"parts": {"synced_table_id": "main.shop.parts", "primary_key_columns": ["id"]}}
    assert compare_with_tables({"resources": {"postgres_synced_tables": synced}}, tables) == told
