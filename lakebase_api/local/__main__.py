"""`python -m lakebase_api.local`: the API on this machine, with PostgreSQL and real orders, until Ctrl-C."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import psycopg

from lakebase_api.local import disk, tpch
from lakebase_api.local.access import ROLE, admit_app
from lakebase_api.local.api import Api, api_environment, forget_inherited_settings
from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.lifetime import end_on_request, end_with_parent
from lakebase_api.local.ports import require_free_port
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.local.progress import Progress

FOLDER = Path(".local/postgres")
WELCOME = """
The API answers at {url} with {orders:,} TPC-H orders. Its documentation: {url}/docs

  curl {url}/orders/1
  curl '{url}/orders/stream?page_size=5'
  curl -X POST {url}/orders/1/status -H 'Content-Type: application/json' -d '{{"o_orderstatus": "F"}}'

Ctrl-C ends it; the data stays in {folder}.
"""


def main(arguments: Sequence[str]) -> int:
    """Run until asked to end; returns the exit status: 0 if asked, 1 after one line on what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m lakebase_api.local", description=__doc__)
    parser.add_argument(
        "--scale", default="0.1", help="TPC-H scale factor; 1 is 1,500,000 orders (default 0.1)"
    )
    parser.add_argument("--port", default="8000", help="port of 127.0.0.1 the API listens on (default 8000)")
    options = parser.parse_args(arguments)
    try:
        end_on_request()
        end_with_parent()
        run(tpch.parse_scale(options.scale), parse_port(options.port))
    except KeyboardInterrupt:
        return 0
    except LocalFailure as failure:
        print(failure, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or 'Local run'}: {error.strerror or error}.", file=sys.stderr)
    return 1


def parse_port(text: str) -> int:
    """A TCP port. Raises LocalFailure for what is not one."""
    with contextlib.suppress(ValueError):
        if 0 < int(text) < 1 << 16:
            return int(text)
    raise LocalFailure(f"PORT must be a number from 1 to 65535, not {text!r}.")


def run(scale: Decimal, port: int) -> None:
    """Start PostgreSQL, load the orders if need be, start the API, and wait. Raises LocalFailure."""
    require_free_port(port)
    chosen = os.environ.get("POSTGRES_BIN_DIR")
    forget_inherited_settings()
    say(f"Starting PostgreSQL in {FOLDER}.")
    with EmbeddedPostgres(FOLDER, binaries=Path(chosen) if chosen else None) as server:
        if server.home != FOLDER.absolute():
            say(f"PostgreSQL runs as user nobody, who cannot enter {FOLDER}: its data is in {server.home}.")
        database = prepare_orders(server, scale)
        with Api(api_environment(database, port), port) as api:
            api.wait_until_ready()
            orders = tpch.expected_orders(scale)
            say(WELCOME.format(url=f"http://localhost:{port}", orders=orders, folder=server.home))
            raise api.wait()


def prepare_orders(server: EmbeddedPostgres, scale: Decimal) -> dict[str, str]:
    """Have the orders of this scale in a database of their own; returns the PG* variables that lead to it."""
    name = tpch.database_name(scale)
    try:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            tpch.create_database(connection, name)
        with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
            if not tpch.has_orders(connection):
                disk.require_space(
                    server.home, tpch.needed_bytes(scale), f"Loading the orders of SF {scale:f}"
                )
            tpch.ensure_orders(connection, scale, Progress(tpch.expected_orders(scale), sys.stdout))
            password = admit_app(connection)
    except psycopg.OperationalError as error:
        raise server.explain(error) from error
    address = {"PGHOST": server.host, "PGPORT": str(server.port), "PGSSLMODE": "disable"}
    return {**address, "PGDATABASE": name, "PGUSER": ROLE, "PGPASSWORD": password}


def say(line: str) -> None:
    """Tell the person at the terminal, or whoever reads a pipe in its place, at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
