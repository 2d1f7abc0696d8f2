import pytest

from lakebase_api.telemetry.sentence import Condition, compose_sentence, find_condition, spell_seconds
from lakebase_api.telemetry.worker_report import PoolReport, TokenReport, WorkerReport
from tests.telemetry.reports import report, report_connects

BUSY = report(number=1, pool=PoolReport(open=5, in_use=3, most=5, waiting=0))
AWAY = report_connects(away_seconds=180.0, fault="the host cannot be found")
NO_TOKEN = TokenReport(seconds_left=None, life=None, minted=0, fault="the workspace gave no token")
IDLE = PoolReport(open=2, in_use=0, most=5, waiting=0)


@pytest.mark.parametrize(
    ("workers", "condition", "sentence"),
    [
        ([report(), BUSY], "awake", "Awake: 5 of 10 connections in use; token good for 38 min."),
        ([report(token=None)], "awake", "Awake: 2 of 5 connections in use."),
        (
            [report(pool=PoolReport(open=5, in_use=5, most=5, waiting=7))],
            "awake",
            "Awake: 5 of 5 connections in use; 7 waiting for one; token good for 38 min.",
        ),
        (
            [report(pool=IDLE, connects=report_connects(quiet_seconds=750.0))],
            "maybe asleep",
            "Quiet for 12 min: the database may be asleep, and the next request wakes it; "
            "token good for 38 min.",
        ),
        (
            [report(connects=AWAY, token=None)],
            "away",
            "Away for 3 min (the host cannot be found).",
        ),
        (
            [report(), report(number=1, connects=AWAY)],
            "away",
            "Away for 1 of 2 workers for 3 min (the host cannot be found); token good for 38 min.",
        ),
        (
            [report(connects=report_connects(has_connected=False), token=NO_TOKEN)],
            "starting",
            "Starting: no connection to the database has been opened yet; "
            "no token: the workspace gave no token.",
        ),
        (
            [report(is_draining=True)],
            "draining",
            "Draining: the service is stopping, and takes no new connections.",
        ),
        ([], "silent", "No worker answers."),
    ],
)
def test_it_says_how_the_server_is_doing(
    workers: list[WorkerReport], condition: Condition, sentence: str
) -> None:
    assert (find_condition(workers), compose_sentence(workers)) == (condition, sentence)


def test_while_one_worker_is_asked_the_database_is_awake() -> None:
    quiet = report(pool=IDLE, connects=report_connects(quiet_seconds=750.0))
    assert find_condition([quiet, report(number=1, pool=IDLE)]) == "awake"


@pytest.mark.parametrize(
    ("seconds", "spelt"),
    [(0.0, "0 s"), (119.9, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (400_000, "4 days")],
)
def test_durations_are_in_the_largest_unit_of_which_there_are_two(seconds: float, spelt: str) -> None:
    assert spell_seconds(seconds) == spelt
