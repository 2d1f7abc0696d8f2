"""Restarts two instances behind nginx one after the other, under load: no request may be lost.

`python -m benchmarks.rolling_restart` prints the figures and exits with 1 when a bound is missed. It needs
nginx.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.harness import POOL, Figure, answers, failed, open_lakebase, slowest, wait_until
from lakebase_api.local.ports import free_port
from tests.gunicorn_process import PATIENCE, GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.load import Load, count_failures, get, post

CLIENTS = 16
ROUNDS = 2
# Seconds of load before, between and after the restarts.
STEADY = 2.0
# The drain delay as it is by default: the tests' own is 0.
SETTINGS = {"WEB_CONCURRENCY": "2", "LOG_LEVEL": "WARNING", "DRAIN_DELAY": "2", **POOL}
# Where Debian has it, which is not on everybody's path.
SEARCHED = f"{os.environ['PATH']}:/usr/sbin"
REQUESTS = [get("/orders/1"), post("/orders/1/status", '{"o_orderstatus": "F"}')]

# An instance that refused a connection is asked again at once: it may be back. What was sent to an instance
# is sent to the other one only if it is a GET and the connection broke: nginx's default.
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream api {{
    server 127.0.0.1:{first} max_fails=0;
    server 127.0.0.1:{second} max_fails=0;
    keepalive 32;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://api;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
}}
"""


@contextmanager
def balance(first: int, second: int) -> Iterator[int]:
    """nginx in front of two ports of 127.0.0.1; gives its own."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        file = Path(folder) / "nginx.conf"
        file.write_text(CONFIGURATION.format(folder=folder, first=first, second=second, port=port))
        nginx = subprocess.Popen(
            [shutil.which("nginx", path=SEARCHED) or "nginx", "-e", f"{folder}/error.log", "-c", str(file)]
        )
        try:
            wait_until((Path(folder) / "nginx.pid").exists)  # written once it listens
            yield port
        finally:
            nginx.send_signal(signal.SIGTERM)
            nginx.wait(PATIENCE)


class Instance:
    """The service at a port of its own, which can be restarted."""

    def __init__(self, environment: dict[str, str], stack: ExitStack) -> None:
        self.port = free_port()
        self._environment = environment
        self._stack = stack
        self._start()

    def restart(self) -> float:
        """Stop it, start it anew, wait until it is ready; the seconds that stopping took."""
        began = time.monotonic()
        self._gunicorn.process.send_signal(signal.SIGTERM)
        self._gunicorn.process.wait(PATIENCE)
        took = time.monotonic() - began
        self._start()
        return took

    def _start(self) -> None:
        self._gunicorn = self._stack.enter_context(GunicornProcess(self._environment, self.port))
        wait_until(lambda: answers(self._gunicorn, "/readyz"))


def roll(lakebase: LakebaseStandIn) -> Iterator[Figure]:
    """Two instances behind nginx are restarted one after the other, under reads and writes."""
    if not shutil.which("nginx", path=SEARCHED):
        yield Figure("skipped: nginx is not installed", 0)
        return
    environment = {**lakebase.environment(), **SETTINGS}
    requests = itertools.cycle(REQUESTS)
    with ExitStack() as stack:
        instances = [Instance(environment, stack) for _ in range(2)]
        port = stack.enter_context(balance(instances[0].port, instances[1].port))
        with Load(port, lambda: next(requests), clients=CLIENTS) as load:
            load.wait_for_each(10)
            stops = []
            for instance in instances * ROUNDS:
                time.sleep(STEADY)
                stops.append(instance.restart())
            time.sleep(STEADY)
    samples = load.samples
    yield Figure("requests, reads and writes", len(samples))
    yield failed(count_failures(samples), "lost requests")
    yield Figure("slowest request", slowest(samples), "ms")
    yield Figure("slowest stop", max(stops), "s", at_most=12)


def main() -> int:
    """Run it on a stand-in; returns the exit status."""
    with open_lakebase() as lakebase:
        figures = list(roll(lakebase))
    print(*figures, sep="\n")
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
