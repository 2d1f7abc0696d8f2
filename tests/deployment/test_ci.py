"""The workflow of docs/ci.md, as far as it can be held here: its form, its commands, and its login."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lakebase_api.settings import VARIABLES
from tests.deployment.bundles import read_yaml, resolve
from tests.gunicorn_process import ROOT
from tests.lakebase_stand_in import LakebaseStandIn
from tests.waiting import PATIENCE

PAGE = (ROOT / "docs/ci.md").read_text()
OF_THE_SDK = ("DATABRICKS_AUTH_TYPE",)
COMMANDS_OF_THE_CLI = ("bundle validate --strict", "bundle deploy", "apps get orders-api --output json")
SECRET_OF_THE_JOB = "what-the-runner-gives-each-job"


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    [block] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    document: dict[str, Any] = read_yaml(block)
    return document


@pytest.fixture(scope="module")
def job(workflow: dict[str, Any]) -> dict[str, Any]:
    [job] = workflow["jobs"].values()
    assert isinstance(job, dict)
    return job


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    document = read_yaml((ROOT / "databricks.yml").read_text())
    return resolve(document, "prod", storage_catalog="main", storage_schema="x", callers="clerks")


def test_the_workflow_may_ask_for_its_token_and_for_little_else_and_has_no_secret(
    workflow: dict[str, Any],
) -> None:
    assert workflow.keys() == {"name", "on", "permissions", "concurrency", "jobs"}
    assert workflow["on"].keys() == {"pull_request", "push"}
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    assert "secrets." not in PAGE


def test_a_pull_request_deploys_nothing(job: dict[str, Any]) -> None:
    unconditional = [step for step in job["steps"] if "if" not in step]
    assert [step.get("run", "") for step in unconditional if "run" in step] == [
        'databricks bundle validate --strict --target "$TARGET"'
    ]
    conditions = {step["if"] for step in job["steps"] if "if" in step}
    assert conditions == {"github.event_name == 'push'"}
    assert (
        job["environment"] == job["env"]["TARGET"] == "${{ github.event_name == 'push' && 'prod' || 'dev' }}"
    )


def test_each_command_is_one_that_there_is(job: dict[str, Any]) -> None:
    commands = [step["run"] for step in job["steps"] if "run" in step]
    of_the_cli = [part for command in commands for part in re.findall(r"databricks ([^$|]+)", command)]
    assert len(of_the_cli) == 3
    for command in of_the_cli:
        assert command.partition(" --target")[0].strip() in COMMANDS_OF_THE_CLI
    [doctor] = [command for command in commands if "lakebase_api" in command]
    assert shlex.split(doctor)[:6] == ["python", "-m", "lakebase_api", "doctor", "--json", "--role"]
    assert len(shlex.split(doctor)) == 7


def test_each_variable_is_a_setting_or_a_variable_of_the_bundle(
    job: dict[str, Any], bundle: dict[str, Any]
) -> None:
    settings = {name for variable in VARIABLES.values() for name in variable.names}
    environment = dict(job["env"])
    del environment["TARGET"]
    given = {name.removeprefix("BUNDLE_VAR_") for name in environment if name.startswith("BUNDLE_VAR_")}
    assert given == {name for name, variable in bundle["variables"].items() if "default" not in variable}
    rest = {name for name in environment if not name.startswith("BUNDLE_VAR_")}
    assert rest <= settings | set(OF_THE_SDK)
    for variable in re.findall(r"vars\.(\w+)", str(environment)):
        assert f"`{variable}`" in PAGE


def test_doctor_and_app_are_told_the_same(job: dict[str, Any], bundle: dict[str, Any]) -> None:
    [told] = [step["env"] for step in job["steps"] if "env" in step]
    script = bundle["experimental"]["scripts"]["postdeploy"]
    assert all(f"{name}={value} " in script for name, value in told.items())
    [app] = bundle["resources"]["apps"].values()
    assert f"databricks apps get {app['name']} " in str(job["steps"])


@contextmanager
def start_github(token: str) -> Iterator[str]:
    """What a job asks for its token: the address, and the token that it gets."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.headers["Authorization"] == f"Bearer {SECRET_OF_THE_JOB}"
            body = json.dumps({"value": token} if is_known else {}).encode()
            self.send_response(200 if is_known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token?api-version=2"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_doctor_logs_in_by_the_token_of_the_job(lakebase: LakebaseStandIn) -> None:
    workspace = lakebase.workspace
    principal = workspace.service_principal
    with start_github(workspace.accounts.federate(principal)) as address:
        environment = {
            "LAKEBASE_ENDPOINT": workspace.endpoint,
            "PGPORT": str(lakebase.proxy.port),
            "DATABRICKS_AUTH_TYPE": "github-oidc",
            "DATABRICKS_HOST": workspace.url,
            "DATABRICKS_CLIENT_ID": principal.name,
            "ACTIONS_ID_TOKEN_REQUEST_URL": address,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET_OF_THE_JOB,
            "ENV_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
            "PATH": os.environ["PATH"],
        }
        ended = subprocess.run(
            [sys.executable, "-m", "lakebase_api", "doctor", "--json", "--role", principal.name],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )
    report = json.loads(ended.stdout)
    by_name = {check["check"]: check for check in report["checks"]}
    assert by_name["login"]["says"] == f"as {principal.name}"
    assert (ended.returncode, report["ok"]) == (0, True), ended.stdout
    assert not workspace.leaked_in(ended.stdout + ended.stderr)
