"""Answers that end before their time: because the client is gone, or because they cannot go on."""

import errno
import select

from lakebase_api.lakebase.results import Wait

# Linux alone says that only the other side has closed; elsewhere that is a hang-up.
HANGUP = getattr(select, "POLLRDHUP", 0)


class CutShort(BrokenPipeError):
    """An answer cannot go on, and the log says why.

    gunicorn then closes the connection as if the client had, before the end of the body: the client sees it.
    """

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "cut short")


class ClientGone(CutShort):
    """Nobody waits for the answer any more."""


def build_wait(client: int | None) -> Wait:
    """What waits until there is something to read at a descriptor; raises ``ClientGone`` instead.

    ``client`` is the descriptor of the client's socket, where there is one.
    """

    def wait(descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if client is not None:
            poll.register(client, HANGUP)
        if any(found == client for found, _ in poll.poll()):
            raise ClientGone

    return wait
