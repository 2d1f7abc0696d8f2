"""Sends requests that no client would, made from the seeds, and looks for faults that are not the client's.

`python -m benchmarks.fuzz --minutes 10` does so for longer than `make faults` does. What it finds is printed
as it was sent, to be added to `tests/seeds.py`.
"""

import argparse
import logging
import random
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.clients import find_workers, measure_memory
from benchmarks.harness import Figure, answers, open_lakebase, serve
from tests.lakebase_stand_in import LakebaseStandIn
from tests.raw_exchange import exchange
from tests.seeds import SEEDS

# All times are in seconds.
SECONDS = 60.0
CLIENTS = 4
# Longer than the service waits for a client here.
CLIENT_TIMEOUT = 1.0
PATIENCE = 5.0
WARM_UP = 3.0
GROWTH_BOUND = 20
# Larger seeds are replayed by the tests; here they would take the time of many others.
GREATEST_SEED = 10_000
# An unknown transfer coding is not implemented, and the deadline of a request may be next to nothing.
CLIENTS_OWN_FAULT = (501, 504)
FAULT = "other statuses of 5xx"
HANG = "neither answered nor closed"
# Of what goes wrong so many requests are printed.
MOST_SHOWN = 10

WORDS = [
    *(b"\x00", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\x0b", b"\xff", b"\xc3("),
    *(b"%00", b"%ff", b"%", b";", b":", b",", b"..", b"//", b"?", b"#", b"&", b"=", b"*", b"_"),
    *(b"9" * 25, b"-1", b"+1", b"1e400", b"0x10", b"nan", b"null", b'"', b"\\u0000", b"\\ud800"),
    *(b"[::1", b"http://[bad/", b"HTTP/2.0", b"HTTP/0.9", b"PRI * HTTP/2.0", b"A" * 9000),
    *(b"[" * 5000, b'{"":' * 1000, b"chunked", b"gzip, chunked", b"identity", b"0\r\n\r\n", b"FFFFFFFF\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
    *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Host: y\r\n", b"SCRIPT_NAME: /x\r\n"),
    *(b"X-Request-Timeout: nan\r\n", b"X-Request-Id: " + b"x" * 200 + b"\r\n", b"If-None-Match: *\r\n"),
    *(b"Content-Type: application/json; charset=utf-7\r\n", b"X-Forwarded-Proto: https\r\n"),
]


class Fuzzer:
    """One client, whose requests follow from its random seed. ``found`` are those that went wrong."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self._seeds = [text for text in SEEDS.values() if len(text) <= GREATEST_SEED]
        self.sent = 0
        self.outcomes: Counter[str] = Counter()
        self.found: list[bytes] = []

    def run(self, ends: float) -> None:
        """Send one request after the other until then, by ``time.monotonic()``. For a thread of its own."""
        while time.monotonic() < ends:
            text = self._make()
            outcomes = self._send(text)
            self.sent += 1
            self.outcomes.update(outcomes)
            if {FAULT, HANG} & set(outcomes):
                self.found.append(text)

    def _send(self, text: bytes) -> list[str]:
        hang_up = self._random.random() < 0.98
        try:
            statuses = exchange(self._port, self._cut(text), PATIENCE, hang_up=hang_up)
        except TimeoutError:
            return [HANG]
        faults = [status for status in statuses if status >= 500 and status not in CLIENTS_OWN_FAULT]
        said = [f"answered {status}" for status in statuses] or ["closed without an answer"]
        return said + [FAULT] * len(faults)

    def _make(self) -> bytes:
        chance = self._random
        text = bytearray(chance.choice(self._seeds))
        if chance.random() < 0.2:  # the beginning of one and the end of another
            other = chance.choice(self._seeds)
            text[chance.randrange(len(text) + 1) :] = other[chance.randrange(len(other) + 1) :]
        for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
            self._mutate(text)
        return bytes(text) * chance.choice((1, 1, 1, 2))

    def _mutate(self, text: bytearray) -> None:
        chance = self._random
        start = chance.randrange(len(text) + 1)
        end = start + chance.randint(1, 8)
        match chance.randrange(5):
            case 0:
                text[start:start] = chance.choice(WORDS)
            case 1:
                text[start:end] = chance.choice(WORDS)
            case 2:
                del text[start:end]
            case 3:
                text[start : start + 1] = chance.randbytes(1)
            case 4:
                text[start:start] = text[start:end] * chance.choice((1, 2, 100))

    def _cut(self, text: bytes) -> Iterator[bytes]:
        """Most in one piece, some in several."""
        start = 0
        while start < len(text):
            end = len(text) if self._random.random() < 0.7 else start + self._random.randint(1, 200)
            yield text[start:end]
            start = end


def fuzz(lakebase: LakebaseStandIn, seconds: float = SECONDS, seed: int | None = None) -> Iterator[Figure]:
    """Broken requests for a minute, made from good and bad ones, in pieces and on half-closed connections."""
    seed = secrets.randbelow(10**6) if seed is None else seed
    yield Figure("random seed", seed)
    with serve(lakebase, WEB_CONCURRENCY="1", CLIENT_TIMEOUT=str(CLIENT_TIMEOUT)) as gunicorn:
        fuzzers = [Fuzzer(gunicorn.port, seed + number) for number in range(CLIENTS)]
        workers = find_workers(gunicorn)
        _run(fuzzers, WARM_UP)
        before = measure_memory(gunicorn)
        _run(fuzzers, seconds)
        growth = measure_memory(gunicorn) - before
        is_served = answers(gunicorn, "/orders/1")
        is_same = find_workers(gunicorn) == workers
    yield from _count_outcomes(fuzzers)
    yield Figure("the next read is served", is_served, at_least=1)
    yield Figure("tracebacks in the log", gunicorn.output.count("Traceback"), at_most=0)
    yield Figure("the worker is the same", is_same, at_least=1)
    yield Figure("growth of the worker", growth, "MB", at_most=GROWTH_BOUND)


def _run(fuzzers: list[Fuzzer], seconds: float) -> None:
    ends = time.monotonic() + seconds
    threads = [threading.Thread(target=fuzzer.run, args=(ends,)) for fuzzer in fuzzers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _count_outcomes(fuzzers: list[Fuzzer]) -> Iterator[Figure]:
    for text in [text for fuzzer in fuzzers for text in fuzzer.found][:MOST_SHOWN]:
        print(repr(text), file=sys.stderr)
    outcomes = sum((fuzzer.outcomes for fuzzer in fuzzers), Counter[str]())
    yield Figure("requests", sum(fuzzer.sent for fuzzer in fuzzers))
    for outcome in sorted(set(outcomes) - {FAULT, HANG}):
        yield Figure(outcome, outcomes[outcome])
    yield Figure(FAULT, outcomes[FAULT], at_most=0)
    yield Figure(HANG, outcomes[HANG], at_most=0)


def main(arguments: Sequence[str]) -> int:
    """Run it alone; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="of an earlier run, to make the same requests")
    options = parser.parse_args(arguments)
    logging.disable(logging.ERROR)
    missed = 0
    with open_lakebase() as lakebase:
        for figure in fuzz(lakebase, options.minutes * 60, options.seed):
            print(figure, flush=True)
            missed += not figure.is_met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
