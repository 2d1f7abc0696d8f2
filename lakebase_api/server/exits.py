"""How a worker's process ends."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import NoReturn

# Seconds to close what the app holds open.
CLOSE_TIMEOUT = 1.0


def exit_if_terminated(signals: "SimpleQueue[int]") -> None:
    """Heed a SIGTERM that came before the worker had a handler for it; for gunicorn's ``post_fork``.

    ``signals`` is the master's queue, to which the handlers that the fork copied add. Without this the worker
    would serve on until the master kills it.
    """
    # There is nothing to finish yet.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while not signals.empty():
        if signals.get() == signal.SIGTERM:
            sys.exit(0)


def exit_soon(close: Callable[[], None]) -> NoReturn:
    """Call ``close`` and end this process, even if the database hangs and threads wait for it.

    The interpreter would wait for every thread. The status is that of the ``SystemExit`` under way.
    """
    leaving = sys.exception()
    status = leaving.code if isinstance(leaving, SystemExit) else 1
    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(CLOSE_TIMEOUT)
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))
