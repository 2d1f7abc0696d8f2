"""`make faults`: breaks everything around the service and holds what clients see against bounds.

Prints one table and exits with 1 when a bound is missed. `--only NAME` runs one scenario, `--list` names
them.
"""

import argparse
import gc
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks import abuse, clients, conditions, fuzz, outages, pressure, rolling_restart, tokens
from benchmarks.harness import Figure, Lateness, open_lakebase
from tests.lakebase_stand_in import LakebaseStandIn

Scenario = Callable[[LakebaseStandIn], Iterator[Figure]]

SCENARIOS: dict[str, Scenario] = {
    "kill": outages.kill,
    "cut": outages.cut,
    "refuse": outages.refuse,
    "start-up": outages.start_up,
    "stay-away": outages.stay_away,
    "stall": outages.stall,
    "forget": outages.forget,
    "workspace-shortly": tokens.lose_workspace_shortly,
    "workspace-long": tokens.lose_workspace,
    "token-refused": tokens.refuse_token,
    "tokens-refused": tokens.refuse_every_token,
    "overload": pressure.overload,
    "deadline": pressure.exceed_deadline,
    "server-full": pressure.fill_server,
    "idle": conditions.idle,
    "boot": conditions.boot,
    "demoted": conditions.demote,
    "crowd": clients.crowd,
    "send-slowly": clients.send_slowly,
    "read-nothing": clients.read_nothing,
    "fuzz": fuzz.fuzz,
    "stop-stalled": clients.stop_stalled,
    "rolling-restart": rolling_restart.restart_each,
    "instance-killed": rolling_restart.kill_each,
    "stop-stalled-sooner": clients.stop_stalled_sooner,
    "amplify": abuse.amplify,
    "pile-up": abuse.pile_up,
    "ask-dearly": abuse.ask_dearly,
    "starve": abuse.starve,
    "share": abuse.share,
    "export-slowly": abuse.export_slowly,
}


def main(arguments: Sequence[str]) -> int:
    """Run the scenarios; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the scenarios and what they do")
    options = parser.parse_args(arguments)
    chosen = options.only or list(SCENARIOS)
    if options.list:
        for name in chosen:
            print(f"{name:<17} {SCENARIOS[name].__doc__}")
        return 0
    logging.disable(logging.ERROR)
    # Else what is imported is collected now and then, and the clients themselves are up to 0.1 s late.
    gc.freeze()
    with open_lakebase() as lakebase:
        missed = sum(run(name, lakebase) for name in chosen)
    print(f"\n{missed} figures missed their bound." if missed else "\nEvery figure is within its bound.")
    return 1 if missed else 0


def run(name: str, lakebase: LakebaseStandIn) -> int:
    """Run one scenario and print its figures; returns how many miss their bound."""
    started = time.monotonic()
    missed = 0
    with Lateness() as lateness:
        for figure in SCENARIOS[name](lakebase):
            print(f"{name:<17} {figure}", flush=True)
            missed += not figure.is_met
    took = time.monotonic() - started
    print(
        f"{name:<17} took {took:.0f} s; this machine was up to {lateness.worst * 1000:.0f} ms late",
        flush=True,
    )
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
