"""What becomes of requests when the workspace gives no tokens, or the database refuses one."""

import math
import time
from collections.abc import Iterator

from benchmarks.harness import (
    ORDER,
    WORKERS,
    Figure,
    failed,
    first_success_after,
    last_failure_after,
    other_failures,
    probing,
    reading,
    serve,
    slowest,
    wait_until,
)
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import Load

CLIENTS = 8
FAULTS = ("500", "403", "429", "hanging", "unreachable")
# Connections are replaced all the time, so that tokens are needed. All times are in seconds.
RECYCLE = {"DB_POOL_RECYCLE_INTERVAL": "1"}
SHORT_FAULT = 5.0
LONG_FAULT = 12.0
SHORT_LIFE = 4.0
# One mint in 2 s for each worker, and the one with which it begins.
MINTS_PER_SECOND = WORKERS / 2
RETURN_BOUND = 5.0
PROBE_BOUND = 0.1


def lose_workspace_shortly(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The workspace fails in each way for five seconds, while the token lives."""
    for how in FAULTS:
        with (
            serve(lakebase, TOKEN_REFRESH_INTERVAL="1", **RECYCLE) as gunicorn,
            reading(gunicorn, CLIENTS) as load,
        ):
            asked = lakebase.workspace.events.count("credential_request")
            _break_workspace(lakebase, how)
            time.sleep(SHORT_FAULT)
            asked = lakebase.workspace.events.count("credential_request") - asked
            lakebase.workspace.heal()
            time.sleep(1)
        yield failed(load.failures(), f"{how}: failed reads")
        yield from _count_mints(how, asked, SHORT_FAULT)


def lose_workspace(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """The workspace fails in each way for longer than the token lives."""
    for how in FAULTS:
        with serve(lakebase, **RECYCLE) as gunicorn:
            yield from _outlive_token(lakebase, gunicorn, how)


def refuse_token(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Tokens that look alive are refused, five times, each time with all connections cut."""
    with serve(lakebase) as gunicorn, reading(gunicorn, CLIENTS) as load:
        mints = lakebase.workspace.mints
        for _ in range(5):
            lakebase.workspace.revoke_all()
            lakebase.proxy.cut()
            time.sleep(4)
        mints = lakebase.workspace.mints - mints
    yield failed(load.failures())
    yield Figure("slowest read", slowest(load.samples), "s", at_most=RETURN_BOUND)
    yield Figure("mints", mints, at_most=5 * WORKERS)


def refuse_every_token(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Every token is refused for ten seconds, the newest too."""
    with serve(lakebase, WAKE_BUDGET="2") as gunicorn, _asking(gunicorn) as load:
        mints = lakebase.workspace.mints
        began = time.monotonic()
        lakebase.proxy.refuse_logins()
        lakebase.proxy.cut()
        time.sleep(10)
        mints = lakebase.workspace.mints - mints
        lakebase.proxy.heal()
        healed = time.monotonic()
        time.sleep(RETURN_BOUND + 1)
    yield Figure("mints in 10 s", mints, at_most=WORKERS + (healed - began) * MINTS_PER_SECOND)
    returned = last_failure_after(load.samples, healed)
    yield Figure("last failure after the return", returned, "s", at_most=RETURN_BOUND)


def _asking(gunicorn: GunicornProcess) -> Load:
    """Clients that wait for nothing, so that it shows when the service is back."""
    return Load(gunicorn.port, lambda: ORDER, clients=CLIENTS, pause=0.1)


def _outlive_token(lakebase: LakebaseStandIn, gunicorn: GunicornProcess, how: str) -> Iterator[Figure]:
    lakebase.workspace.token_life = SHORT_LIFE
    # The tokens of before live an hour: the next connections need new ones.
    lakebase.workspace.revoke_all()
    lakebase.proxy.cut()
    wait_until(lambda: gunicorn.get("/orders/1").status_code == 200)
    with probing(gunicorn) as probes, _asking(gunicorn) as load:
        time.sleep(1)
        asked = lakebase.workspace.events.count("credential_request")
        _break_workspace(lakebase, how)
        time.sleep(LONG_FAULT)
        # Each worker knows of its own token, and one that nobody asks needs none.
        said = wait_until(lambda: _says_that_token_is_missing(gunicorn), patience=1.0)
        asked = lakebase.workspace.events.count("credential_request") - asked
        _mend_workspace(lakebase, how)
        healed = time.monotonic()
        time.sleep(RETURN_BOUND + 2)
    kinds = other_failures(load.samples, "503")
    yield failed(kinds, f"{how}: failures of another kind than 503")
    yield Figure(f"{how}: said by /readyz?verbose", math.isfinite(said), at_least=1)
    yield Figure(f"{how}: said in the log", "failed: " in gunicorn.output, at_least=1)
    yield from _count_mints(how, asked, LONG_FAULT)
    returned = first_success_after(load.samples, healed)
    settled = last_failure_after(load.samples, healed)
    yield Figure(f"{how}: first success after its return", returned, "s", at_most=RETURN_BOUND)
    yield Figure(f"{how}: last failure after its return", settled, "s", at_most=RETURN_BOUND)
    yield Figure(f"{how}: slowest probe", slowest(probes.samples), "ms", at_most=PROBE_BOUND)


def _says_that_token_is_missing(gunicorn: GunicornProcess) -> bool:
    answer = gunicorn.get("/readyz?verbose", Connection="close")
    return bool(answer.json()["parts"]["token"] != "ok")


def _count_mints(how: str, asked: int, seconds: float) -> Iterator[Figure]:
    """Mints asked for meanwhile; who does not listen cannot count them."""
    if how != "unreachable":
        most = WORKERS + seconds * MINTS_PER_SECOND
        yield Figure(f"{how}: mints asked for in {seconds:.0f} s", asked, at_least=1, at_most=most)


def _break_workspace(lakebase: LakebaseStandIn, how: str) -> None:
    if how == "unreachable":
        lakebase.workspace.refuse_connections()
    elif how == "hanging":
        lakebase.workspace.hang("credentials")
    else:
        lakebase.workspace.fail("credentials", int(how))


def _mend_workspace(lakebase: LakebaseStandIn, how: str) -> None:
    if how == "unreachable":
        lakebase.workspace.heal()
    else:  # a call that hangs is lost: nobody ends it when the workspace comes back
        lakebase.workspace.answer_again()
