"""Room for those who hold or await something, of which one caller leaves a part to others."""

import threading


class Places:
    """So many places. Safe to share between threads.

    One flow, which is all that is asked on behalf of one caller, has ``most_of_one`` at the most while it is
    alone, and half of all while there are others, but ``always`` as many as that.
    """

    def __init__(self, most: int, most_of_one: int, *, always: int = 1) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._most_alone = max(most_of_one, always)
        self._most_beside_others = max(most // 2, always)
        self._taken = 0
        self._by_flow: dict[str, int] = {}

    def take(self, flow: str) -> bool:
        """Whether there was a place for the flow, which it has to leave then."""
        with self._lock:
            own = self._by_flow.get(flow, 0)
            most_own = self._most_alone if own == self._taken else self._most_beside_others
            if self._taken >= self._most or own >= most_own:
                return False
            self._taken += 1
            self._by_flow[flow] = own + 1
            return True

    def leave(self, flow: str) -> None:
        """Make room for another."""
        with self._lock:
            self._taken -= 1
            self._by_flow[flow] -= 1
            if not self._by_flow[flow]:
                del self._by_flow[flow]
