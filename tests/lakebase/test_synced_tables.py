"""What the two APIs of Lakebase say of a synced table, read by the real SDK from the stand-in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from lakebase_api.environment import load_settings
from lakebase_api.lakebase import workspace as workspace_module
from lakebase_api.lakebase.copy_status import CopyStatus, SyncProgress
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.workspace import Workspace
from tests.stand_in import SyncedTable
from tests.stand_in import Workspace as StandIn
from tests.stand_in.synced_tables import STATES, Progress

KINDS = ["autoscaling", "provisioned"]
NAME = "main.shop.orders"
COMMITTED = datetime(2026, 11, 26, 11, 58, 3, tzinfo=UTC)
SYNCED = datetime(2026, 11, 26, 11, 58, 20, tzinfo=UTC)
# Whether nothing newer exists, by state, and a word of why.
MEANINGS = {
    "PROVISIONING": (False, "being made"),
    "PROVISIONING_PIPELINE_RESOURCES": (False, "being made"),
    "PROVISIONING_INITIAL_SNAPSHOT": (False, "first time"),
    "ONLINE": (None, "not said"),
    "ONLINE_CONTINUOUS_UPDATE": (None, "continuously"),
    "ONLINE_TRIGGERED_UPDATE": (False, "being copied"),
    "ONLINE_NO_PENDING_UPDATE": (True, "Nothing newer"),
    "ONLINE_PIPELINE_FAILED": (False, "failed"),
    "ONLINE_UPDATING_PIPELINE_RESOURCES": (None, "being changed"),
    "OFFLINE": (False, "offline"),
    "OFFLINE_FAILED": (False, "failed"),
}


def connect(stand_in: StandIn, kind: str = "autoscaling") -> Workspace:
    target = (
        {"LAKEBASE_ENDPOINT": stand_in.endpoint}
        if kind == "autoscaling"
        else {"DATABRICKS_DATABASE_INSTANCE": stand_in.instance}
    )
    return Workspace(load_settings({**target, **stand_in.environment(stand_in.service_principal)}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", STATES)
def test_every_state_is_read_and_has_a_meaning(stand_in: StandIn, kind: str, state: str) -> None:
    stand_in.synced_tables[NAME] = SyncedTable(state)
    found = connect(stand_in, kind).find_synced_table(NAME)
    assert found == CopyStatus(state, COMMITTED, SYNCED, 4711)
    is_current, word = MEANINGS[state]
    assert found.meaning[0] is is_current
    assert word in found.meaning[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", ["PROVISIONING_INITIAL_SNAPSHOT", "ONLINE_TRIGGERED_UPDATE"])
def test_the_progress_of_a_sync_is_read(stand_in: StandIn, kind: str, state: str) -> None:
    stand_in.synced_tables[NAME] = SyncedTable(state, version=None, progress=Progress(version=4712))
    found = connect(stand_in, kind).find_synced_table(NAME)
    assert found == CopyStatus(state, processing=4712, sync=SyncProgress(0.4, 600_000, 1_500_000, 42.0))


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_continuously_is_behind_while_a_later_version_is_copied(
    stand_in: StandIn, kind: str
) -> None:
    for version, is_current in ((4711, None), (4712, False)):
        stand_in.synced_tables[NAME] = SyncedTable(
            "ONLINE_CONTINUOUS_UPDATE", progress=Progress(version=version)
        )
        assert connect(stand_in, kind).find_synced_table(NAME).meaning[0] is is_current


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_is_new_is_none_that_is_known(stand_in: StandIn, kind: str) -> None:
    stand_in.synced_tables[NAME] = SyncedTable("ONLINE_AND_OF_A_STATE_TO_COME")
    found = connect(stand_in, kind).find_synced_table(NAME)
    assert (found.state, found.source_version, found.meaning[0]) == (None, 4711, None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_url_syntax_would_cut_is_asked_for_as_it_is(stand_in: StandIn, kind: str) -> None:
    name = "main.sales?v=1#a%20b.Über-orders"
    stand_in.synced_tables[name] = SyncedTable()
    assert connect(stand_in, kind).find_synced_table(name).source_version == 4711


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "word"), [(403, "PermissionDenied"), (404, "NotFound"), (500, "InternalError")]
)
def test_a_refusal_is_an_error_that_says_why(stand_in: StandIn, kind: str, status: int, word: str) -> None:
    stand_in.fail("synced_table", status)
    with pytest.raises(CredentialError, match=f"the synced table {NAME}: {word}"):
        connect(stand_in, kind).find_synced_table(NAME)


@dataclass(frozen=True)
class Spoilt(SyncedTable):
    """A synced table whose status is nothing that the SDK knows."""

    status: object = None

    def describe(self, name: str) -> dict[str, Any]:
        return {"name": name, "status": self.status}

    def describe_provisioned(self, name: str, instance: str) -> dict[str, Any]:
        return {"name": name, "data_synchronization_status": self.status}


SOON = {"estimated_completion_time_seconds": "soon"}
GARBAGE: list[object] = [
    "none",
    ["none"],
    {"last_sync": 1},
    {"last_sync": {"delta_table_sync_info": {"delta_commit_version": "new"}}},
    {"last_sync": {"delta_table_sync_info": {"delta_commit_version": -1}}},
    {"last_sync": {"delta_table_sync_info": {"delta_commit_version": 10**400}}},
    {"last_sync": {"delta_table_sync_info": {"delta_commit_time": 1, "delta_commit_timestamp": 1}}},
    {"last_sync": {"sync_end_time": "yesterday", "sync_end_timestamp": "yesterday"}},
    {"ongoing_sync_progress": SOON, "triggered_update_status": {"triggered_update_progress": SOON}},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", GARBAGE)
def test_an_answer_of_another_form_is_an_error_without_a_traceback(
    stand_in: StandIn, kind: str, status: object, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.synced_tables[NAME] = Spoilt(status=status)
    with pytest.raises(CredentialError, match=f"the synced table {NAME}: "):
        connect(stand_in, kind).find_synced_table(NAME)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_to_log_in_is_an_error(stand_in: StandIn, kind: str) -> None:
    stand_in.malform("synced_table", "html")
    with pytest.raises(CredentialError, match="the synced table"):
        connect(stand_in, kind).find_synced_table(NAME)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_hangs_ends_at_its_deadline(
    stand_in: StandIn, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_module, "CALL_DEADLINE", 0.3)
    stand_in.hang("synced_table")
    with pytest.raises(CredentialError, match="no answer within"):
        connect(stand_in, kind).find_synced_table(NAME)
