"""Gives each worker a processor of its own."""

import os
import random


def choose_first() -> int:
    """Where the workers of a master begin to count: masters on one host are not to choose the same."""
    return random.randrange(1 << 16)


def pin(number: int) -> None:
    """Keep the calling thread, and those that it starts, on one processor: another for each number.

    Only one thread of a process runs Python code at any moment. When the next one sits on another processor,
    each change of hands wakes that processor up and begins with cold caches. Does nothing but on Linux.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[number % len(allowed)]})
