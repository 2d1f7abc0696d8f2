"""Keeps the threads of a worker on one processor at a time.

Only one of them runs Python code at any moment. When the next one sits on another processor, each change of
hands wakes that processor up and begins with cold caches: a request then takes up to twice the CPU.
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

# Seconds between two choices of the processor.
INTERVAL = 1.0

STAT = Path("/proc/thread-self/stat")
# Of the fields after the name of the program, which may hold anything, the one with the processor.
# https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
PROCESSOR = 36


class Gathering:
    """Has all threads follow the calling one, which is always the same. Does nothing but on Linux.

    Now and then that one is let loose, and the system wakes it up on a processor that is idle if there is
    one. So a worker leaves a processor that others use, and no two workers stay on the same one.
    """

    def __init__(self) -> None:
        self._is_possible = hasattr(os, "sched_setaffinity") and STAT.exists()
        self._allowed = os.sched_getaffinity(0) if self._is_possible else set()
        self._is_loose = True
        self._let_loose_at = time.monotonic()

    def gather(self) -> None:
        """Let the calling thread loose, or have all follow it. To be called several times a second."""
        if not self._is_possible or len(self._allowed) < 2:
            return
        if self._is_loose:
            self._is_loose = False
            processor = int(STAT.read_bytes().rpartition(b")")[2].split()[PROCESSOR])
            for thread in threading.enumerate():
                if thread.native_id:
                    _allow(thread.native_id, {processor})
        elif time.monotonic() >= self._let_loose_at + INTERVAL:
            self._is_loose = True
            self._let_loose_at = time.monotonic()
            _allow(threading.get_native_id(), self._allowed)


def _allow(thread: int, processors: set[int]) -> None:
    with suppress(OSError):  # the thread has ended, or the processors are no longer ours
        os.sched_setaffinity(thread, processors)
