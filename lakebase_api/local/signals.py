"""When a local run ends: on SIGINT, SIGTERM or SIGHUP, and when the process that started it is gone."""

import os
import signal
import threading
import time
from types import FrameType

INTERVAL = 0.5  # seconds between two looks at the parent


def end_on_request() -> None:
    """Have the first request to end raise KeyboardInterrupt in the main thread; later ones do nothing.

    One wish is enough, and a second would interrupt the orderly end the first one began.
    """
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
        signals.remove(signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in signals:
        signal.signal(each, interrupt)


def end_with_parent() -> None:
    """Ask this process to end when its parent is gone: a `make` that is killed takes its run with it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(INTERVAL)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
