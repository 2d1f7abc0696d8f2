"""Loads what requests are checked with on a thread of its own, so that none of theirs is held by it."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from lakebase_api.lakebase.failures import MISTAKES, first_line

logger = logging.getLogger(__name__)


@dataclass
class Load:
    """One time that it is loaded. ``began`` is of ``time.monotonic()``."""

    began: float = field(default_factory=time.monotonic)
    ended: Future[None] = field(default_factory=Future)

    def wait(self, until: float) -> bool:
        """Whether it went well, and ended before then, a time of ``time.monotonic()``."""
        try:
            return self.ended.exception(max(0.0, until - time.monotonic())) is None
        except TimeoutError:
            return False


class Loading:
    """Loads something anew, one time after the other. Safe to share between threads.

    ``load`` takes over what it has loaded. ``what`` that is, the log says when it fails.
    """

    def __init__(self, what: str, load: Callable[[], None]) -> None:
        self._what = what
        self._load = load
        self._lock = threading.Lock()
        self._under_way: Load | None = None

    def start(self) -> Load:
        """The load that is under way, which is begun now unless it was."""
        with self._lock:
            if self._under_way is None:
                load = self._under_way = Load()
                try:
                    threading.Thread(target=self._run, args=(load,), name=self._what, daemon=True).start()
                except RuntimeError as error:  # as many as the system allows: of that there may be fewer soon
                    self._under_way = None
                    load.ended.set_exception(error)
                return load
            return self._under_way

    def _run(self, load: Load) -> None:
        error = None
        try:
            self._load()
        except Exception as raised:
            why, mistake = first_line(raised), raised if isinstance(raised, MISTAKES) else None
            logger.warning(
                "Loading %s failed: %s: %s", self._what, type(raised).__name__, why, exc_info=mistake
            )
            error = raised
        with self._lock:
            self._under_way = None
        if error:
            load.ended.set_exception(error)
        else:
            load.ended.set_result(None)
