"""The pages for people, in a real browser."""

import importlib.resources
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lakebase_api import __version__
from tests.access.keys import create_key
from tests.browser import Browser, find_missing, open_browser
from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess

MISSING = find_missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"there is no browser: apt install {' '.join(MISSING)}"),
]

WIDE, PHONE = (1280, 900), (375, 800)
RIGHTS = """
[roles]
reader = ["orders:read"]
watcher = ["service:observe", "orders:read"]
[callers]
"key:ann" = "reader"
"key:watcher" = "watcher"
"""
ENTER = "\ue007"
# Of https://github.com/dequelabs/axe-core, in a package of Python.
AXE = "axe_core_python"
RUN_AXE = "return axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
FIND_OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
SHARED = (
    "return [...document.querySelectorAll('#fingerprints :is(dt, dd)')].slice(0, 4).map((e) => e.innerText)"
)
COUNT = "return Number(/^([0-9,]+) requests?/.exec(arguments[0].replaceAll(',', ''))?.[1] ?? 0)"

Start = Callable[[dict[str, str]], GunicornProcess]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests of the module."""
    with open_browser() as opened:
        yield opened


@pytest.fixture
def gunicorn(unchanged_database: OrdersDatabase, start_gunicorn: Start) -> GunicornProcess:
    """Two workers to which everything is open."""
    environment = {**unchanged_database.environment, "WEB_CONCURRENCY": "2"}
    return start_gunicorn(environment).wait_until_started()


@pytest.fixture
def locked(database: OrdersDatabase, start_gunicorn: Start, tmp_path: Path) -> GunicornProcess:
    """A server to which only keys let in."""
    path = tmp_path / "rights.toml"
    path.write_text(RIGHTS)
    return start_gunicorn({**database.environment, "RIGHTS_FILE": str(path)}).wait_until_started()


def look(browser: Browser, url: str, size: tuple[int, int] = WIDE, *, is_dark: bool = False) -> None:
    """Open a page on a screen of that size, with nothing left of the page before."""
    browser.resize(*size, is_dark=is_dark)
    browser.open("about:blank")
    browser.list_errors()
    browser.list_hosts()
    browser.open(url)


def wait_for_sentence(browser: Browser) -> None:
    browser.wait_until(lambda: browser.read("#sentence").startswith("Awake: "))


def test_the_status_is_said_and_drawn_and_follows_what_happens(
    browser: Browser, gunicorn: GunicornProcess
) -> None:
    look(browser, f"{gunicorn.url}/status")
    wait_for_sentence(browser)
    assert browser.read("#workers").count("Worker ") == 2
    assert browser.read("#problems") == "None since the workers began."
    assert browser.run(SHARED) == ["Version", __version__, "CURSOR_SECRET", "not set"]
    for _ in range(5):
        gunicorn.get("/orders/1")
    refused = gunicorn.get("/orders/0").headers["X-Request-Id"]
    browser.wait_until(lambda: browser.run(COUNT, browser.read("#requests-readout")) == 6)
    browser.wait_until(lambda: refused in browser.read("#problems"))
    assert "GET /orders/{order_key}" in browser.read("#routes")
    assert browser.run("return document.querySelectorAll('#requests-chart rect').length") >= 2
    drawn = browser.run("return document.querySelector('#durations-chart svg').getAttribute('aria-label')")
    assert drawn.startswith("Time to answer in the last 15 minutes: p50 ")
    assert browser.list_errors() == []
    assert browser.list_hosts() == {f"127.0.0.1:{gunicorn.port}"}


def test_it_goes_on_where_the_service_was_away_for_a_while(
    browser: Browser, unchanged_database: OrdersDatabase, start_gunicorn: Start
) -> None:
    with GunicornProcess(unchanged_database.environment) as first:
        first.wait_until_started()
        look(browser, f"{first.url}/status")
        browser.wait_until(lambda: browser.shows("#content"))
    browser.wait_until(
        lambda: browser.read("#notice").startswith("The service cannot be reached. What you see")
    )
    with GunicornProcess(unchanged_database.environment, port=first.port) as second:
        second.wait_until_started()
        browser.wait_until(lambda: not browser.shows("#notice"))


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_pages_are_accessible_and_fit_the_screen(
    browser: Browser, gunicorn: GunicornProcess, size: tuple[int, int], is_dark: bool
) -> None:
    gunicorn.get("/orders/1")
    gunicorn.get("/orders/pages?page_size=0")
    for path in ("/status", "/", "/problems", "/problems/not-found"):
        look(browser, gunicorn.url + path, size, is_dark=is_dark)
        if path == "/status":
            browser.wait_until(lambda: "invalid-request" in browser.read("#problems"))
            browser.click("summary")
        assert browser.run(FIND_OVERFLOW) == 0, path
        background = browser.run("return getComputedStyle(document.body).backgroundColor")
        brightness = max(map(int, background.removeprefix("rgb(").removesuffix(")").split(",")))
        assert (brightness < 100) is is_dark
        assert browser.list_errors() == []
        assert browser.list_hosts() == {f"127.0.0.1:{gunicorn.port}"}
        check_with_axe(browser, path)


def check_with_axe(browser: Browser, path: str) -> None:
    """Hold the page against the rules of axe-core; skip that aloud where it is not installed."""
    if importlib.util.find_spec(AXE) is None:
        pytest.skip(f"axe-core is missing: pip install {AXE.replace('_', '-')}")
    script = importlib.resources.files(AXE).joinpath("axe.min.js").read_text()
    # By the driver, which the page's policy does not concern.
    browser.run(script)
    found: dict[str, Any] = browser.run(RUN_AXE)
    assert found["passes"]
    violations = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]]
    assert violations == [], path


def test_a_key_that_is_typed_shows_the_status_and_is_kept_nowhere(
    browser: Browser, locked: GunicornProcess, database: OrdersDatabase
) -> None:
    ann, watcher = (create_key(database.environment, name) for name in ("ann", "watcher"))
    look(browser, f"{locked.url}/status")
    browser.wait_until(lambda: browser.read("#sentence") == "You have to be known to see the status.")
    assert not browser.shows("#content")
    check_with_axe(browser, "the entry")
    browser.type("#key", ann + ENTER)
    browser.wait_until(lambda: browser.read("#notice") == "You lack the right service:observe.")
    browser.type("#key", watcher + ENTER)
    wait_for_sentence(browser)
    assert not browser.shows("#entry")
    kept = browser.run(
        "return JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, history.state,"
        " document.documentElement.outerHTML, document.getElementById('key').value])"
    )
    assert "lbk_" not in kept
    # Chromium says of each 401 and 403 that it came.
    assert all("status.json" in error for error in browser.list_errors())
    browser.open(f"{locked.url}/status")
    browser.wait_until(lambda: browser.read("#sentence") == "You have to be known to see the status.")


def test_the_page_does_not_ask_while_nobody_sees_it(browser: Browser, gunicorn: GunicornProcess) -> None:
    look(browser, f"{gunicorn.url}/status")
    wait_for_sentence(browser)
    browser.run(
        "window.asked = 0; const ask = window.fetch;"
        "window.fetch = (...all) => { window.asked++; return ask(...all); };"
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    before = browser.run("return window.asked")
    # Longer than the page waits between two questions.
    browser.run("return new Promise((resolve) => setTimeout(resolve, 3000))")
    assert browser.run("return window.asked") <= before + 1
    with suppress(TimeoutError):
        browser.run("return new Promise((resolve) => setTimeout(resolve, 3000))")
    assert browser.run("return window.asked") <= before + 1
    browser.run("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait_until(lambda: browser.run("return window.asked") > before + 1)


def test_a_call_from_the_documentation_takes_the_key_that_is_typed_there(
    browser: Browser, locked: GunicornProcess, database: OrdersDatabase
) -> None:
    key = create_key(database.environment, "watcher")
    look(browser, f"{locked.url}/docs")
    browser.wait_until(lambda: browser.read(".btn.authorize"))
    browser.click(".btn.authorize")
    browser.wait_until(lambda: browser.read(".auth-container"))
    browser.type(".auth-container input", key)
    browser.click(".auth-btn-wrapper .authorize")
    browser.click(".auth-btn-wrapper .btn-done")
    browser.wait_until(lambda: browser.read("#operations-me-get_me"))
    browser.click("#operations-me-get_me .opblock-summary-control")
    browser.wait_until(lambda: browser.shows("#operations-me-get_me .try-out__btn"))
    browser.click("#operations-me-get_me .try-out__btn")
    browser.click("#operations-me-get_me .execute")
    browser.wait_until(lambda: "key:watcher" in browser.read("#operations-me-get_me .live-responses-table"))
    assert browser.list_errors() == []
    assert browser.list_hosts() == {f"127.0.0.1:{locked.port}"}
