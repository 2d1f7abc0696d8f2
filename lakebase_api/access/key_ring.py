"""The API keys that are loaded: when they are loaded anew, and how long they are good when that fails."""

import threading
import time
from collections.abc import Callable, Collection, Mapping

from lakebase_api.access.api_keys import KeptKey
from lakebase_api.access.loading import Loading
from lakebase_api.access.refusals import CannotTell

# Seconds for which the keys are as they were loaded, and for which one of them is accepted meanwhile when
# they cannot be loaded anew.
FRESH = 60.0
GOOD = 600.0
# The same for who only watches how the service is doing, again and again: it must not keep a database awake
# that nobody else asks.
FRESH_TO_WATCH = 3600.0
# Seconds that somebody with a key that is loaded waits for a load, which may have to wake the database.
PATIENCE = 1.0
# Seconds after a load that failed until the next.
PAUSE = 2.0
# Seconds of which each is one use of a key, however often it is used.
HOUR = 3600
AWAY = "The API keys cannot be loaded now, so it is not known whether this is one."

# Loads the keys by their ids, and notes those with these ids as used.
LoadKeys = Callable[[Collection[str]], Mapping[str, KeptKey]]


class KeyRing:
    """Finds keys by their ids, and loads them when somebody asks: nothing is done while nobody does.

    Safe to share between threads. ``clock`` gives seconds.
    """

    def __init__(
        self, load: LoadKeys, *, clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE
    ) -> None:
        self._load_keys = load
        self._clock = clock
        self._patience = patience
        self._loading = Loading("API keys", self._load)
        self._keys: Mapping[str, KeptKey] = {}
        self._loaded_at = self._failed_at = float("-inf")
        self._noting = threading.Lock()
        self._used: set[str] = set()
        # The hour in which the use of a key was last noted.
        self._noted: dict[str, float] = {}

    def find(self, key_id: str, deadline: float, *, watches: bool = False) -> KeptKey | None:
        """The key, or ``None`` if there is none. Raises ``CannotTell``.

        It may wait until ``deadline``, a time of ``time.monotonic()``; for less where the key is known.
        ``watches``: it is for a look at how the service is doing.
        """
        keys, age = self._keys, self._clock() - self._loaded_at
        if age < (FRESH_TO_WATCH if watches and key_id in keys else FRESH):
            return keys.get(key_id)
        known = keys.get(key_id) if age < GOOD else None
        if self._clock() >= self._failed_at + PAUSE:
            load = self._loading.start()
            if load.wait(min(deadline, load.began + self._patience) if known else deadline):
                return self._keys.get(key_id)
        if known is None:
            raise CannotTell(AWAY)
        return known

    def note_use(self, key: KeptKey) -> None:
        """Have it noted with the next load that the key was used in this hour."""
        hour = time.time() // HOUR
        if self._noted.get(key.id) != hour:
            with self._noting:
                self._noted[key.id] = hour
                self._used.add(key.id)

    def _load(self) -> None:
        began = self._clock()
        with self._noting:
            used, self._used = self._used, set()
        try:
            self._keys = self._load_keys(used)
        except Exception:
            with self._noting:
                self._used |= used
            self._failed_at = self._clock()
            raise
        self._loaded_at = began
