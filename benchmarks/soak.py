"""A long run under random faults: `python -m benchmarks.soak --minutes 30`.

Tokens live 20 seconds; connections are cut, sessions and workers killed, the database is away for a moment,
the workspace fails. Prints requests, failures by kind, the slowest and the memory of the workers, and exits
with 1 if a request failed in a way that no fault explains. The same seed gives the same faults.
"""

import argparse
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from benchmarks.harness import open_lakebase, percentile, slowest, start
from benchmarks.outages import KILL_ALL
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import OK, Load, Sample, count_failures, get, post

TOKEN_LIFE = 20.0
READERS, WRITERS = 8, 2
# Seconds between two requests of a client: a service that is used, not one that is measured.
PAUSE = 0.05
# Seconds between two faults, and for which the database is away: within the wake budget.
QUIET = (3.0, 12.0)
AWAY = (0.5, 5.0)
# Seconds after the start at which memory is looked at first: all is imported and every pool filled.
WARMING = 15.0
KEYS = [key for key in range(1, 1000) if 0 < key % 32 < 8]
# A killed worker cuts the connections that it has, which nothing can hide: each client sees it once.
WORKER_ERRORS = {"ConnectionResetError", "IncompleteReadError", "BrokenPipeError"}
# A write under way when its connection is lost is not repeated, at most one of each writer.
LOST_WRITE = "503 outcome-unknown"


@dataclass
class Faults:
    """What is done to the service, and how often it was done."""

    lakebase: LakebaseStandIn
    gunicorn: GunicornProcess
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)

    def strike(self) -> None:
        """Do one of them, chosen at random."""
        kinds: list[Callable[[], object]] = [
            self.lakebase.proxy.cut,
            self.kill_sessions,
            self.refuse,
            self.start_up,
            self.fail_workspace,
            self.revoke_tokens,
            self.kill_worker,
        ]
        kind = self.rng.choices(kinds, weights=[4, 4, 2, 2, 2, 1, 1])[0]
        self.done[getattr(kind, "__name__", "")] += 1
        kind()

    def kill_sessions(self) -> None:
        """End every session of the service."""
        self.lakebase.execute(KILL_ALL)

    def refuse(self) -> None:
        """Have the database away for a moment."""
        self._away(self.lakebase.proxy.refuse)

    def start_up(self) -> None:
        """Have the database start for a moment."""
        self._away(self.lakebase.proxy.starting_up)

    def fail_workspace(self) -> None:
        """Have the workspace refuse tokens for less than they live."""
        self.lakebase.workspace.fail("credentials", self.rng.choice([403, 429, 500]))
        time.sleep(2)
        self.lakebase.workspace.heal()

    def revoke_tokens(self) -> None:
        """Have the database refuse the tokens given out so far."""
        self.lakebase.workspace.revoke_all()
        self.lakebase.proxy.cut()

    def kill_worker(self) -> None:
        """End one worker at once."""
        os.kill(self.rng.choice(workers_of(self.gunicorn)).pid, signal.SIGKILL)

    def _away(self, begin: Callable[[], None]) -> None:
        begin()
        self.lakebase.proxy.cut()
        time.sleep(self.rng.uniform(*AWAY))
        self.lakebase.proxy.heal()


def workers_of(gunicorn: GunicornProcess) -> list[psutil.Process]:
    """The workers, the oldest first."""
    return sorted(psutil.Process(gunicorn.process.pid).children(), key=lambda worker: worker.create_time())


def describe_memory(gunicorn: GunicornProcess) -> str:
    """What each worker holds, and its fair share of what is shared, in MB."""
    memory = [worker.memory_full_info() for worker in workers_of(gunicorn)]
    sizes = [f"{one.rss / 1e6:.0f} (share {one.pss / 1e6:.0f})" for one in memory]
    return f"{' + '.join(sizes)} MB"


def choose_read(rng: random.Random) -> bytes:
    """A read as clients make it: mostly one order, at times a list."""
    key = rng.choice(KEYS)
    paths = (f"/orders/{key}", f"/orders/stream?cursor={key}&page_size=20", "/orders/sample", "/orders/count")
    return get(rng.choices(paths, weights=[12, 4, 1, 1])[0])


def choose_write(rng: random.Random) -> bytes:
    """A change of the status of some order."""
    return post(f"/orders/{rng.choice(KEYS)}/status", f'{{"o_orderstatus": "{rng.choice("FOP")}"}}')


def find_unexpected(reads: list[Sample], writes: list[Sample], done: Counter[str]) -> list[str]:
    """The failures that the faults do not explain, by kind."""
    unexpected = []
    failures = Counter(sample.outcome for sample in reads + writes if sample.outcome != OK)
    cut_by_kill = sum(count for kind, count in failures.items() if kind in WORKER_ERRORS)
    if cut_by_kill > done["kill_worker"] * (READERS + WRITERS):
        unexpected.append(f"{cut_by_kill} connections lost, by {done['kill_worker']} kills")
    if failures[LOST_WRITE] > done.total() * WRITERS:
        unexpected.append(f"{failures[LOST_WRITE]} × {LOST_WRITE}, by {done.total()} faults")
    unexpected += [f"read {sample.outcome}" for sample in reads if sample.outcome == LOST_WRITE]
    known = {OK, LOST_WRITE, *WORKER_ERRORS}
    return unexpected + [f"{count} × {kind}" for kind, count in failures.items() if kind not in known]


def main(arguments: Sequence[str]) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.disable(logging.ERROR)
    with open_lakebase() as lakebase:
        lakebase.workspace.token_life = TOKEN_LIFE
        with start(lakebase) as gunicorn:
            return soak(lakebase, gunicorn, options.minutes * 60, options.seed)


def soak(lakebase: LakebaseStandIn, gunicorn: GunicornProcess, seconds: float, seed: int) -> int:
    """Ask and break for so long, and print what came of it; returns the exit status."""
    rng = random.Random(seed)
    faults = Faults(lakebase, gunicorn, random.Random(seed))
    ends = time.monotonic() + seconds
    with (
        Load(gunicorn.port, lambda: choose_read(rng), clients=READERS, pause=PAUSE) as reads,
        Load(gunicorn.port, lambda: choose_write(rng), clients=WRITERS, pause=PAUSE) as writes,
    ):
        reads.wait_for_each(1)
        time.sleep(WARMING)
        memory_at_start = describe_memory(gunicorn)
        while time.monotonic() < ends:
            faults.strike()
            time.sleep(faults.rng.uniform(*QUIET))
        memory_at_end = describe_memory(gunicorn)
    unexpected = find_unexpected(reads.samples, writes.samples, faults.done)
    print_outcome("reads", reads.samples)
    print_outcome("writes", writes.samples)
    print("faults:", ", ".join(f"{count} × {kind}" for kind, count in sorted(faults.done.items())))
    print(f"tokens: {lakebase.workspace.mints}, logins: {lakebase.workspace.logins_accepted}")
    print(f"memory at start: {memory_at_start}\nmemory at end: {memory_at_end}")
    print("unexpected:", "; ".join(unexpected) or "nothing")
    return 1 if unexpected else 0


def print_outcome(what: str, samples: list[Sample]) -> None:
    """Say how many there were, how they failed and how long they took."""
    failures = ", ".join(f"{count} × {kind}" for kind, count in count_failures(samples).items())
    print(f"{what}: {len(samples)}, failed: {failures or 'none'}")
    print(f"{what}: 99 % within {percentile(samples, 0.99) * 1000:.0f} ms, slowest {slowest(samples):.2f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
