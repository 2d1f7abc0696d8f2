"""Requests at a fixed rate, sent whether or not those before are answered: how latency grows with load.

A latency is counted from the moment that the request was due. What waits because the service is late is
counted with it, where a closed loop would ask less often. https://www.scylladb.com/2021/04/22/on-coordinated-omission/
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# What a load balancer keeps to one instance; below what the service lets wait for a database connection, so
# that it answers all and sheds nothing.
CONNECTIONS = 48
# Seconds to wait for the last answers.
PATIENCE = 30.0
# Requests per second, and by how much the next rate is greater.
FIRST_RATE = 200.0
STEP = 1.25
# Seconds: half the answers come later than that only where more is asked than can be done.
SATURATED = 0.5
HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length: "


@dataclass
class Client:
    """One kept connection, and what it is waiting for."""

    sock: socket.socket
    due: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def send(self, request: bytes, due: float) -> None:
        """Ask; the answer is counted from when that was due."""
        self.due = due
        self.received.clear()
        self.sock.sendall(request)

    def receive(self) -> bool:
        """Take what came. Whether the answer is whole. Raises ``ConnectionError`` at its end."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError
        self.received += data
        head = self.received.find(HEAD_END)
        if head < 0:
            return False
        at = self.received.lower().find(LENGTH, 0, head) + len(LENGTH)
        length = int(self.received[at : self.received.find(b"\r\n", at)])
        return len(self.received) >= head + len(HEAD_END) + length

    @property
    def is_success(self) -> bool:
        """Whether the answer has the status 200."""
        return self.received[9:12] == b"200"


class OpenLoop:
    """Sends requests that are due, each on an idle connection or else on the first that becomes idle."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self._poller = selectors.DefaultSelector()
        self._idle: deque[Client] = deque()
        for _ in range(CONNECTIONS):
            client = Client(socket.create_connection(("127.0.0.1", port), PATIENCE))
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poller.register(client.sock, selectors.EVENT_READ, client)
            self._idle.append(client)
        self.latencies: list[float] = []
        self.failures = 0

    def run(self, rate: float, seconds: float) -> None:
        """Send so many requests a second; returns when all are answered, or nobody answers any more."""
        began = time.monotonic()
        due = deque(began + number / rate for number in range(round(rate * seconds)))
        sent = 0
        while len(self._idle) < CONNECTIONS or due:
            now = time.monotonic()
            if now > began + seconds + PATIENCE:
                self.failures += len(due) + CONNECTIONS - len(self._idle)
                return
            while due and due[0] <= now and self._idle:
                # The one idle the longest, so that all workers get their share.
                self._idle.popleft().send(self._requests[sent % len(self._requests)], due.popleft())
                sent += 1
            can_send = due and self._idle
            self._take_answers(max(0.0, due[0] - time.monotonic()) if can_send else PATIENCE)

    def close(self) -> None:
        """Close the connections."""
        for key in list(self._poller.get_map().values()):
            key.data.sock.close()
        self._poller.close()

    def _take_answers(self, longest: float) -> None:
        for key, _ in self._poller.select(longest):
            client: Client = key.data
            if client.receive():
                self.latencies.append(time.monotonic() - client.due)
                self.failures += not client.is_success
                self._idle.append(client)


@dataclass(frozen=True)
class LoadPoint:
    """How a service fares at one offered rate. Times are in seconds."""

    rate: float
    answered: float
    p50: float
    p99: float
    failures: int

    @property
    def is_saturated(self) -> bool:
        """Whether it falls behind."""
        return self.p50 > SATURATED


def climb(ports: Mapping[str, int], requests: Sequence[bytes], seconds: float) -> dict[str, list[LoadPoint]]:
    """Offer more and more to each service in turn, until it is saturated twice."""
    points: dict[str, list[LoadPoint]] = {name: [] for name in ports}
    for port in ports.values():
        offer(port, requests, FIRST_RATE, seconds)
    climbing, rate = list(ports), FIRST_RATE
    while climbing:
        for name in climbing:
            points[name].append(offer(ports[name], requests, rate, seconds))
        climbing = [name for name in climbing if sum(point.is_saturated for point in points[name]) < 2]
        rate *= STEP
    return points


def offer(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> LoadPoint:
    """Put one rate on a service for so long."""
    loop = OpenLoop(port, requests)
    began = time.monotonic()
    try:
        loop.run(rate, seconds)
    finally:
        loop.close()
    ordered = sorted(loop.latencies)
    answered = len(ordered) / (time.monotonic() - began)
    p50, p99 = (ordered[int(part * (len(ordered) - 1))] for part in (0.5, 0.99))
    return LoadPoint(rate, answered, p50, p99, loop.failures)
