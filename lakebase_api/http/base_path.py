"""Serves the same paths at a second base."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# Databricks Apps lets callers with a bearer token reach /api/… only.
# https://docs.databricks.com/aws/en/dev-tools/databricks-apps/connect-local
API_BASE = "/api/v1"


def serve_at_both_bases(app: WSGIApplication) -> WSGIApplication:
    """A WSGI application that answers ``/api/v1/x`` as ``/x``.

    The base moves to ``SCRIPT_NAME``, as WSGI (PEP 3333) has it for an application mounted below a path,
    so that links made for the request keep it.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(f"{API_BASE}/"):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + API_BASE
            environ["PATH_INFO"] = path[len(API_BASE) :]
        return app(environ, start_response)

    return serve
