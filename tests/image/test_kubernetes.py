"""The manifest for Kubernetes: Kubernetes takes it, and it agrees with the service and its image."""

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from flask.testing import FlaskClient

from lakebase_api.access.rights_file import load_rights
from lakebase_api.environment import load_settings
from lakebase_api.settings import STOP_MARGIN, VARIABLES
from lakebase_api.table.loading import load_tables
from tests.gunicorn_process import ROOT
from tests.image.dockerfile import read_dockerfile, read_pairs

MANIFEST = ROOT / "docs/kubernetes.yaml"
# What it says that it needs, and the newest one that there are schemas of.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
FILLED_IN = {
    "<projects/…/branches/…/endpoints/…>": "projects/p/branches/b/endpoints/e",
    "https://<workspace>.cloud.databricks.com": "https://shop.cloud.databricks.com",
}


@cache
def read_manifest() -> Mapping[str, Any]:
    """What it declares, by kind."""
    parts = list(yaml.safe_load_all(MANIFEST.read_text()))
    by_kind = {part["kind"]: part for part in parts}
    assert len(by_kind) == len(parts)
    return by_kind


@pytest.fixture
def pod() -> Any:
    """What each instance is."""
    return read_manifest()["Deployment"]["spec"]["template"]


@pytest.fixture
def container(pod: Any) -> Any:
    """The only container of it."""
    [container] = pod["spec"]["containers"]
    return container


@pytest.fixture
def environment(container: Any) -> dict[str, str]:
    """What is set there, with something in the place of what is to be filled in."""
    given = {each["name"]: each.get("value", "0123456789abcdef") for each in container["env"]}
    return {name: FILLED_IN.get(value, value) for name, value in given.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_each_part_of_it(version: str) -> None:
    for part in read_manifest().values():
        kubernetes_validate.validate(part, version, strict=True)


def test_a_word_that_kubernetes_does_not_know_is_found(container: Any) -> None:
    deployment = yaml.safe_load(yaml.safe_dump(read_manifest()["Deployment"]))
    deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = (
        True
    )
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_each_variable_is_a_setting_and_they_go_together(environment: dict[str, str]) -> None:
    names = {name for variable in VARIABLES.values() for name in variable.names}
    assert set(environment) <= names
    load_settings({**environment, "RIGHTS_FILE": "", "ENV_FILE": os.devnull})


def test_secrets_are_those_of_the_command_on_the_page(container: Any) -> None:
    taken = [each["valueFrom"]["secretKeyRef"] for each in container["env"] if "valueFrom" in each]
    page = (ROOT / "docs/deploying.md").read_text()
    [name, file] = re.findall(r"kubectl create secret generic (\S+) --from-env-file=(\S+)", page)[0]
    assert {each["name"] for each in taken} == {name}
    [lines] = re.findall(rf"`{re.escape(file)}`[^\n]*\n\n```\n(.*?)```", page, re.DOTALL)
    assert {each["key"] for each in taken} == {line.split("=")[0] for line in lines.splitlines()}
    secret = {name for variable in VARIABLES.values() if variable.secret for name in variable.names}
    assert not [each["name"] for each in container["env"] if each["name"] in secret and "value" in each]


def test_the_declared_tables_and_rights_are_right_and_where_the_settings_say(
    container: Any, pod: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    for name, text in read_manifest()["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text)
    [volume] = [each for each in pod["spec"]["volumes"] if "configMap" in each]
    assert volume["configMap"]["name"] == read_manifest()["ConfigMap"]["metadata"]["name"]
    [folder] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == volume["name"]]
    files = {
        name: value.replace(folder, str(tmp_path))
        for name, value in environment.items()
        if name in ("TABLES_FILE", "RIGHTS_FILE")
    }
    settings = load_settings({**environment, **files, "ENV_FILE": os.devnull})
    tables = load_tables(settings)
    assert [table.name for table in tables] == ["customers"]
    assert load_rights(settings, tables)


def test_probes_and_services_ask_what_is_served(container: Any, reader: FlaskClient) -> None:
    paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert all(reader.get(path).status_code == 200 for path in paths.values())
    [port] = container["ports"]
    image = read_dockerfile((ROOT / "Dockerfile").read_text()).stages[-1]
    assert str(port["containerPort"]) == read_pairs(image.find("ENV"), {"PATH": ""})["PORT"]
    [served] = read_manifest()["Service"]["spec"]["ports"]
    [[allowed]] = [rule["ports"] for rule in read_manifest()["NetworkPolicy"]["spec"]["ingress"]]
    asked = {container[name]["httpGet"]["port"] for name in paths}
    assert asked | {served["targetPort"], allowed["port"]} == {port["name"]}


def test_it_is_killed_after_it_is_gone_and_no_request_is_cut(
    container: Any, pod: Any, environment: dict[str, str]
) -> None:
    settings = load_settings({**environment, "RIGHTS_FILE": "", "ENV_FILE": os.devnull})
    asleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert asleep + settings.shutdown_time < pod["spec"]["terminationGracePeriodSeconds"]
    in_flight = settings.shutdown_time - settings.drain_delay - (STOP_MARGIN - 1)
    assert in_flight >= settings.request_timeout


def test_it_runs_as_the_user_of_the_image_who_may_nothing(container: Any, pod: Any) -> None:
    image = read_dockerfile((ROOT / "Dockerfile").read_text()).stages[-1]
    secured = pod["spec"]["securityContext"]
    assert f"{secured['runAsUser']}:{secured['runAsGroup']}" == image.find("USER")
    assert secured["runAsNonRoot"] is True
    assert secured["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_what_it_writes_is_in_memory(container: Any, pod: Any) -> None:
    written = [each for each in container["volumeMounts"] if not each.get("readOnly")]
    assert [each["mountPath"] for each in written] == ["/dev/shm"]
    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == written[0]["name"]]
    assert volume["emptyDir"]["medium"] == "Memory"


def test_there_are_two_instances_apart_of_which_one_is_always_there(pod: Any) -> None:
    deployment, budget = read_manifest()["Deployment"]["spec"], read_manifest()["PodDisruptionBudget"]["spec"]
    assert (deployment["replicas"], budget["minAvailable"]) == (2, 1)
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    spread = pod["spec"]["topologySpreadConstraints"]
    assert spread[0]["topologyKey"] == "kubernetes.io/hostname"
    selectors = [
        deployment["selector"]["matchLabels"],
        budget["selector"]["matchLabels"],
        read_manifest()["Service"]["spec"]["selector"],
        read_manifest()["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in spread),
    ]
    assert all(selector == pod["metadata"]["labels"] for selector in selectors)
