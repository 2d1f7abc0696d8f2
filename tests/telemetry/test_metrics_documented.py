"""The page on running the service, and the dashboard, against the metrics that there are."""

import json
import re
from collections.abc import Iterator

import pytest

from lakebase_api.http.exporting import Ending
from lakebase_api.telemetry.families import FAMILIES, Kind
from tests.gunicorn_process import ROOT

PAGE = (ROOT / "docs/running.md").read_text()
DASHBOARD = (ROOT / "docs/grafana-dashboard.json").read_text()
# What a query may name that is not counted here.
OTHERS = {"up"}
WORD = re.compile(r"\b[a-z]+(?:_[a-z]+)*\b(?=[{\[])|\b[a-z]+(?:_[a-z]+){2,}\b")


def list_series() -> set[str]:
    """The names that samples have."""
    names = set()
    for family in FAMILIES:
        endings = ("_bucket", "_count", "_sum") if family.kind is Kind.HISTOGRAM else ("",)
        names |= {family.name + ending for ending in endings}
    return names


def list_dashboard_queries() -> Iterator[str]:
    for panel in json.loads(DASHBOARD)["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def list_rules() -> list[str]:
    [rules] = re.findall(r"```yaml\n(groups:\n.*?)```", PAGE, re.DOTALL)
    return re.findall(r"expr: (.*?)\n +(?:for|annotations):", str(rules), re.DOTALL)


def find_names(query: str) -> set[str]:
    labels = {label for family in FAMILIES for label in family.labels}
    return {name for name in WORD.findall(query) if name not in labels}


def test_the_page_has_each_metric_with_its_labels_and_no_other() -> None:
    # Other parts of the page have tables of other things.
    section = PAGE.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)`( \(histogram\))? \| (.*?) \|", section, re.MULTILINE)
    documented = {name: (bool(kind), set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert set(documented) == {family.name for family in FAMILIES}
    for family in FAMILIES:
        is_histogram, words = documented[family.name]
        assert is_histogram is (family.kind is Kind.HISTOGRAM), family.name
        assert set(family.labels) <= words, family.name


def test_the_page_has_each_way_in_which_an_export_ends() -> None:
    assert all(f"`{ending}`" in PAGE for ending in Ending)


@pytest.mark.parametrize("query", [*list_dashboard_queries(), *list_rules()])
def test_each_query_asks_for_what_there_is(query: str) -> None:
    named = find_names(query)
    assert named
    assert named <= list_series() | OTHERS
