"""Gives each worker a processor of its own."""

import os
import socket
from zlib import crc32


def choose_first(address: str, workers: int) -> int:
    """The number of the first of so many workers; ``address`` is ``host:port`` or ``unix:path``.

    Masters that share a host are to choose different ones: those of neighbouring ports do, and those in
    containers, whose host names are random, mostly do.
    """
    port = address.rpartition(":")[2]
    return crc32(socket.gethostname().encode()) + (int(port) * workers if port.isdigit() else 0)


def pin(number: int) -> None:
    """Keep the calling thread, and those that it starts, on one processor: another for each number.

    Only one thread of a process runs Python code at any moment. When the next one sits on another processor,
    each change of hands wakes that processor up and begins with cold caches. Does nothing but on Linux.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[number % len(allowed)]})
