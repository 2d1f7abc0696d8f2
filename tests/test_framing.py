"""Where one request ends and the next begins, and what comes of those that leave it open."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from lakebase_api.local.ports import free_port
from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.seeds import HEAD, POST
from tests.waiting import PATIENCE

Starter = Callable[[dict[str, str]], GunicornProcess]

CHANGE = b'{"o_orderstatus": "X"}'  # refused with 422, so that nothing changes
NODE = shutil.which("node")
# A reverse proxy that passes headers on as they came, over connections that it keeps.
PROXY = """
const http = require("http");
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
http.createServer((request, response) => {
  const options = {port: %d, method: request.method, path: request.url, headers: request.headers, agent};
  const inner = http.request(options, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  inner.on("error", () => { response.writeHead(502); response.end(); });
  request.pipe(inner);
}).listen(%d, "127.0.0.1", () => console.log("ready"));
"""


@pytest.fixture(scope="module")
def gunicorn(unchanged_database: OrdersDatabase) -> Iterator[GunicornProcess]:
    """The service with two threads."""
    environment = {**unchanged_database.environment, "WEB_THREADS": "2", "CLIENT_TIMEOUT": "2"}
    with GunicornProcess(environment) as gunicorn:
        yield gunicorn.wait_until_started()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def read_all(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    with suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return received


def hide_a_request(zeros: int) -> bytes:
    """A request with another one for a body, and many zeros before the length of it."""
    hidden = b"POST /orders/5/status HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    hidden += b"Content-Length: %d\r\n\r\n%s" % (len(CHANGE), CHANGE)
    length = b"0" * zeros + b"%d" % len(hidden)
    return b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n%s" % (length, hidden)


@contextmanager
def proxy(gunicorn: GunicornProcess) -> Iterator[int]:
    """node's own HTTP in front of the service; gives its port."""
    assert NODE
    port = free_port()
    script = PROXY % (gunicorn.port, port)
    with subprocess.Popen([NODE, "-e", script], stdout=subprocess.PIPE, text=True) as node:
        try:
            assert node.stdout
            assert node.stdout.readline() == "ready\n"
            yield port
        finally:
            node.terminate()


@pytest.mark.parametrize("zeros", [0, 1, 19, 20, 21, 200])
def test_a_body_is_never_taken_for_a_request(gunicorn: GunicornProcess, zeros: int) -> None:
    with connect(gunicorn.port) as client:
        client.sendall(hide_a_request(zeros) + HEAD + b"Connection: close\r\n\r\n")
        received = read_all(client)
    assert received.count(b"HTTP/1.1 200 ") == received.count(b"HTTP/1.1 ") == 2
    assert "/orders/5/status" not in gunicorn.output


@pytest.mark.skipif(not NODE, reason="node is not installed")
def test_behind_a_proxy_that_passes_headers_on_nobody_gets_the_answer_of_another(
    gunicorn: GunicornProcess,
) -> None:
    with proxy(gunicorn) as port:
        for zeros in (0, 19, 20, 40):
            with connect(port) as attacker:
                attacker.sendall(hide_a_request(zeros))
                assert attacker.recv(65536).startswith(b"HTTP/1.1 ")
            for key in (1, 2, 3):
                with connect(port) as victim:
                    victim.sendall(b"GET /orders/%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % key)
                    assert b'{"o_orderkey":%d,' % key in read_all(victim)
    assert "/orders/5/status" not in gunicorn.output


@pytest.mark.parametrize("cut", [None, 40, len(POST) + 10], ids=["whole", "in the head", "after Expect"])
def test_who_awaits_100_continue_gets_it_however_the_head_comes(
    gunicorn: GunicornProcess, cut: int | None
) -> None:
    head = POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(CHANGE)
    with connect(gunicorn.port) as client, client.makefile("rb") as answer:
        for part in (head[:cut], head[cut:] if cut else b""):
            client.sendall(part)
        assert answer.readline() + answer.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(CHANGE)
        assert answer.readline().startswith(b"HTTP/1.1 422 ")


def test_http_1_0_is_not_told_to_continue(gunicorn: GunicornProcess) -> None:
    head = POST.replace(b"HTTP/1.1", b"HTTP/1.0")
    with connect(gunicorn.port) as client:
        client.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s" % (len(CHANGE), CHANGE))
        received = read_all(client)
    assert received.startswith((b"HTTP/1.1 422 ", b"HTTP/1.0 422 "))


@pytest.mark.parametrize("size", [b"16", b"000000016", b"0000000000000000016", b"16;x=y"])
@pytest.mark.parametrize("cut", [False, True])
def test_chunk_sizes_of_any_length_are_read_alike(gunicorn: GunicornProcess, size: bytes, cut: bool) -> None:
    chunks = size + b"\r\n" + CHANGE + b"\r\n0000000000\r\n\r\n"
    with connect(gunicorn.port) as client, client.makefile("rb") as answer:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks[: 5 if cut else None])
        if cut:
            client.sendall(chunks[5:])
        client.sendall(HEAD + b"Connection: close\r\n\r\n")
        received = answer.read()
    assert received.startswith(b"HTTP/1.1 422 ")
    assert received.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize("pieces", [1, 3], ids=["at once", "in pieces"])
def test_a_large_answer_arrives_whole_however_the_request_came(
    gunicorn: GunicornProcess, pieces: int
) -> None:
    request = b"GET /orders/stream?page_size=1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.socket() as client:
        # As on a network: on loopback the answer would fit into the buffers.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", gunicorn.port))
        for number in range(pieces):
            time.sleep(0.3 * number)  # so that each is read by itself
            client.sendall(request[number * 20 : (number + 1) * 20 if number + 1 < pieces else None])
        with client.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    [length] = [int(line.split()[1]) for line in head.splitlines() if line.startswith(b"Content-Length: ")]
    assert len(body) == length > 100_000


def test_an_empty_line_after_a_body_is_no_request(gunicorn: GunicornProcess) -> None:
    with connect(gunicorn.port) as client:
        client.sendall(POST + b"Content-Length: %d\r\n\r\n%s\r\n" % (len(CHANGE), CHANGE))
        client.sendall(HEAD + b"Connection: close\r\n\r\n")
        received = read_all(client)
    assert received.startswith(b"HTTP/1.1 422 ")
    assert received.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize(
    "head", [b"GET /livez HTTP/1.1\nHost: x\n\n", b"GET /livez HTTP/1.1\r\nHost: x\n\r\n"]
)
def test_lines_that_end_in_a_bare_line_feed_are_refused_at_once(
    gunicorn: GunicornProcess, head: bytes
) -> None:
    with connect(gunicorn.port) as client:
        client.sendall(head)
        assert read_all(client).startswith(b"HTTP/1.1 400 ")


def test_clients_that_half_close_leave_nothing_behind(gunicorn: GunicornProcess) -> None:
    for number in range(40):
        with connect(gunicorn.port) as client:
            client.sendall((HEAD + b"\r\n")[: None if number % 2 else 30])
            client.shutdown(socket.SHUT_WR)
            received = read_all(client)
            assert received.startswith(b"HTTP/1.1 200 ") if number % 2 else received == b""
    [worker] = psutil.Process(gunicorn.process.pid).children()
    gunicorn.wait_until(
        lambda: not [each for each in worker.net_connections() if each.status == "CLOSE_WAIT"]
    )


def test_what_is_quoted_of_a_request_that_cannot_be_read_is_in_no_answer_and_no_log(
    gunicorn: GunicornProcess,
) -> None:
    secrets = [
        b"Authorization Bearer dapi-secret\r\n",
        b"X-Sec ret: dapi-secret\r\n",
        b"X: dapi-secret\x01\r\n",
    ]
    heads = [b"GET /livez HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n" for line in secrets]
    heads += [b"dapi-secret / HTTP/1.1\r\n\r\n", b"GET / dapi-secret\r\n\r\n", b"GET dapi-secret\r\n\r\n"]
    heads += [b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: dapi-secret\r\n\r\n"]
    heads += [b"GET / HTTP/1.1\r\nHost: x\r\nExpect: dapi-secret\r\n\r\n"]
    told = gunicorn.output.count("Invalid request from ip=127.0.0.1")
    for head in heads:
        with connect(gunicorn.port) as client:
            client.sendall(head)
            received = read_all(client)
        assert received.startswith(b"HTTP/1.1 "), head
        assert b"dapi-secret" not in received
    gunicorn.wait_for_output("Invalid request from ip=127.0.0.1", times=told + len(heads) - 1)
    assert "dapi-secret" not in gunicorn.output


def test_when_connections_run_out_those_that_are_silent_longest_go_first(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    arguments = {"GUNICORN_CMD_ARGS": "--worker-connections 40", "WEB_THREADS": "4"}
    gunicorn = start_gunicorn({**unchanged_database.environment, **arguments}).wait_until_started()
    silent = [connect(gunicorn.port) for _ in range(40)]
    for _ in range(20):
        honest = connect(gunicorn.port)
        silent.append(connect(gunicorn.port))
        with honest:
            honest.sendall(HEAD + b"Connection: close\r\n\r\n")
            assert read_all(honest).startswith(b"HTTP/1.1 200 ")
    for client in silent:
        client.close()


def test_both_workers_serve_where_there_are_many_clients(
    unchanged_database: OrdersDatabase, start_gunicorn: Starter
) -> None:
    environment = {**unchanged_database.environment, "WEB_CONCURRENCY": "2"}
    gunicorn = start_gunicorn(environment).wait_until_started()
    clients = [connect(gunicorn.port) for _ in range(128)]
    for _ in range(5):
        for client in clients:
            client.sendall(HEAD + b"\r\n")
        for client in clients:
            received = b""
            while not received.endswith(b'{"status":"alive"}'):
                received += client.recv(65536)
    for client in clients:
        client.close()
    lines = [line for line in gunicorn.output.splitlines() if "Request: GET /livez" in line]
    workers = [line.split("[")[1].split("]")[0] for line in lines]
    assert max(workers.count(worker) for worker in set(workers)) < 0.9 * len(workers)
