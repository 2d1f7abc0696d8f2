from lakebase_api.telemetry.histogram import FAILED, REFUSED, find_total
from lakebase_api.telemetry.observation import Route
from lakebase_api.telemetry.recent import MOST_CALLERS, MOST_PROBLEMS, PARTS, SECONDS, Recent
from tests.telemetry.observations import observe

QUARTER = PARTS * SECONDS


class Clock:
    """A clock that is set by hand."""

    now = 10_000.0

    def __call__(self) -> float:
        return self.now


def test_requests_are_counted_by_time_and_route() -> None:
    clock = Clock()
    recent = Recent((), clock)
    for status in (200, 404, 503):
        recent.observe(observe(status=status))
    clock.now += 2 * SECONDS
    recent.observe(observe(method="POST", route=Route("/orders", "post", "orders")))
    report = recent.report()
    assert [find_total(part) for part in report.parts if part] == [3, 1]
    assert [bool(part) for part in report.parts[-3:]] == [True, False, True]
    [get, post] = report.routes
    assert (get.method, get.path, find_total(get.counts)) == ("GET", "/orders/{o_orderkey}", 3)
    assert (get.counts[REFUSED], get.counts[FAILED]) == (1, 1)
    assert (post.method, post.path, find_total(post.counts)) == ("POST", "/orders", 1)


def test_what_is_older_than_a_quarter_of_an_hour_is_forgotten_but_for_problems() -> None:
    clock = Clock()
    recent = Recent((), clock)
    recent.observe(observe(status=503, problem="pool-exhausted"))
    clock.now += QUARTER
    report = recent.report()
    assert not any(report.parts)
    assert (report.routes, report.callers) == ([], [])
    assert [problem.problem for problem in report.problems] == ["pool-exhausted"]


def test_a_part_is_begun_anew_when_its_place_comes_round_again() -> None:
    clock = Clock()
    recent = Recent((), clock)
    recent.observe(observe())
    clock.now += QUARTER
    recent.observe(observe())
    assert [find_total(part) for part in recent.report().parts if part] == [1]


def test_of_problems_the_last_are_kept_with_what_finds_them_in_the_log() -> None:
    recent = Recent(())
    for number in range(MOST_PROBLEMS + 5):
        recent.observe(observe(status=404, problem="order-not-found", request_id=str(number)))
    problems = recent.report().problems
    assert [problem.request_id for problem in problems] == [str(each) for each in range(5, MOST_PROBLEMS + 5)]
    last = problems[-1]
    assert (last.status, last.problem, last.path) == (404, "order-not-found", "/orders/{o_orderkey}")
    assert (last.method, last.subject) == ("GET", "key:ann")


def test_callers_are_counted_with_how_often_they_were_limited() -> None:
    recent = Recent(())
    for status in (200, 429, 429):
        recent.observe(observe(status=status))
    recent.observe(observe(subject="key:bob"))
    callers = {each.subject: (each.requests, each.limited) for each in recent.report().callers}
    assert callers == {"key:ann": (3, 2), "key:bob": (1, 0)}


def test_of_very_many_callers_some_are_counted() -> None:
    recent = Recent(())
    for number in range(2 * MOST_CALLERS):
        recent.observe(observe(subject=f"key:{number}"))
    recent.observe(observe(subject="key:0"))
    report = recent.report()
    assert sum(find_total(part) for part in report.parts if part) == 2 * MOST_CALLERS + 1
    assert max(report.callers, key=lambda caller: caller.requests).subject == "key:0"


def test_probes_and_what_looks_at_the_figures_do_not_count() -> None:
    recent = Recent(("/livez", "/status.json"))
    recent.observe(
        observe(route=Route("/status.json", "get_status", None), status=401, problem="unauthenticated")
    )
    report = recent.report()
    assert not any(report.parts)
    assert not report.problems
