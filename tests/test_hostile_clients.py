"""The real server process against clients that are slow, broken or hostile."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.raw_exchange import exchange
from tests.seeds import BAD, HALF, HEAD, POST, SEEDS, chunk, post
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

HALF_A_BODY, HALF_A_CHUNK = HALF["half a body"], HALF["half a chunk"]


Starter = Callable[[dict[str, str]], GunicornProcess]


class Clients:
    """Raw connections to a server, closed at the end."""

    def __init__(self, stack: ExitStack, start: Starter) -> None:
        self._stack = stack
        self._start = start

    def start(self, environment: dict[str, str]) -> None:
        """Have a server of these settings, with two threads only."""
        self.gunicorn = self._start(environment)

    def send(self, text: bytes) -> socket.socket:
        """A new connection that has sent this."""
        client = socket.create_connection(("127.0.0.1", self.gunicorn.port), PATIENCE)
        self._stack.callback(client.close)
        client.sendall(text)
        return client

    def status_of(self, text: bytes) -> int:
        """The status that a new connection gets for this, 0 if it is closed without one."""
        return read_status(self.send(text))

    def is_served(self) -> bool:
        """Whether a well-behaved client gets an answer."""
        return self.status_of(HEAD + b"Connection: close\r\n\r\n") == 200


def read_status(client: socket.socket) -> int:
    """The status that came, 0 if the server closed without one. Takes no more than the head."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        try:
            data = client.recv(1)
        except ConnectionResetError:
            return 0
        if not data:
            return 0
        head += data
    return int(head.split()[1])


@pytest.fixture(scope="module")
def start(unchanged_database: OrdersDatabase) -> Iterator[Starter]:
    """Starts a server, once for all tests that ask for these settings: no client may do it any harm."""
    started: dict[str, GunicornProcess] = {}
    with ExitStack() as stack:

        def start_once(settings: dict[str, str]) -> GunicornProcess:
            if str(settings) not in started:
                environment = {**unchanged_database.environment, "WEB_THREADS": "2", **settings}
                gunicorn = stack.enter_context(GunicornProcess(environment))
                started[str(settings)] = gunicorn.wait_until_started()
            return started[str(settings)]

        yield start_once


@pytest.fixture
def clients(start: Starter) -> Iterator[Clients]:
    """Clients of a server that is not started yet."""
    with ExitStack() as stack:
        yield Clients(stack, start)


def test_clients_that_say_nothing_hold_up_nobody(clients: Clients) -> None:
    clients.start({})
    for _ in range(20):
        clients.send(b"")
    assert clients.is_served()


def test_half_sent_requests_hold_up_others_no_longer_than_they_may_take(clients: Clients) -> None:
    clients.start({"CLIENT_TIMEOUT": "1"})
    slow = [clients.send(part) for part in (b"GET", HEAD, POST, HALF_A_BODY, HALF_A_CHUNK) * 2]
    assert clients.is_served()
    assert [read_status(client) for client in slow] == [408] * len(slow)


@pytest.mark.parametrize("part", [HEAD, HALF_A_BODY, HALF_A_CHUNK], ids=["head", "body", "chunk"])
def test_a_request_that_never_ends_is_ended_even_if_it_goes_on_coming(clients: Clients, part: bytes) -> None:
    clients.start({"CLIENT_TIMEOUT": "1"})
    client = clients.send(part)
    client.settimeout(0.05)
    while True:
        try:
            assert client.recv(100).startswith(b"HTTP/1.1 408 ")
            break
        except TimeoutError:
            client.send(b"x")


def test_a_client_that_does_not_take_its_answers_holds_no_thread(clients: Clients) -> None:
    clients.start({"CLIENT_TIMEOUT": "1", "LOG_LEVEL": "DEBUG"})
    answers_of_megabytes = b"GET /orders/stream?page_size=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
    for _ in range(4):
        clients.send(answers_of_megabytes)
    clients.gunicorn.wait_for_output("does not take its answer", times=4)
    assert clients.is_served()


def test_a_client_that_does_not_hang_up_holds_up_nobody(clients: Clients) -> None:
    clients.start({})
    for _ in range(40):
        assert clients.is_served()


def test_when_connections_run_out_the_idlest_is_closed(clients: Clients) -> None:
    clients.start({"GUNICORN_CMD_ARGS": "--worker-connections 20"})
    request = HEAD.replace(b"GET", b"HEAD") + b"\r\n"
    kept = []
    for _ in range(100):
        kept.append(clients.send(request))
        assert read_status(kept[-1]) == 200
    kept[-1].sendall(request)
    assert read_status(kept[-1]) == 200
    assert read_status(kept[0]) == 0


def test_whatever_is_sent_is_the_clients_fault(clients: Clients) -> None:
    clients.start({"CLIENT_TIMEOUT": "1"})
    statuses = {name: clients.status_of(text) for name, text in BAD.items()}
    assert {name: status for name, status in statuses.items() if status and not 400 <= status < 500} == {}
    # A header that gunicorn would obey.
    assert clients.status_of(HEAD + b"SCRIPT_NAME: /elsewhere\r\n\r\n") == 200


def test_every_seed_of_the_fuzzing_is_answered_or_closed_and_the_next_client_served(clients: Clients) -> None:
    clients.start({})
    for name, text in SEEDS.items():
        statuses = exchange(clients.gunicorn.port, [text], PATIENCE)
        assert [status for status in statuses if status >= 500] == [], name
        assert clients.is_served(), name


def test_bodies_of_every_framing_are_read(clients: Clients) -> None:
    clients.start({})
    body = b'{"o_orderstatus": "X"}'
    assert clients.status_of(post(body)) == 422
    assert clients.status_of(chunk(body, 1)) == 422
    client = clients.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
    with client.makefile("rb") as answer:
        assert answer.readline() + answer.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert answer.readline().startswith(b"HTTP/1.1 422 ")


def test_requests_may_be_sent_before_the_answers_to_others_came(clients: Clients) -> None:
    clients.start({})
    client = clients.send((HEAD + b"\r\n") * 100 + HEAD + b"Connection: close\r\n\r\n")
    with client.makefile("rb") as answers:
        assert answers.read().count(b"HTTP/1.1 200 OK\r\n") == 101
