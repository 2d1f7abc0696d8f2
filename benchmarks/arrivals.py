"""Requests that come at their own rate, whether or not those before are answered: an open loop."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from tests.load import Client, Sample


def arrive(port: int, request: bytes, plan: Sequence[tuple[float, float]]) -> list[Sample]:
    """Send requests at each (rate per second, seconds) of the plan; how they ended.

    Times are counted from the moment that a request is due, so that one which could not be sent in time
    shows. Connections are kept and used again, as a load balancer does.
    """
    return asyncio.run(_Arrivals(port, request).follow(plan))


class _Arrivals:
    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        # The one idle the longest goes first, so that all workers get their share.
        self._idle: deque[Client] = deque()
        self._samples: list[Sample] = []

    async def follow(self, plan: Sequence[tuple[float, float]]) -> list[Sample]:
        due = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for rate, seconds in plan:
                for _ in range(round(rate * seconds)):
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    tasks.create_task(self._send(due))
                    due += 1 / rate
        for client in self._idle:
            client.close()
        return self._samples

    async def _send(self, due: float) -> None:
        client = self._idle.popleft() if self._idle else Client(self._port)
        self._samples.append(await client.ask(self._request, due))
        self._idle.append(client)
