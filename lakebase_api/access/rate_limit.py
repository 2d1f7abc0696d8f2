"""How much one caller may ask for within a time, counted for all workers of a host."""

import hashlib
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from lakebase_api.access.shared_slots import SharedSlots
from lakebase_api.addresses import name_network


@dataclass(frozen=True)
class Policy:
    """A quota of so many units, in each window of so many seconds. Immutable."""

    name: str
    quota: int
    window: int


@dataclass(frozen=True)
class Standing:
    """What is left of a quota, and the seconds until all of it is there again."""

    policy: Policy
    is_allowed: bool
    remaining: int
    reset: float


# Of wrong logins from an address. A key cannot be guessed: it bounds what they cost, and lines in the log.
FAILED_LOGINS = Policy("failed-authentication", 600, 60)


# Units and seconds.
QUOTA = re.compile(r"[1-9][0-9]{0,8}/[1-9][0-9]{0,5}")


def parse_policy(name: str, text: str) -> Policy:
    """The policy of a text such as ``600/60``, units and seconds, which has been checked."""
    quota, window = map(int, text.split("/"))
    return Policy(name, quota, window)


class RateLimit:
    """The quotas used by all callers. Safe to share between threads, and between processes once open.

    A window begins with the first request of a caller after the end of the one before. What was taken beyond
    the quota, as the cost of an answer may be known only when it is made, is taken from the next windows.
    """

    def __init__(self, find_time: Callable[[], float] = time.monotonic) -> None:
        # On one host it is the same in all processes.
        self._find_time = find_time
        self._slots: SharedSlots | None = None

    def open(self) -> None:
        """Make the memory that is shared with processes forked later; once is enough. Raises ``OSError``."""
        self._slots = self._slots or SharedSlots()

    def close(self) -> None:
        """Let go of the memory. What is charged later counts no more."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.close()

    def take(self, policy: Policy, flow: str, cost: float = 1.0) -> Standing:
        """Take so much if anything is left of the flow's quota."""
        return self._change(policy, flow, cost, is_allowed=lambda used: used < policy.quota)

    def charge(self, policy: Policy, flow: str, cost: float) -> Standing:
        """Take so much whatever is left."""
        return self._change(policy, flow, cost, is_allowed=lambda used: True)

    def charge_failure(self, address: str) -> Standing:
        """Count a wrong login from an address; if there were too many it is not allowed."""
        return self.take(FAILED_LOGINS, name_network(address))

    def _change(
        self, policy: Policy, flow: str, cost: float, is_allowed: Callable[[float], bool]
    ) -> Standing:
        if (slots := self._slots) is None:
            return Standing(policy, is_allowed=True, remaining=policy.quota, reset=0.0)
        key = hashlib.blake2b(f"{policy.name}\n{flow}".encode("utf-8", "replace"), digest_size=16).digest()
        now = self._find_time()
        with slots.hold(key) as slot:
            if slot.ends <= now:
                windows = 1 + (now - slot.ends) // policy.window
                slot.used = max(0.0, slot.used - policy.quota * windows)
                slot.ends = now + policy.window
            allowed = is_allowed(slot.used)
            if allowed:
                slot.used += cost
            left = policy.quota - slot.used
            # A debt may last for more than this window.
            windows_owed = max(0.0, math.ceil(-left / policy.quota)) if left < 0 else 0
            return Standing(
                policy, allowed, max(0, math.floor(left)), slot.ends - now + windows_owed * policy.window
            )
