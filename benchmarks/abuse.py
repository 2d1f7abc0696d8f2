"""What one hostile or unlucky client can take from all others: answers, memory, the database, exports."""

import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

import psutil
import requests

from benchmarks.clients import find_workers, measure_memory
from benchmarks.harness import PATIENCE, Figure, failed, percentile, serve, slowest
from lakebase_api.local.postgres import PID_FILE, read_lines
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import Load, count_failures, get, post

# A hundred times the orders of the stand-in, so that to look through all of them takes a while.
TABLE = "orders_large"
MAKE_TABLE = f"""
CREATE TABLE {TABLE} AS SELECT t.o_orderkey + 60000 * n AS o_orderkey, o_custkey, o_orderstatus, o_totalprice,
    o_orderdate, o_orderpriority, o_clerk, o_shippriority, o_comment
FROM orders_synced AS t, generate_series(0, 99) AS n;
ALTER TABLE {TABLE} ADD PRIMARY KEY (o_orderkey);
ANALYZE {TABLE};
GRANT SELECT ON {TABLE} TO PUBLIC
"""
SORT = "-o_comment,-o_clerk,-o_totalprice"
MIDDLE = f"/orders/pages?sort={SORT}&page=70000&page_size=1&include_count=false"
EXPORT = "/orders/export?format=csv"
# All times are in seconds.
ROUND = 8.0
TIMES = 20
CROWD = 120
READ_BOUND, PROBE_BOUND = 0.1, 0.05
TIMES_ALONE = 3
SLOW_QUERY = 0.02
# Callers, as a proxy tells them apart.
BEHIND_PROXY = {"FORWARDED_HOPS": "1"}
NOISY, QUIET = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
# Of what 64 KB, the largest body, or 8 KB, the longest URL, may cost.
ANSWER_BOUND = 8.0
CPU_BOUND = 0.05
DATABASE_BOUND = 0.2
GROWTH_BOUND = 200
SLOW_CLIENTS, RATE = 6, 25_000


