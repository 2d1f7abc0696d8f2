"""Two instances of the service behind each of the proxies that docs/ has lines for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
import trustme

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.reverse_proxies import NAMES, ReverseProxy, find_program, open_proxy

INSTANCES = ("first", "second")
SETTINGS = {
    "FORWARDED_HOPS": "1",
    "CURSOR_SECRET": "the same on both instances",
    # As it is by default, and not as in other tests: the proxies count on it.
    "DRAIN_DELAY": "2",
}


@dataclass(frozen=True)
class Front:
    """A proxy with two instances behind it, by the ``PGAPPNAME`` that each has."""

    proxy: ReverseProxy
    instances: dict[str, GunicornProcess]
    folder: Path

    def connect(self) -> requests.Session:
        """A client that keeps its connections, and trusts the proxy's certificate."""
        client = requests.Session()
        client.verify = str(self.folder / "authority.pem")
        client.trust_env = False  # REQUESTS_CA_BUNDLE would win
        return client

    @property
    def output(self) -> str:
        """What the instances wrote so far."""
        return "".join(instance.output for instance in self.instances.values())

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds that only asking can tell. Raises ``TimeoutError``."""
        self.instances["first"].wait_until(holds)

    def kill(self, name: str) -> None:
        """End an instance by SIGKILL, with all its workers."""
        master = psutil.Process(self.instances[name].process.pid)
        # Without the master first, it would replace them.
        for process in (master, *master.children()):
            process.kill()
        self.instances[name].process.wait()


OpenFront = Callable[..., Front]


def start_front(
    stack: ExitStack, name: str, environment: dict[str, str], folder: Path, *, is_tls: bool
) -> Front:
    """The proxy and what is behind it, until the stack is closed; skips where it is not installed."""
    if find_program(name) is None:
        pytest.skip(f"{name} is not installed: on Debian or Ubuntu, apt install {name}")
    certificate = None
    if is_tls:
        authority, certificate = trustme.CA(), folder / "certificate.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    instances = {
        each: stack.enter_context(GunicornProcess({**environment, **SETTINGS, "PGAPPNAME": each}))
        for each in INSTANCES
    }
    for instance in instances.values():
        instance.wait_until_started()
    ports = [instance.port for instance in instances.values()]
    return Front(stack.enter_context(open_proxy(name, ports, folder, certificate)), instances, folder)


@pytest.fixture(params=NAMES)
def open_front(
    request: pytest.FixtureRequest, database: OrdersDatabase, tmp_path: Path
) -> Iterator[OpenFront]:
    """Starts a proxy, speaking plain HTTP, and what is behind it; settings are keyword arguments."""
    with ExitStack() as stack:
        yield lambda **settings: start_front(
            stack, request.param, {**database.environment, **settings}, tmp_path, is_tls=False
        )
