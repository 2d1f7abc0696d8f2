"""No secret in what people read: the log of the real process, and the commands."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.lakebase_stand_in import LakebaseStandIn
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

Starter = Callable[[dict[str, str]], GunicornProcess]

ROOT = Path(__file__).parent.parent
FORMATS = ["text", "json"]
# Says a secret in each of the ways in which it may get into the output.
TELLTALE = """
import logging.config, sys, threading, warnings
from lakebase_api.environment import load_settings
from lakebase_api.log_lines import log_uncaught
from lakebase_api.http.logs import build_logging_config

settings = load_settings()
logging.config.dictConfig(build_logging_config(settings))
log_uncaught()
secret = settings.pg_password
logger = logging.getLogger("somebody")
for shown in (secret, repr(secret), secret.encode(), {"of": [secret]}, ValueError(secret)):
    logger.warning("%s; %r", shown, shown)
logger.warning("with more", extra={"of": {"each": [secret, 1, None]}})
try:
    raise ValueError(f"Invalid header value {secret.encode()!r}") from KeyError(secret)
except ValueError:
    logger.exception("failed", stack_info=True)

def fail():
    raise ValueError(secret)

thread = threading.Thread(target=fail)
thread.start()
thread.join()
warnings.warn(secret)
print(repr(settings), settings.describe())
fail()
"""
PASSWORDS = ["Zoë's \"p w\\%41/+", "пароль-длинный-👩‍💻", "20261122"]


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_is_cut_out_of_lines_tracebacks_and_warnings(password: str, log_format: str) -> None:
    settings = {"PGHOST": "localhost", "PGUSER": "ann", "PGPASSWORD": password, "LOG_FORMAT": log_format}
    ended = subprocess.run(
        [sys.executable, "-c", TELLTALE],
        cwd=ROOT,
        env={**os.environ, **settings, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    output = ended.stderr + ended.stdout
    assert output.count("***") >= 12
    spellings = (password, repr(password)[1:-1], repr(password.encode())[2:-1], json.dumps(password)[1:-1])
    for spelling in spellings:
        assert spelling not in output
    if log_format == "json":
        messages = [json.loads(line)["message"] for line in ended.stderr.splitlines()]
        assert messages[-1] == "Uncaught in the main thread"


@pytest.mark.parametrize("log_format", FORMATS)
def test_secrets_and_live_tokens_that_clients_send_are_not_in_the_log(
    lakebase: LakebaseStandIn, start_gunicorn: Starter, log_format: str
) -> None:
    settings = {**lakebase.environment(), "LOG_FORMAT": log_format, "CURSOR_SECRET": "seals p%w of cursors"}
    gunicorn = start_gunicorn(settings).wait_until_started()
    assert gunicorn.get("/orders/1").status_code == 200
    workspace = lakebase.workspace
    secrets = [settings["DATABRICKS_CLIENT_SECRET"], *workspace.issued_tokens[-2:], settings["CURSOR_SECRET"]]
    for secret in secrets:
        gunicorn.get(f"/{quote(secret)}")
        gunicorn.get("/orders/1", **{"X-Request-Id": re.sub("[ %]", "-", secret)})
        # gunicorn itself writes down a line that it cannot read.
        with socket.create_connection(("127.0.0.1", gunicorn.port), PATIENCE) as client:
            client.sendall(f"GET / HTTP/1.1\r\nAuthorization Bearer {secret}\r\n\r\n".encode())
            client.recv(1000)
    gunicorn.get("/the-end")
    gunicorn.wait_for_output("/the-end")
    assert "/***" in gunicorn.output
    assert "[***]" in gunicorn.output or '"request_id": "***"' in gunicorn.output
    assert "(not shown)" in gunicorn.output
    for secret in secrets:
        assert secret not in gunicorn.output
    assert workspace.leaked_in(gunicorn.output) == []


@pytest.mark.slow
def test_a_token_with_a_line_end_logs_in_and_is_not_shown(
    lakebase: LakebaseStandIn, start_gunicorn: Starter
) -> None:
    settings = lakebase.environment(identity=lakebase.workspace.user)
    settings["DATABRICKS_TOKEN"] += " \r\n"
    gunicorn = start_gunicorn(settings).wait_until_started()
    assert gunicorn.get("/orders/1").status_code == 200
    assert lakebase.workspace.leaked_in(gunicorn.output) == []


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["doctor"], "PGDATABASE"),
        (["doctor"], "ENV_FILE"),
        (["doctor", "--json"], "DEFAULT_POSTGRES_TABLE"),
        (["setup"], "PGUSER"),
    ],
)
def test_a_secret_in_a_wrong_place_is_not_shown_by_a_command(
    unchanged_database: OrdersDatabase, arguments: list[str], name: str
) -> None:
    password = unchanged_database.environment["PGPASSWORD"]
    ended = subprocess.run(
        [sys.executable, "-m", "lakebase_api", *arguments],
        cwd=ROOT,
        env={**os.environ, **unchanged_database.environment, name: password},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert password not in ended.stdout + ended.stderr
    assert "***" in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("log_format", "zone"),
    [("text", "America/New_York"), pytest.param("json", "Asia/Kolkata", marks=pytest.mark.slow)],
)
def test_the_time_of_a_line_is_sure_wherever_it_runs(
    database: OrdersDatabase, start_gunicorn: Starter, log_format: str, zone: str
) -> None:
    settings = {**database.environment, "LOG_FORMAT": log_format, "TZ": zone}
    gunicorn = start_gunicorn(settings).wait_until_started()
    gunicorn.get("/livez")
    gunicorn.wait_for_output("GET /livez")
    for line in gunicorn.output.splitlines():
        written = json.loads(line)["time"] if log_format == "json" else line.split()[0]
        moment = datetime.fromisoformat(written)
        assert moment.utcoffset() is not None
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
