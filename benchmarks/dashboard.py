"""Runs each query of the dashboard on a real Prometheus: `make dashboard`; `--picture` draws what they give.

Prometheus scrapes a real server under load, whose database is away for a moment. Prints what each query
gives, and exits with 1 if one gives nothing, or if a rule of `docs/running.md` is not accepted. Needs
`prometheus` in PATH (`apt install prometheus`), which listens on 127.0.0.1 only, for as long as this runs.
"""

import argparse
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from benchmarks.dashboard_picture import Panel, draw_panels
from benchmarks.harness import ORDER, open_lakebase, start, wait_until
from lakebase_api.local.ports import free_port
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import Load, get

DASHBOARD = ROOT / "docs/grafana-dashboard.json"
RULES = ROOT / "docs/running.md"
JOB = "lakebase-api"
# Seconds between scrapes, over which rates are made, for which there is load, for which the database is away,
# between two exports, and for an answer.
INTERVAL = 1
RATE = 10
LOAD = 40.0
AWAY = 2.0
PAUSE = 0.5
PATIENCE = 30
# What Grafana fills in.
VARIABLES = {"$__rate_interval": f"{RATE}s", "$instance": ".*"}
EXPORT = "/orders/export?format=csv&o_orderstatus=P"
REQUESTS = [
    ORDER,
    ORDER,
    get("/orders/stream?page_size=20"),
    get("/orders/count"),
    get("/orders/999999999"),
    get("/orders/x"),
]


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    panel: str
    unit: str
    query: str
    legend: str

    def spell_legend(self, labels: Mapping[str, str]) -> str:
        """The legend of a series, as Grafana would have it."""
        return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), self.legend)


def read_targets() -> list[Target]:
    """All queries of the dashboard, as Grafana would send them."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        Target(
            panel["title"],
            panel["fieldConfig"]["defaults"]["unit"],
            _fill_in(target["expr"]),
            target["legendFormat"],
        )
        for panel in panels
        for target in panel["targets"]
    ]


def _fill_in(query: str) -> str:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return query


class Prometheus:
    """A Prometheus that runs."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of its answer."""
        answer = requests.get(f"{self._url}/{path}", params=parameters, timeout=PATIENCE).json()
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        return answer["data"]

    def is_up(self) -> bool:
        """Whether it has scraped the server."""
        try:
            result = self.ask("query", query=f'up{{job="{JOB}"}}')["result"]
        except requests.RequestException:  # it starts
            return False
        return bool(result) and result[0]["value"][1] == "1"

    def query(self, query: str) -> list[float]:
        """The values that are numbers."""
        values = [float(series["value"][1]) for series in self.ask("query", query=query)["result"]]
        return [value for value in values if not math.isnan(value)]

    def query_range(self, target: Target, begin: float, end: float) -> dict[str, list[tuple[float, float]]]:
        """The values between two times, by their legends."""
        data = self.ask("query_range", query=target.query, start=str(begin), end=str(end), step=str(INTERVAL))
        return {
            target.spell_legend(series["metric"]): [
                (float(moment), float(value)) for moment, value in series["values"] if value != "NaN"
            ]
            for series in data["result"]
        }

    def list_rules(self) -> list[dict[str, Any]]:
        """All rules."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


@contextmanager
def run_prometheus(folder: Path, target: int) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a port, with the rules of the documentation, once it has done so."""
    rules = re.findall(r"```yaml\n(groups:\n.*?)```", RULES.read_text(), re.DOTALL)
    (folder / "rules.yml").write_text("".join(rules))
    config = {
        "global": {"scrape_interval": f"{INTERVAL}s", "evaluation_interval": f"{INTERVAL}s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
    }
    # YAML has all of JSON.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with subprocess.Popen(command) as process:
        try:
            prometheus = Prometheus(port)
            if math.isinf(wait_until(prometheus.is_up, PATIENCE)):
                raise TimeoutError("Prometheus has not scraped the server")
            yield prometheus
        finally:
            process.terminate()


def put_load(gunicorn: GunicornProcess, lakebase: LakebaseStandIn) -> None:
    """Ask for this and that, while the database is away for a moment."""
    asked = itertools.cycle(REQUESTS)
    with Load(gunicorn.port, lambda: next(asked), clients=4, pause=0.02):
        _export_for(gunicorn, LOAD / 2)
        lakebase.proxy.refuse()
        lakebase.proxy.cut()
        time.sleep(AWAY)
        lakebase.proxy.heal()
        _export_for(gunicorn, LOAD / 2)


def _export_for(gunicorn: GunicornProcess, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        gunicorn.get(EXPORT)
        time.sleep(PAUSE)


def report(prometheus: Prometheus, targets: Sequence[Target]) -> bool:
    """Print what each query and rule gives; whether all give something."""
    are_good = True
    for target in targets:
        values = prometheus.query(target.query)
        shown = ", ".join(f"{value:.4g}" for value in values[:6]) or "NOTHING"
        print(f"{target.panel:<42} {target.legend[:36]:<36} {shown}")
        are_good &= bool(values)
    for rule in prometheus.list_rules():
        print(f"{'rule ' + rule['name']:<42} {rule['health']:<36} {rule['state']}")
        are_good &= rule["health"] == "ok"
    return are_good


def draw(path: Path, prometheus: Prometheus, targets: Sequence[Target], began: float) -> None:
    """Draw what each panel would show of the time since it began."""
    panels: dict[str, Panel] = {}
    ended = time.time()
    for target in targets:
        panel = panels.setdefault(target.panel, Panel(target.panel, target.unit, {}))
        lines = {**panel.lines, **prometheus.query_range(target, began, ended)}
        panels[target.panel] = replace(panel, lines=lines)
    draw_panels(path, list(panels.values()), began, ended)


def main() -> int:
    """Run it. The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, help="where to write a picture, as SVG")
    arguments = parser.parse_args()
    if not shutil.which("prometheus"):
        print("prometheus is not there: apt install prometheus.", file=sys.stderr)
        return 2
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        open_lakebase() as lakebase,
        start(lakebase, METRICS_BIND=f"127.0.0.1:{port}") as gunicorn,
        run_prometheus(Path(folder), port) as prometheus,
    ):
        began, targets = time.time(), read_targets()
        put_load(gunicorn, lakebase)
        are_good = report(prometheus, targets)
        if arguments.picture:
            draw(arguments.picture, prometheus, targets, began)
    return 0 if are_good else 1


if __name__ == "__main__":
    sys.exit(main())
