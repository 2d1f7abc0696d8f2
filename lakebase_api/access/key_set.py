"""The keys of the identity provider: when they are fetched, and how long they are good when that fails."""

import threading
import time
from collections.abc import Callable, Sequence

from lakebase_api.access.loading import Load, Loading
from lakebase_api.access.provider import SigningKey
from lakebase_api.access.refusals import CannotTell

# Seconds for which nobody fetches them again unless a token names another key, and after which somebody who
# comes waits for a moment to see that a key is still one; and for which they are good while nobody answers.
FRESH = 600.0
LATE = 1200.0
GOOD = 24 * 3600.0
# Seconds from one time that they are fetched to the next because a token names a key that is not among them,
# or because the provider does not answer while there are keys; and while there are none.
INTERVAL = 30.0
PAUSE = 2.0
# Seconds that a request waits for a fetch to end: where the key is among those that are good, and else.
PATIENCE = 1.0
FETCH_TIME = 3.0
AWAY = "The identity provider does not answer, so it is not known whether the token is good."


class KeySet:
    """Finds the keys that tokens are signed with. Safe to share between threads.

    They are fetched when somebody asks, on a thread of its own. ``clock`` gives seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Sequence[SigningKey]],
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
        fetch_time: float = FETCH_TIME,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._patience, self._fetch_time = patience, fetch_time
        self._loading = Loading("keys of the identity provider", self._load)
        self._keys: Sequence[SigningKey] = ()
        self._fetched_at = self._tried_at = float("-inf")
        self._trying = threading.Lock()
        self._latest: Load | None = None

    def find(self, key_id: str | None, algorithm: str, deadline: float) -> SigningKey | None:
        """The key of a token, or ``None`` if it is not one of the provider's. Raises ``CannotTell``.

        It may wait until ``deadline``, a time of ``time.monotonic()``, and not longer than for a fetch.
        """
        age = self._clock() - self._fetched_at
        known = _choose(self._keys, key_id, algorithm) if age < GOOD else None
        if known and age < FRESH:
            return known
        load = self._fetch_again(INTERVAL if age < GOOD else PAUSE)
        patience = self._fetch_time if known is None else self._patience if age >= LATE else 0.0
        if load.wait(min(deadline, load.began + patience)):
            return _choose(self._keys, key_id, algorithm)
        if known is None:
            raise CannotTell(AWAY)
        return known

    def _fetch_again(self, interval: float) -> Load:
        """The latest fetch, which is begun now if the one before was begun so many seconds ago."""
        with self._trying:
            if self._latest is None or self._clock() >= self._tried_at + interval:
                self._tried_at = self._clock()
                self._latest = self._loading.start()
            return self._latest

    def _load(self) -> None:
        self._keys = self._fetch()
        self._fetched_at = self._clock()


def _choose(keys: Sequence[SigningKey], key_id: str | None, algorithm: str) -> SigningKey | None:
    """The key that the token names; the only one that fits if it names none."""
    fitting = [key for key in keys if key.fits(algorithm) and key_id in (None, key.id)]
    return fitting[0] if len(fitting) == 1 else None
