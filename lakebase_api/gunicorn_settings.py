"""How gunicorn serves the app. https://gunicorn.org/reference/settings/"""

import gc
import itertools
import logging
import resource
from pathlib import Path
from typing import Any

# Until the fork: nothing that is imported is garbage, and to look for some takes a tenth of the start.
gc.disable()

from lakebase_api.app import get_service
from lakebase_api.contradictions import find_risks
from lakebase_api.environment import SettingsError
from lakebase_api.http.logs import build_logging_config
from lakebase_api.server.client_socket import ClientSocket, ClientTLSSocket
from lakebase_api.server.exits import CLOSE_TIMEOUT, exit_if_terminated, exit_soon
from lakebase_api.server.processors import choose_first, pin
from lakebase_api.server.refused_settings import find_binds
from lakebase_api.table.loading import find_settings_of_orders
from lakebase_api.table.mistakes import DeclarationError

try:
    from lakebase_api.wsgi import app, settings, tables
except (SettingsError, DeclarationError) as error:
    raise SystemExit(str(error)) from None

bind = settings.address
worker_class = "lakebase_api.server.worker.Worker"
workers = settings.workers
threads = settings.threads
# Each is an open file, as are the connections to the database.
open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
if open_files == resource.RLIM_INFINITY:
    open_files = 1 << 16
resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
worker_connections = max(10, min(20_000, open_files - 200))
# Imported once in the master: the workers share its memory, and open what they need after the fork.
preload_app = True
# Above the 60 s of the usual load balancers, so that they close idle connections and never we.
keepalive = 75
# The workers leave by themselves before this, and the master kills at it: it has a second for itself.
graceful_timeout = settings.shutdown_time - 1
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
logger_class = "lakebase_api.server.access_log.Logger"
logconfig_dict = build_logging_config(settings)
first_processor = choose_first(settings.address, settings.workers)
ClientSocket.client_timeout = settings.client_timeout


def ssl_context(config: Any, make_default: Any) -> Any:
    context = make_default()
    context.sslsocket_class = ClientTLSSocket
    return context


def on_starting(server: Any) -> None:
    # The settings were looked at with their own BIND; an argument of gunicorn's wins over it.
    get_service(app).note_addresses(find_binds(server.cfg))
    # Before the fork, so that the workers have it in common.
    get_service(app).prepare()


def when_ready(server: Any) -> None:
    # What is imported stays for ever. The collector would look through all of it now and then, which stops
    # every thread of a worker for up to 0.1 s each time, and writes to pages that the workers share.
    gc.freeze()
    values = " ".join(f"{name}={value}" for name, value in settings.describe().items())
    logger = logging.getLogger("lakebase_api")
    logger.info("Settings: %s", values)
    access = get_service(app).authenticator
    logger.log(logging.WARNING if access.is_closed else logging.INFO, "Access: %s", access.describe())
    for risk in (*find_risks(settings), *find_settings_of_orders(settings, tables)):
        logger.warning("Settings: %s", risk)


def on_reload(server: Any) -> None:
    server.log.warning(
        "Reload: workers are replaced; settings are those of the start, so restart to change them"
    )


def pre_fork(server: Any, worker: Any) -> None:
    taken = {sibling.number for sibling in server.WORKERS.values()}
    worker.number = next(number for number in itertools.count() if number not in taken)


def post_fork(server: Any, worker: Any) -> None:
    gc.enable()
    exit_if_terminated(server.SIG_QUEUE)
    # The master begins to count when the worker begins to drain, and kills. The worker looks each second.
    left = worker.cfg.graceful_timeout - settings.drain_delay - CLOSE_TIMEOUT - 1
    worker.cfg.set("graceful_timeout", max(0, int(left)))
    if settings.pin_workers:
        pin(first_processor + worker.number)
    worker.prepare(drain_delay=settings.drain_delay)


def post_worker_init(worker: Any) -> None:
    service = get_service(app)
    service.open(is_stopping=lambda: worker.is_draining or not worker.alive, number=worker.number)


def on_exit(server: Any) -> None:
    get_service(app).folder.close()


def worker_exit(server: Any, worker: Any) -> None:
    # Not before it serves; nor in the master, which calls this as well for a worker that is gone.
    if worker.booted:
        exit_soon(get_service(app).close)
