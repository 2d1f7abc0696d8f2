"""A real browser, by the W3C WebDriver protocol. https://www.w3.org/TR/webdriver2/"""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests

from lakebase_api.local.ports import free_port
from tests.waiting import PATIENCE

# What is needed of it, as Debian and Ubuntu call it.
PROGRAMS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
# It is the container that keeps others out here, and shared memory may be small in it.
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--mute-audio")
LOGS = {"browser": "ALL", "performance": "ALL"}


def find_missing() -> list[str]:
    """The packages that are missing to run it."""
    return [package for program, package in PROGRAMS.items() if shutil.which(program) is None]


class Browser:
    """A window of Chromium. Made by ``open_browser``."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self._send("POST", "/url", url=url)

    def run(self, script: str, *arguments: object) -> Any:
        """What the script returns, or the promise that it returns is kept with."""
        return self._send("POST", "/execute/sync", script=script, args=arguments)

    def read(self, selector: str) -> str:
        """The text of the first element of a CSS selector, as it is shown; empty where there is none."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def shows(self, selector: str) -> bool:
        """Whether the first element of a CSS selector is there and can be seen."""
        return bool(self.run("return document.querySelector(arguments[0])?.checkVisibility()", selector))

    def wait_until(self, holds: Callable[[], object]) -> None:
        """Wait until a condition holds that only asking can tell. Raises ``TimeoutError``."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"it did not come to hold; the page:\n{self.read('body')}")
            time.sleep(0.05)

    def type(self, selector: str, text: str) -> None:
        """Type a text into the first element of a CSS selector; ``\\ue007`` is the key Enter."""
        element = self._send("POST", "/element", using="css selector", value=selector)
        [reference] = element.values()
        self._send("POST", f"/element/{reference}/value", text=text)

    def click(self, selector: str) -> None:
        """Click on the first element of a CSS selector."""
        element = self._send("POST", "/element", using="css selector", value=selector)
        [reference] = element.values()
        self._send("POST", f"/element/{reference}/click")

    def resize(self, width: int, height: int, *, is_dark: bool = False) -> None:
        """Have it look like a screen of so many pixels of CSS, with a light or dark theme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def take_picture(self) -> bytes:
        """The whole page, as PNG."""
        taken = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(taken["data"])

    def command(self, name: str, **parameters: object) -> Any:
        """Call a method of the DevTools protocol. https://chromedevtools.github.io/devtools-protocol/"""
        return self._send("POST", "/goog/cdp/execute", cmd=name, params=parameters)

    def list_errors(self) -> list[str]:
        """What the console has of errors since the last call."""
        entries = self._send("POST", "/se/log", type="browser")
        return [str(entry["message"]) for entry in entries if entry["level"] == "SEVERE"]

    def list_hosts(self) -> set[str]:
        """The hosts and ports that pages asked since the last call."""
        entries = self._send("POST", "/se/log", type="performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        urls = [
            urlsplit(message["params"]["request"]["url"])
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return {url.netloc for url in urls if url.scheme not in ("data", "blob")}

    def _send(self, method: str, path: str, /, **body: object) -> Any:
        return send(method, self._session + path, **body)


def send(method: str, address: str, /, **body: object) -> Any:
    """What the driver answers. Raises ``RuntimeError`` with what it says if that is an error."""
    answer = requests.request(method, address, json=body, timeout=PATIENCE)
    value = answer.json()["value"]
    if not answer.ok:
        raise RuntimeError(f"{value['error']}: {value['message']}")
    return value


@contextmanager
def open_browser(arguments: Sequence[str] = ARGUMENTS) -> Iterator[Browser]:
    """A browser of its own, closed in the end."""
    port = free_port()
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for_driver(url)
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": list(arguments)},
            "goog:loggingPrefs": LOGS,
        }
        session = send("POST", f"{url}/session", capabilities={"alwaysMatch": wanted})
        own = f"{url}/session/{session['sessionId']}"
        try:
            yield Browser(own)
        finally:
            requests.delete(own, timeout=PATIENCE)
    finally:
        driver.terminate()
        driver.wait(PATIENCE)


def _wait_for_driver(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if requests.get(f"{url}/status", timeout=PATIENCE).json()["value"]["ready"]:
                return
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
