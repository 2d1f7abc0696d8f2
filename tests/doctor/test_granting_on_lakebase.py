"""The command that grants, where a workspace knows the apps and how the first syncs of tables go."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from lakebase_api.__main__ import main
from lakebase_api.doctor.first_sync import LONGEST_LAG
from lakebase_api.doctor.granting import INTERVAL, GrantOptions
from tests.doctor.granted import Waits, grant
from tests.lakebase_stand_in import DATABASE, LakebaseStandIn
from tests.stand_in import SyncedTable, create_login_role
from tests.stand_in.synced_tables import Progress
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

KINDS = pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
APP = "deliveries-api"
PRINCIPAL = "0f7d6e2a-4b18-4c1b-9a53-5f2b8c9e1d34"
COPY = "main.shop.parcels"
DECLARED = f"""
[parcels]
source = "deliveries.parcels"
key = ["id"]
one = "parcel"
synced_table = "{COPY}"

[parcels.columns]
id = {{ type = "bigint" }}

[streets]
source = "deliveries.streets"
key = ["id"]
one = "street"

[streets.columns]
id = {{ type = "bigint" }}
"""
GRANT_SCHEMA = f'GRANT USAGE ON SCHEMA "deliveries" TO "{PRINCIPAL}"'
GRANT_PARCELS = f'GRANT SELECT ON "deliveries"."parcels" TO "{PRINCIPAL}"'
GRANT_STREETS = f'GRANT SELECT ON "deliveries"."streets" TO "{PRINCIPAL}"'
MAKING = SyncedTable("PROVISIONING_PIPELINE_RESOURCES", version=None)
FILLING = SyncedTable("PROVISIONING_INITIAL_SNAPSHOT", version=None, progress=Progress(version=1))
WAITING = GrantOptions(wait=3600)


@dataclass(frozen=True)
class Deliveries:
    """A schema of a person that has one of the two declared tables, and the role of an app."""

    lakebase: LakebaseStandIn
    environment: dict[str, str]

    @property
    def person(self) -> str:
        return self.lakebase.workspace.user.name

    def make(self, table: str = "parcels") -> None:
        """Make a table as a sync does."""
        self.lakebase.execute(f"CREATE TABLE deliveries.{table} (id bigint PRIMARY KEY)")
        self.lakebase.execute(f"""ALTER TABLE deliveries.{table} OWNER TO "{self.person}";""")

    def say(self, state: SyncedTable) -> None:
        """Have the workspace say this of the synced table."""
        self.lakebase.workspace.synced_tables[COPY] = state

    def may_read(self, table: str) -> bool:
        query = f"SELECT has_table_privilege('{PRINCIPAL}', 'deliveries.{table}', 'SELECT')"
        return self.lakebase.execute(query) == [(True,)]

    def count_sessions(self) -> int:
        query = (
            f"SELECT 1 FROM pg_stat_activity WHERE usename = '{self.person.replace(chr(39), chr(39) * 2)}'"
        )
        return len(self.lakebase.execute(query))


@pytest.fixture
def deliveries(lakebase: LakebaseStandIn, tmp_path: Path) -> Iterator[Deliveries]:
    """With the settings of the person; nothing is granted to the app but to connect."""
    file = tmp_path / "tables.toml"
    file.write_text(DECLARED)
    workspace = lakebase.workspace
    workspace.apps[APP] = PRINCIPAL
    with psycopg.connect(lakebase.server.conninfo(DATABASE)) as connection:
        create_login_role(connection, PRINCIPAL)
    lakebase.execute(f'CREATE SCHEMA deliveries AUTHORIZATION "{workspace.user.name}"')
    environment = {
        **lakebase.environment(identity=workspace.user),
        "TABLES_FILE": str(file),
        "WAKE_BUDGET": "0",
    }
    opened = Deliveries(lakebase, environment)
    opened.make("streets")
    yield opened
    lakebase.execute("DROP SCHEMA deliveries CASCADE")


@KINDS
def test_the_app_s_service_principal_is_found_and_granted(deliveries: Deliveries, kind: str) -> None:
    deliveries.make()
    deliveries.say(SyncedTable())
    environment = {
        **deliveries.environment,
        **deliveries.lakebase.environment(kind, deliveries.lakebase.workspace.user),
    }
    ran = grant(environment, app=APP)
    assert ran.refusal == ""
    assert ran.statements == [GRANT_SCHEMA, GRANT_PARCELS, GRANT_STREETS]
    assert ran.told.splitlines() == [
        f"The app {APP} is {PRINCIPAL}.",
        f"Logged in as {deliveries.person}.",
        f"{PRINCIPAL} may read parcels, streets.",
    ]
    assert grant(environment, app=APP).out == ""


def test_an_app_that_is_not_there_is_an_error(deliveries: Deliveries) -> None:
    ran = grant(deliveries.environment, app="no?such app")
    assert "App with name no?such app does not exist or is deleted." in ran.refusal
    assert "See that no?such app is an app of the workspace" in ran.refusal
    assert deliveries.lakebase.workspace.logins_accepted == 0


def test_an_app_without_a_service_principal_is_an_error(deliveries: Deliveries) -> None:
    deliveries.lakebase.workspace.apps[APP] = None
    ran = grant(deliveries.environment, app=APP)
    assert ran.refusal.startswith(f"the service principal of the app {APP}: the workspace has none")


def test_a_workspace_that_refuses_is_an_error_without_a_secret(deliveries: Deliveries) -> None:
    deliveries.lakebase.workspace.fail("app", 403)
    ran = grant(deliveries.environment, app=APP)
    assert "PermissionDenied" in ran.refusal
    assert not deliveries.lakebase.workspace.leaked_in(ran.refusal)


@KINDS
def test_a_table_in_its_first_sync_is_waited_for_and_the_others_are_granted_at_once(
    deliveries: Deliveries, kind: str
) -> None:
    workspace = deliveries.lakebase.workspace
    deliveries.say(MAKING)

    def begin_to_fill() -> None:
        assert deliveries.may_read("streets")
        # The server ends a session a moment after its client has.
        wait_until(lambda: deliveries.count_sessions() == 0)
        deliveries.make()
        deliveries.say(FILLING)
        workspace.revoke_all()

    def end() -> None:
        assert not deliveries.may_read("parcels")
        deliveries.say(SyncedTable())

    environment = {**deliveries.environment, **deliveries.lakebase.environment(kind, workspace.user)}
    ran = grant(environment, app=APP, options=WAITING, waits=Waits([begin_to_fill, end]))
    assert ran.refusal == ""
    assert ran.statements == [GRANT_SCHEMA, GRANT_STREETS, GRANT_PARCELS]
    assert ran.told.splitlines()[2:] == [
        f"parcels is waited for. {COPY}: The table is being made",
        f"parcels is waited for. {COPY}: The table is being filled for the first time: "
        "600,000 of 1,500,000 rows, 40%, about 42 s left",
        f"{PRINCIPAL} may read parcels, streets.",
    ]
    assert not workspace.leaked_in(ran.told + ran.out)


def test_what_goes_on_alike_is_told_once_a_minute(deliveries: Deliveries) -> None:
    deliveries.say(FILLING)
    slow = replace(FILLING, progress=Progress(version=1, seconds_left=2700))
    waits = Waits(
        [lambda: deliveries.say(slow)] * 9 + [deliveries.make, lambda: deliveries.say(SyncedTable())]
    )
    ran = grant(deliveries.environment, PRINCIPAL, options=WAITING, waits=waits)
    assert ran.refusal == ""
    assert waits.slept == [INTERVAL] * 11
    assert ran.told.count("is waited for") == 3
    assert ran.told.count("about 45 min left") == 2


def test_a_table_that_the_database_has_a_moment_later_is_waited_for(deliveries: Deliveries) -> None:
    deliveries.say(SyncedTable())
    ran = grant(deliveries.environment, PRINCIPAL, options=WAITING, waits=Waits([deliveries.make]))
    assert (ran.refusal, ran.statements[-1]) == ("", GRANT_PARCELS)


def test_a_schema_that_the_sync_makes_is_waited_for_with_its_table(
    deliveries: Deliveries, tmp_path: Path
) -> None:
    file = tmp_path / "late.toml"
    file.write_text(DECLARED.replace("deliveries.parcels", "late.parcels"))
    deliveries.say(MAKING)

    def sync() -> None:
        deliveries.lakebase.execute(f'CREATE SCHEMA late AUTHORIZATION "{deliveries.person}"')
        deliveries.make()
        deliveries.lakebase.execute("ALTER TABLE deliveries.parcels SET SCHEMA late")
        deliveries.say(SyncedTable())

    try:
        environment = {**deliveries.environment, "TABLES_FILE": str(file)}
        steps = [lambda: deliveries.say(SyncedTable()), sync]
        ran = grant(environment, PRINCIPAL, options=WAITING, waits=Waits(steps))
        assert ran.refusal == ""
        assert ran.statements[-1] == f'GRANT SELECT ON "late"."parcels" TO "{PRINCIPAL}"'
    finally:
        deliveries.lakebase.execute("DROP SCHEMA IF EXISTS late CASCADE")


def test_a_synced_table_that_is_another_one_than_is_declared_is_not_waited_for_long(
    deliveries: Deliveries,
) -> None:
    deliveries.say(SyncedTable())
    waits = Waits()
    ran = grant(deliveries.environment, PRINCIPAL, options=WAITING, waits=waits)
    assert sum(waits.slept) == LONGEST_LAG
    assert f"parcels is not waited for: {COPY}: Nothing newer exists" in ran.told
    assert '✗ parcels: table: there is no table "deliveries"."parcels"' in ran.told
    assert ran.refusal.endswith("parcels.")
    assert deliveries.may_read("streets")


def test_the_wait_ends_at_its_limit_with_how_far_it_was(deliveries: Deliveries) -> None:
    deliveries.say(FILLING)
    waits = Waits()
    ran = grant(deliveries.environment, PRINCIPAL, options=GrantOptions(wait=120), waits=waits)
    assert waits.slept == [INTERVAL] * 8
    assert ran.refusal == (
        f"parcels is not there yet after 2 minutes. {COPY}: The table is being filled for the first time: "
        "600,000 of 1,500,000 rows, 40%, about 42 s left. Run this again, or with a longer --wait."
    )
    assert deliveries.may_read("streets")


def test_a_dry_run_does_not_wait(deliveries: Deliveries) -> None:
    deliveries.say(FILLING)
    waits = Waits()
    ran = grant(
        deliveries.environment, PRINCIPAL, options=GrantOptions(only_shows=True, wait=3600), waits=waits
    )
    assert waits.slept == []
    assert ran.statements == [GRANT_SCHEMA, GRANT_STREETS]
    assert "parcels is not there yet. " in ran.refusal
    assert not deliveries.may_read("streets")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (None, "NotFound: Synced table 'main.shop.parcels' does not exist."),
        (SyncedTable("OFFLINE_FAILED", version=None), "the sync failed"),
    ],
    ids=["no sync", "a sync that failed"],
)
def test_a_table_that_no_sync_will_bring_is_not_waited_for(
    deliveries: Deliveries, state: SyncedTable | None, says: str
) -> None:
    if state:
        deliveries.say(state)
    waits = Waits()
    ran = grant(deliveries.environment, PRINCIPAL, options=WAITING, waits=waits)
    assert waits.slept == []
    assert "parcels is not waited for: " in ran.told
    assert says in ran.told
    assert ran.refusal.endswith("parcels.")
    assert deliveries.may_read("streets")


def test_what_the_workspace_does_not_say_keeps_no_table_from_being_granted(deliveries: Deliveries) -> None:
    deliveries.make()
    deliveries.lakebase.workspace.fail("synced_table", 403)
    assert grant(deliveries.environment, PRINCIPAL).refusal == ""
    assert deliveries.may_read("parcels")


def test_a_workspace_or_database_that_is_away_for_a_while_does_not_end_the_wait(
    deliveries: Deliveries,
) -> None:
    workspace, proxy = deliveries.lakebase.workspace, deliveries.lakebase.proxy

    def have_the_workspace_say_nothing() -> None:
        workspace.fail("synced_table", 503)

    def have_it_give_no_token() -> None:
        workspace.heal()
        deliveries.make()
        deliveries.say(SyncedTable())
        workspace.fail("credentials", 503)

    def have_the_database_start_up() -> None:
        workspace.heal()
        proxy.starting_up()

    deliveries.say(MAKING)
    steps = [
        have_the_workspace_say_nothing,
        have_it_give_no_token,
        have_the_database_start_up,
        proxy.heal,
    ]
    ran = grant(deliveries.environment, PRINCIPAL, options=WAITING, waits=Waits(steps))
    assert ran.refusal == ""
    assert ran.statements[-1] == GRANT_PARCELS


def test_the_command_prints_statements_alone_and_ends_with_its_status(
    deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in deliveries.environment.items():
        monkeypatch.setenv(name, value)
    assert main(["grant", "--app", APP, "--dry-run"]) == 1
    shown = capsys.readouterr()
    assert shown.out == f"{GRANT_SCHEMA};\n{GRANT_STREETS};\n"
    assert main(["grant", "--role", PRINCIPAL, "--wait", "0", "--indexes"]) == 1
    absent = capsys.readouterr()
    assert absent.out == shown.out
    assert absent.err.splitlines()[-1].startswith("Not all is there")
    deliveries.make()
    assert main(["grant", "--app", APP]) == 0
    well = capsys.readouterr()
    assert well.out == f"{GRANT_PARCELS};\n"
    assert "\r" not in absent.err + well.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--app", APP, "--role", PRINCIPAL],
        [],
        ["--app", APP, "--wait", "soon"],
        ["--app", APP, "--wait", "-1"],
    ],
)
def test_what_is_asked_for_wrongly_is_told_with_how_it_is_asked(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["grant", *arguments])
    assert ended.value.code == 2
    assert "usage: python -m lakebase_api grant" in capsys.readouterr().err
