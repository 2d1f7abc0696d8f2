"""nginx and HAProxy as docs/nginx.conf and docs/haproxy.cfg set them up, in front of two instances."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lakebase_api.local.ports import free_port
from tests.gunicorn_process import ROOT
from tests.waiting import PATIENCE

# Where Debian has them, which is not on everybody's path.
SEARCHED = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
NGINX, HAPROXY = "nginx", "haproxy"
NAMES = (NGINX, HAPROXY)

# What a distribution has around the file: it compresses, as Debian's does.
AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  gzip on;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/site.conf;
}}
"""
CERTIFICATE_LINES = r"  ssl_certificate\w* .*\n"


@dataclass(frozen=True)
class ReverseProxy:
    """A proxy that runs, at a port of 127.0.0.1; ``log`` is what it writes of requests."""

    name: str
    port: int
    log: Path
    is_tls: bool

    @property
    def url(self) -> str:
        """Where it listens; its certificate is for localhost."""
        return f"https://localhost:{self.port}" if self.is_tls else f"http://127.0.0.1:{self.port}"


def find_program(name: str) -> str | None:
    """Where the program is, if it is installed."""
    return shutil.which(name, path=SEARCHED)


@contextmanager
def open_proxy(
    name: str, ports: Sequence[int], folder: Path, certificate: Path | None = None
) -> Iterator[ReverseProxy]:
    """The proxy in front of two ports of 127.0.0.1, until the context is left.

    ``certificate`` is a file with a key and its certificates; without it the proxy speaks plain HTTP, which
    is the one thing that is then not as docs/ has it. Raises ``TimeoutError`` when it does not listen.
    """
    proxy = ReverseProxy(name, free_port(), folder / "requests.log", is_tls=certificate is not None)
    program = find_program(name)
    assert program, f"{name} is not installed"
    write = _write_nginx if name == NGINX else _write_haproxy
    command = write(proxy, ports, folder, certificate)
    with proxy.log.open("wb") as log:
        process = subprocess.Popen([program, *command], stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_it_listens(proxy, process)
            yield proxy
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)


def _write_nginx(
    proxy: ReverseProxy, ports: Sequence[int], folder: Path, certificate: Path | None
) -> list[str]:
    text = _name_instances((ROOT / "docs/nginx.conf").read_text(), ports)
    text = _replace(text, "/var/log/nginx/api.log", str(proxy.log))
    if certificate:
        text = _replace(text, "/etc/nginx/api.crt", str(certificate))
        text = _replace(text, "/etc/nginx/api.key", str(certificate))
        text = _replace(text, "listen 443 ssl;", f"listen 127.0.0.1:{proxy.port} ssl;")
    else:
        text = _replace(text, "listen 443 ssl;", f"listen 127.0.0.1:{proxy.port};")
        text = re.sub(CERTIFICATE_LINES, "", text)
    (folder / "site.conf").write_text(text)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
    return ["-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def _write_haproxy(
    proxy: ReverseProxy, ports: Sequence[int], folder: Path, certificate: Path | None
) -> list[str]:
    text = _name_instances((ROOT / "docs/haproxy.cfg").read_text(), ports)
    if certificate:
        text = _replace(text, "bind :443", f"bind 127.0.0.1:{proxy.port}")
        text = _replace(text, "/etc/haproxy/api.pem", str(certificate))
    else:
        text, found = re.subn("bind :443 .*", f"bind 127.0.0.1:{proxy.port}", text)
        assert found == 1
    # A name of the whole machine: several tests may run at once.
    text = _replace(text, "abns@lakebase-api-changes", f"abns@lakebase-api-changes-{proxy.port}")
    (folder / "haproxy.cfg").write_text(text)
    return ["-db", "-f", f"{folder}/haproxy.cfg"]


def _name_instances(text: str, ports: Sequence[int]) -> str:
    first, second = ports
    return _replace(
        _replace(text, "127.0.0.1:8000", f"127.0.0.1:{first}"), "127.0.0.1:8001", f"127.0.0.1:{second}"
    )


def _replace(text: str, documented: str, used: str) -> str:
    assert documented in text, documented
    return text.replace(documented, used)


def _wait_until_it_listens(proxy: ReverseProxy, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", proxy.port), PATIENCE).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"{proxy.name} does not listen:\n{proxy.log.read_text()}")
