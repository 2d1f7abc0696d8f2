"""What the worker takes of gunicorn, so that a release without it is noticed by name."""

import ast
import os
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.http.parser import Parser
from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from lakebase_api.server import worker
from lakebase_api.server.refused_settings import refuse_settings
from lakebase_api.server.worker import Connection, Worker

# Extended: called by gunicorn.
EXTENDED = {
    "accept",
    "check_config",
    "handle",
    "handle_error",
    "handle_exit",
    "handle_request",
    "murder_pending",
    "set_accept_enabled",
}
USED = {
    "alive",
    "cfg",
    "keepalived_conns",
    "log",
    "max_keepalived",
    "method_queue",
    "nr_conns",
    "on_pending_socket_readable",
    "pending_conns",
    "poller",
    "sockets",
    "worker_connections",
}


def find_own(cls: type) -> set[str]:
    """The names that a class of ours defines."""
    return {name for name in vars(cls) if not name.startswith("__")}


def find_attributes(tree: ast.AST) -> set[str]:
    """Every name after a dot."""
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.fixture(scope="module")
def source() -> ast.Module:
    return ast.parse(Path(worker.__file__).read_text())


@pytest.mark.parametrize("name", sorted(EXTENDED | USED))
def test_gunicorns_thread_worker_has_what_ours_builds_on(name: str) -> None:
    original = ThreadWorker(1, os.getpid(), [], None, 1, Config(), None)
    original.tmp.close()
    assert hasattr(original, name)


def test_gunicorns_connection_parser_and_request_have_what_ours_uses() -> None:
    assert {"close", "init", "set_timeout"} <= set(vars(TConn))
    assert "should_close" in vars(Request.__mro__[1])
    parser = Parser(Config(), [b""], None)
    assert isinstance(parser.unreader, Unreader)
    assert parser.unreader.buf.getvalue() == b""


def test_nothing_else_of_the_thread_worker_is_used(source: ast.Module) -> None:
    [own] = [node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "Worker"]
    of_self = {
        node.attr
        for node in ast.walk(own)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    set_by_ours = {"closing", "drain_delay", "is_draining"}
    assert of_self - find_own(Worker) - set_by_ours == USED
    assert find_own(Worker) & set(dir(ThreadWorker)) == EXTENDED
    assert find_own(Connection) & set(dir(TConn)) == {"close", "init"}


def test_http2_is_refused() -> None:
    config = Config()
    config.set("http_protocols", "h2,h1")
    with pytest.raises(RuntimeError, match="http_protocols has no effect here"):
        refuse_settings(config)


def test_no_private_name_of_gunicorn_is_used(source: ast.Module) -> None:
    assert [name for name in find_attributes(source) if name.startswith("_") and name != "__init__"] == []
