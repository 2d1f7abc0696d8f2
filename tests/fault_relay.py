"""The process behind `tests.fault_proxy`: relays TCP to PostgreSQL and misbehaves on command.

A line of input is a command, with its number; a line of output the counts and the number of the last command
done. The end of the input ends it.
"""

import asyncio
import json
import signal
import ssl
import sys
from dataclasses import asdict
from typing import Any

from tests.fault_connection import HOST, Client, Network, build_error


class Relay:
    """The listener, and what is done to its connections."""

    def __init__(self, server_port: int, tls: ssl.SSLContext | None) -> None:
        self._network = Network(server_port, tls, self._report_soon)
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._done = 0
        self._report_is_due = False

    async def listen(self, port: int) -> None:
        """Take connections on the port, now and after each ``heal``."""
        self._port = port
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Client(self._network), HOST, port, backlog=1024)

    async def obey(self, number: int, command: str, argument: Any) -> None:
        """Do what a line of input says, and report."""
        network = self._network
        match command:
            case "cut":
                self.cut()
                await asyncio.sleep(0)  # sockets close in the loop's next turn: a report before it would lie
            case "refuse" if self._listener:
                self._listener.close()
                self._listener = None
            case "turn_away":
                network.refusal = build_error(*argument)
            case "stall":
                network.is_stalled = True
            case "forget":
                for client in network.clients:
                    client.is_silent = True
            case "slow":
                network.delay = argument
            case "heal":
                network.delay, network.is_stalled, network.refusal = 0.0, False, None
                if self._listener is None:
                    await self.listen(self._port)
        self._done = number
        self.report()

    def cut(self) -> None:
        """Reset every open connection."""
        for client in list(self._network.clients):
            client.end(reset=True)

    def report(self) -> None:
        """Tell the process that started this one."""
        self._report_is_due = False
        counts = self._network.counts
        counts.open = len(self._network.clients)
        sys.stdout.write(json.dumps({"done": self._done, **asdict(counts)}) + "\n")
        sys.stdout.flush()

    def _report_soon(self) -> None:
        """Report once for all that happens in this turn of the loop."""
        if not self._report_is_due:
            self._report_is_due = True
            asyncio.get_running_loop().call_soon(self.report)


async def serve(port: int, server_port: int, certificate: str | None = None) -> None:
    """Relay until the input ends."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    relay = Relay(server_port, tls)
    await relay.listen(port)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    relay.report()
    while line := await commands.readline():
        await relay.obey(*json.loads(line))
    relay.cut()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, whose end is the end of the input
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
