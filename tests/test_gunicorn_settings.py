"""gunicorn's own settings: what an operator sets there works, or is refused by name."""

import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import trustme

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.waiting import PATIENCE

Starter = Callable[[dict[str, str]], GunicornProcess]

BOOTED = "Booting worker"
HOOKS = """
exec(open({path!r}).read())
def pre_request(worker, request):
    worker.log.info("before %s", request.path)
def post_request(worker, request, environ, response):
    worker.log.info("after %s: %s", request.path, response.status)
"""
# The first worker's loop breaks down once it serves.
CRASH = """
exec(open({path!r}).read())
original = post_worker_init
def post_worker_init(worker):
    original(worker)
    if worker.age == 1:
        def murder_keepalived():
            raise RuntimeError("broken on purpose")
        worker.murder_keepalived = murder_keepalived
"""


@pytest.fixture
def start(unchanged_database: OrdersDatabase, start_gunicorn: Starter) -> Callable[[str], GunicornProcess]:
    """Starts the service with arguments for gunicorn."""
    return lambda arguments: start_gunicorn(
        {**unchanged_database.environment, "GUNICORN_CMD_ARGS": arguments, "CLIENT_TIMEOUT": "1"}
    )


def configure(folder: Path, text: str) -> str:
    """The argument for the service's configuration with something added."""
    path = folder / "gunicorn.conf.py"
    path.write_text(text.format(path=str(ROOT / "gunicorn.conf.py")))
    return f"--config {path}"


@pytest.fixture
def tls(start: Callable[[str], GunicornProcess], tmp_path: Path) -> tuple[GunicornProcess, ssl.SSLContext]:
    """The service with a certificate, and what a client trusts."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    for name, part in (("key", certificate.private_key_pem), ("cert", certificate.cert_chain_pems[0])):
        part.write_to_path(str(tmp_path / name))
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    arguments = f"--certfile {tmp_path}/cert --keyfile {tmp_path}/key --threads 2"
    gunicorn = start(arguments).wait_until_started()
    return gunicorn, ssl.create_default_context(cafile=str(tmp_path / "ca"))


def connect(gunicorn: GunicornProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gunicorn.port), PATIENCE)


def ask(client: socket.socket, request: bytes) -> bytes:
    """Everything until the server closes."""
    client.sendall(request)
    with client, client.makefile("rb") as received:
        return received.read()


def test_with_a_certificate_it_speaks_tls_and_nothing_else(
    tls: tuple[GunicornProcess, ssl.SSLContext],
) -> None:
    gunicorn, context = tls
    request = b"GET /orders/1 HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    with context.wrap_socket(connect(gunicorn), server_hostname="localhost") as client:
        client.sendall(request % b"")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'{"o_orderkey":1,' in ask(client, request % b"Connection: close\r\n")
    assert b"o_orderkey" not in ask(connect(gunicorn), request % b"Connection: close\r\n")


def test_a_large_answer_arrives_whole_with_tls(tls: tuple[GunicornProcess, ssl.SSLContext]) -> None:
    gunicorn, context = tls
    request = b"GET /orders/stream?page_size=1000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.socket() as plain:
        # As on a network: on loopback the answer would fit into the buffers.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        plain.settimeout(PATIENCE)
        plain.connect(("127.0.0.1", gunicorn.port))
        client = context.wrap_socket(plain, server_hostname="localhost")
        head, _, body = ask(client, request).partition(b"\r\n\r\n")
    [length] = [int(line.split()[1]) for line in head.splitlines() if line.startswith(b"Content-Length: ")]
    assert len(body) == length > 100_000


@pytest.mark.slow
def test_slow_clients_with_tls_are_ended_too(tls: tuple[GunicornProcess, ssl.SSLContext]) -> None:
    gunicorn, context = tls
    slow = [connect(gunicorn) for _ in range(4)]
    for client in slow:
        client.sendall(b"\x16\x03\x01")  # the beginning of a handshake
    half = context.wrap_socket(connect(gunicorn), server_hostname="localhost")
    half.sendall(b"GET /livez HTTP/1.1\r\n")
    assert half.recv(100).startswith(b"HTTP/1.1 408 ")
    for client in [*slow, half]:
        client.close()


def test_a_worker_that_has_answered_max_requests_is_replaced_and_no_request_lost(
    start: Callable[[str], GunicornProcess],
) -> None:
    gunicorn = start("--max-requests 10").wait_until_started()
    assert [requests.get(f"{gunicorn.url}/livez", timeout=PATIENCE).status_code for _ in range(25)] == [
        200
    ] * 25
    gunicorn.wait_for_output(BOOTED, times=3)


@pytest.mark.slow
def test_there_is_an_access_log_when_it_is_asked_for(start: Callable[[str], GunicornProcess]) -> None:
    gunicorn = start("--access-logfile -").wait_until_started()
    gunicorn.get("/livez")
    gunicorn.wait_for_output('"GET /livez HTTP/1.1" 200 ')


def test_hooks_around_requests_are_called(start: Callable[[str], GunicornProcess], tmp_path: Path) -> None:
    gunicorn = start(configure(tmp_path, HOOKS)).wait_until_started()
    gunicorn.get("/livez")
    gunicorn.wait_for_output("before /livez")
    gunicorn.wait_for_output("after /livez: 200 OK")


@pytest.mark.parametrize(
    "argument",
    [
        "--log-level debug",
        pytest.param("--error-logfile /dev/null", marks=pytest.mark.slow),
        pytest.param("--log-syslog", marks=pytest.mark.slow),
        pytest.param("--capture-output", marks=pytest.mark.slow),
    ],
)
def test_what_would_have_no_effect_is_refused_by_name(
    start: Callable[[str], GunicornProcess], argument: str
) -> None:
    gunicorn = start(argument)
    assert gunicorn.process.wait(PATIENCE) == 1
    gunicorn.wait_for_output("has no effect here")
    assert "Traceback" not in gunicorn.output


def test_an_address_among_the_arguments_decides_who_is_let_in(
    start: Callable[[str], GunicornProcess],
) -> None:
    open_to_others = start("--bind 0.0.0.0:0")
    open_to_others.wait_for_output(
        "Access: only probes and documentation are served. Nothing says who may call"
    )
    local = start("--bind 127.0.0.1:0")
    local.wait_for_output("Access: everything is allowed to everybody on this machine")


@pytest.mark.slow
@pytest.mark.parametrize("bind", ["localhost:0", "[::1]:0", "unix:{}/orders.sock"])
def test_an_address_of_this_machine_among_the_arguments_is_listened_at(
    start: Callable[[str], GunicornProcess], tmp_path: Path, bind: str
) -> None:
    start(f"--bind {bind.format(tmp_path)}").wait_until_started()


@pytest.mark.slow
def test_a_worker_that_breaks_down_ends_with_a_status_that_says_so(
    start: Callable[[str], GunicornProcess], tmp_path: Path
) -> None:
    gunicorn = start(configure(tmp_path, CRASH))
    gunicorn.wait_for_output("broken on purpose")
    gunicorn.wait_for_output("exited with code 255")
    gunicorn.wait_for_output(BOOTED, times=2)
    assert gunicorn.get("/livez").status_code == 200


@pytest.mark.slow
def test_a_reload_says_that_it_reads_no_settings(start: Callable[[str], GunicornProcess]) -> None:
    gunicorn = start("").wait_until_started()
    gunicorn.process.send_signal(signal.SIGHUP)
    gunicorn.wait_for_output("Reload: workers are replaced; settings are those of the start")
    gunicorn.wait_for_output(BOOTED, times=2)
    assert gunicorn.get("/livez").status_code == 200
