from typing import Any

import msgspec

from lakebase_api.telemetry.exports_under_way import ExportsUnderWay
from lakebase_api.telemetry.histogram import find_total
from lakebase_api.telemetry.recent import SECONDS, Recent, RecentReport
from lakebase_api.telemetry.server_report import describe_server, merge_parts
from lakebase_api.telemetry.worker_report import WorkerReport
from tests.telemetry.observations import observe
from tests.telemetry.reports import report

# Just before a part begins.
EDGE = 10_000 * SECONDS - 0.1


def ask(*workers: WorkerReport) -> list[Any]:
    """What they say, as it comes from them."""
    return [msgspec.json.decode(msgspec.json.encode(worker)) for worker in workers]


def watch(now: float, *subjects: str) -> RecentReport:
    """What a worker knows that has a request of each of these."""
    recent = Recent((), lambda: now)
    for subject in subjects:
        recent.observe(observe(subject=subject, status=429, problem="quota-exceeded", request_id=subject))
    return recent.report()


def test_the_workers_add_up() -> None:
    told = describe_server(
        ask(
            report(number=1, recent=watch(EDGE, "ann", "bob")),
            report(number=0, recent=watch(EDGE, "ann"), cache={"hits": 2}),
            report(number=2, recent=watch(EDGE), cache={"hits": 3}, freshness={"orders": {"version": 7}}),
        )
    )
    assert [worker["number"] for worker in told["workers"]] == [0, 1, 2]
    assert told["sentence"] == "Awake: 6 of 15 connections in use; token good for 38 min."
    assert (sum(told["traffic"]["requests"]), told["traffic"]["requests"][-1]) == (3, 3)
    [route] = told["routes"]
    assert (route["route"], route["requests"], route["refused"]) == ("GET /orders/{o_orderkey}", 3, 3)
    assert told["callers"][0] == {"subject": "ann", "requests": 2, "limited": 2}
    assert told["limited"][1] == {"subject": "bob", "requests": 1, "limited": 1}
    assert sorted(problem["request_id"] for problem in told["problems"]) == ["ann", "ann", "bob"]
    assert told["problems"] == sorted(told["problems"], key=lambda each: each["at"], reverse=True)
    assert (told["cache"], told["freshness"]) == ({"hits": 5}, {"orders": {"version": 7}})


def test_parts_are_put_together_by_their_time_and_not_their_place() -> None:
    before, after = watch(EDGE, "ann"), watch(EDGE + 0.2, "bob")
    assert [find_total(part) for part in merge_parts([before, after])[-2:]] == [1, 1]
    assert [find_total(part) for part in merge_parts([before, before])[-2:]] == [0, 2]


def test_a_worker_that_does_not_answer_is_told_of_among_the_others() -> None:
    told = describe_server([*ask(report(number=1)), {"silent": True, "number": 0}])
    assert told["workers"][0] == {"number": 0, "is_silent": True}
    assert told["workers"][1]["is_silent"] is False
    assert told["condition"] == "awake"


def test_where_no_worker_answers_that_is_told() -> None:
    told = describe_server([{"silent": True, "number": 0}])
    assert (told["condition"], sum(told["traffic"]["requests"])) == ("silent", 0)


def test_exports_are_there_from_their_beginning_to_their_end() -> None:
    under_way = ExportsUnderWay()
    with under_way.track("orders", "key:ann", "one") as progress:
        progress.rows = 500
        [export] = describe_server(ask(report(number=3, exports=under_way.report())))["exports"]
        assert (export["table"], export["subject"], export["request_id"]) == ("orders", "key:ann", "one")
        assert (export["rows"], export["worker"]) == (500, 3)
    assert under_way.report() == []