def amplify(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Requests with as much wrong as there is room for, one after another."""
    with serve(lakebase) as gunicorn:
        for name, request in build_wrong_requests().items():
            took, size = measure(gunicorn, request)
            yield Figure(f"{name}: answer", size / 1000, "KB", at_most=ANSWER_BOUND)
            yield Figure(f"{name}: CPU of the workers", took, "ms", at_most=CPU_BOUND)


def pile_up(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """A hundred such bodies of 64 KB at once, again and again, from as many connections."""
    request = build_wrong_requests()["21,800 empty objects"]
    with serve(lakebase) as gunicorn:
        before = measure_memory(gunicorn)
        with (
            Load(gunicorn.port, lambda: get("/livez", Connection="close"), pause=0.1) as probes,
            Load(gunicorn.port, lambda: request, clients=100, pause=1.0),
        ):
            time.sleep(ROUND)
        yield failed(count_failures(probes.samples), "failed probes")
        yield Figure("slowest probe", slowest(probes.samples), "ms")
        yield Figure("growth of all workers", measure_memory(gunicorn) - before, "MB", at_most=GROWTH_BOUND)


def ask_dearly(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The reads that cost the database most, of 150,000 orders, one after another."""
    with serve_many(lakebase) as gunicorn:
        for name, path in build_dear_paths(gunicorn).items():
            began = measure_database(lakebase)
            for number in range(TIMES):
                gunicorn.get(path.format(number)).raise_for_status()
            took = (measure_database(lakebase) - began) / TIMES
            yield Figure(f"{name}: CPU of the database", took, "ms", at_most=DATABASE_BOUND)
        refused = gunicorn.get("/orders/stream?sort=o_clerk,o_comment,o_custkey,o_orderdate")
        yield Figure("status of a sort by four columns", refused.status_code, at_least=422, at_most=422)


def starve(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """120 connections of one caller ask for what is dearest, one of another for an order."""
    with serve_many(lakebase, **BEHIND_PROXY) as gunicorn:
        alone = measure_alone(gunicorn)
        yield Figure("alone: one order, the middle", alone, "ms")
        for name, path in build_dear_paths(gunicorn).items():
            asked = (get(path.format(number), **NOISY) for number in itertools.count())
            yield from crowd_out(gunicorn, name, asked.__next__, alone)


def share(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The same beside 120 connections that use all of the pool, of a database that takes its time."""
    with serve(lakebase, **BEHIND_PROXY) as gunicorn:
        lakebase.proxy.slow(SLOW_QUERY)
        alone = measure_alone(gunicorn)
        yield Figure("alone: one order, the middle", alone, "ms")
        yield from crowd_out(gunicorn, "slow orders", lambda: get("/orders/1", **NOISY), alone)


def crowd_out(
    gunicorn: GunicornProcess, name: str, ask: Callable[[], bytes], alone: float
) -> Iterator[Figure]:
    """What others see beside 120 connections of a caller; ``alone`` is what one order takes without them."""
    with (
        Load(gunicorn.port, ask, clients=CROWD, pause=0.02) as crowd,
        reading_quietly(gunicorn) as reads,
        Load(gunicorn.port, lambda: get("/livez", Connection="close"), pause=0.05) as probes,
    ):
        time.sleep(ROUND)
    yield Figure(f"{name}: answers to the caller", len(crowd.samples) / ROUND, "/s")
    yield failed(count_failures(reads.samples + probes.samples), f"{name}: failed requests of others")
    yield Figure(f"{name}: one order, the middle", percentile(reads.samples, 0.5), "ms", TIMES_ALONE * alone)
    yield Figure(f"{name}: one order, but for 1 %", percentile(reads.samples, 0.99), "ms", READ_BOUND)
    yield Figure(f"{name}: /livez, but for 1 %", percentile(probes.samples, 0.99), "ms", PROBE_BOUND)


def reading_quietly(gunicorn: GunicornProcess) -> Load:
    """One connection of another caller, that asks for an order again and again."""
    return Load(gunicorn.port, lambda: get("/orders/1", **QUIET), pause=0.05)


def measure_alone(gunicorn: GunicornProcess) -> float:
    """What an order takes in the middle when nobody else asks."""
    with reading_quietly(gunicorn) as reads:
        time.sleep(ROUND)
    return percentile(reads.samples, 0.5)


def export_slowly(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Six clients take exports at 25 KB/s, another one asks for some twice a second."""
    with serve_many(lakebase, **BEHIND_PROXY) as gunicorn, ExitStack() as stack:
        ended = threading.Event()
        for _ in range(SLOW_CLIENTS):
            stack.enter_context(taking_slowly(gunicorn, ended))
        stack.callback(ended.set)
        statuses = []
        until = time.monotonic() + 2 * ROUND
        while time.monotonic() < until:
            url = f"{gunicorn.url}{EXPORT}&cursor=5940000"
            answer = requests.get(url, headers=QUIET, timeout=PATIENCE)
            statuses.append(str(answer.status_code))
            time.sleep(0.5)
    refused = {status: statuses.count(status) for status in set(statuses) - {"200"}}
    yield Figure("exports of others", len(statuses), at_least=10)
    yield failed(refused, "refused exports of others")


def build_wrong_requests() -> dict[str, bytes]:
    """Requests that a service could say much of."""
    names = [f"o_order{number:05}" for number in range(4000)]
    parameters = "&".join(f"o_orderstatu{number:03}=" for number in range(480))
    fields = json.dumps(dict.fromkeys(names, 0), separators=(",", ":"))
    return {
        "480 unknown parameters": get(f"/orders/stream?{parameters}"),
        "21,800 empty objects": post("/orders/status", f"[{','.join(['{}'] * 21_800)}]"),
        "32,700 numbers": post("/orders/status", f"[{','.join('1' * 32_700)}]"),
        "4,000 unknown fields": post("/orders/1/status", fields),
        "4,000 unknown fields of an item": post("/orders/status", f"[{fields}]"),
        "1,000 empty objects": post("/orders/status", f"[{','.join(['{}'] * 1000)}]"),
    }


def build_dear_paths(gunicorn: GunicornProcess) -> Mapping[str, str]:
    """What takes longest to find, with room for a number in what nobody may have asked before."""
    cursor = gunicorn.get(MIDDLE).json()["pagination"]["next_cursor"]
    return {
        "three columns": f"/orders/stream?sort={SORT}&page_size=1&cursor={cursor}",
        "far page": "/orders/pages?sort=o_comment&page=140000&page_size=1&include_count=false",
        "sample of none": "/orders/sample?o_totalprice_min=1&o_clerk=nobody",
        # PostgreSQL expects a third of the orders, but none of those dates is fulfilled.
        "sample of many that are none": "/orders/sample?o_orderstatus=F&o_orderdate_from=1996-01-01",
        "filter of none": "/orders/stream?o_clerk=nobody",
        "exact count": "/orders/count?accuracy=exact&o_totalprice_min={}",
    }


@contextmanager
def serve_many(lakebase: LakebaseStandIn, **settings: str) -> Iterator[GunicornProcess]:
    """The service on a hundred times the orders of the stand-in, 150,000."""
    lakebase.execute(MAKE_TABLE)
    try:
        with serve(lakebase, DEFAULT_POSTGRES_TABLE=TABLE, **settings) as gunicorn:
            yield gunicorn
    finally:
        lakebase.execute(f"DROP TABLE {TABLE}")


@contextmanager
def taking_slowly(gunicorn: GunicornProcess, ended: threading.Event) -> Iterator[None]:
    """A client that takes an export at its own rate."""

    def take() -> None:
        with closing(socket.socket()) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.settimeout(PATIENCE)
            client.connect(("127.0.0.1", gunicorn.port))
            client.sendall(get(EXPORT, Connection="close", **NOISY))
            while client.recv(RATE // 2) and not ended.wait(0.5):
                pass

    thread = threading.Thread(target=take, name="slow-client")
    thread.start()
    yield
    thread.join()


def measure(gunicorn: GunicornProcess, request: bytes) -> tuple[float, int]:
    """Seconds of the workers' CPU that a request takes, and the bytes of its answer."""
    workers, size = find_workers(gunicorn), 0
    began = sum(sum(worker.cpu_times()[:2]) for worker in workers)
    for _ in range(TIMES):
        with closing(socket.create_connection(("127.0.0.1", gunicorn.port), PATIENCE)) as client:
            client.sendall(request)
            answer = http.client.HTTPResponse(client)
            answer.begin()
            size = len(answer.read())
    return (sum(sum(worker.cpu_times()[:2]) for worker in workers) - began) / TIMES, size


def measure_database(lakebase: LakebaseStandIn) -> float:
    """Seconds of CPU that the server's processes have taken so far."""
    server = psutil.Process(int(read_lines(lakebase.server.data / PID_FILE)[0]))
    gone = server.cpu_times()
    there = sum(sum(child.cpu_times()[:2]) for child in server.children())
    return float(there + gone.children_user + gone.children_system)
