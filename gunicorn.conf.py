"""How gunicorn serves the app. https://gunicorn.org/reference/settings/"""

import ctypes
import gc
import logging
import resource
from contextlib import suppress
from pathlib import Path
from typing import Any

# Until the fork: nothing that is imported is garbage, and to look for some takes a tenth of the start.
gc.disable()

from lakebase_api.app import get_service
from lakebase_api.environment import SettingsError
from lakebase_api.risks import find_risks
from lakebase_api.web.logs import build_logging_config
from lakebase_api.web.process import end_if_stopped, leave

try:
    from wsgi import app, settings
except SettingsError as error:
    raise SystemExit(str(error)) from None

bind = settings.address
worker_class = "lakebase_api.web.worker.Worker"
workers = settings.workers
threads = settings.threads
# Each is an open file, as are the connections to the database.
open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
worker_connections = 1000 if open_files == resource.RLIM_INFINITY else max(10, min(1000, open_files - 200))
# Imported once in the master: the workers share its memory, and open what they need after the fork.
preload_app = True
# Above the 60 s of the usual load balancers, so that they close idle connections and never we.
keepalive = 75
# Databricks Apps kills 15 s after SIGTERM. The workers leave by themselves 2 s before this.
graceful_timeout = 11
# In memory: a heartbeat never waits for a disk, and a read-only file system is enough.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
# The longest it allows; a longer one is answered 414 by gunicorn itself.
limit_request_line = 8190
# By default headers of a client on this machine may say where the app is mounted, and that it used https.
# Whom to believe is for FORWARDED_HOPS to say: these believe nobody, and nobody is looked up for them.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
forwarded_allow_ips = "*"
# All gunicorns of a user would share it.
control_socket_disable = True
logconfig_dict = build_logging_config(settings)
# No line of ours says where in the code, or in which thread, it was logged.
# https://docs.python.org/3/howto/logging.html#optimization
logging._srcfile = None
logging.logThreads = logging.logMultiprocessing = False
# Else glibc has each thread allocate from memory of its own, up to eight for each processor, though only
# one thread runs at a time. Other C libraries have no such setting.
M_ARENA_MAX = -8
with suppress(AttributeError):
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def when_ready(server: Any) -> None:
    # What is imported stays for ever. The collector would look through all of it now and then, which stops
    # every thread of a worker for up to 0.1 s each time, and writes to pages that the workers share.
    gc.freeze()
    values = " ".join(f"{name}={value}" for name, value in settings.describe().items())
    logger = logging.getLogger("lakebase_api")
    logger.info("Settings: %s", values)
    for risk in find_risks(settings):
        logger.warning("Settings: %s", risk)


def post_fork(server: Any, worker: Any) -> None:
    gc.enable()
    end_if_stopped(server.SIG_QUEUE)
    worker.prepare(drain_delay=settings.drain_delay, client_timeout=settings.client_timeout)


def post_worker_init(worker: Any) -> None:
    get_service(app).open(is_stopping=lambda: not worker.alive)


def worker_exit(server: Any, worker: Any) -> None:
    if worker.booted:  # else its exit status tells the master that starting again is of no use
        leave(get_service(app).close)
