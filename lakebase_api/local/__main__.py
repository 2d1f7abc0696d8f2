"""`python -m lakebase_api.local`: the API on this machine, with PostgreSQL and data, until Ctrl-C."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from lakebase_api.local import tpch
from lakebase_api.local.api import Api, api_environment, forget_inherited_settings
from lakebase_api.local.data import LocalData, load_declared, parse_rows, prepare_data
from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.ports import require_free_port
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.local.signals import end_on_request, end_with_parent
from lakebase_api.local.welcome import welcome

FOLDER = Path(".local/postgres")
TABLES_FILE = "tables.toml"


def main(arguments: Sequence[str]) -> int:
    """Run until asked to end; returns the exit status: 0 if asked, 1 after one line on what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m lakebase_api.local", description=__doc__)
    parser.add_argument(
        "--scale", default="0.1", help="TPC-H scale factor; 1 is 1,500,000 orders (default 0.1)"
    )
    parser.add_argument("--port", default="8000", help="port of 127.0.0.1 the API listens on (default 8000)")
    parser.add_argument(
        "--tables",
        default=TABLES_FILE,
        help=f"file of declared tables (default {TABLES_FILE})",
        metavar="FILE",
    )
    parser.add_argument("--rows", default="1000", help="made-up rows of each table (default 1000)")
    options = parser.parse_args(arguments)
    try:
        end_on_request()
        end_with_parent()
        scale, rows = tpch.parse_scale(options.scale), parse_rows(options.rows)
        run(Path(options.tables).absolute(), scale, rows, parse_port(options.port))
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


def run(tables_file: Path, scale: Decimal, rows: int, port: int) -> None:
    """Start PostgreSQL, make the data if need be, start the API, and wait. Raises LocalFailure."""
    require_free_port(port)
    chosen = os.environ.get("POSTGRES_BIN_DIR")
    forget_inherited_settings()
    data = LocalData(load_declared(tables_file), scale, rows)
    say(f"Starting PostgreSQL in {FOLDER}.")
    with EmbeddedPostgres(FOLDER, binaries=Path(chosen) if chosen else None) as server:
        if server.home != FOLDER.absolute():
            say(f"PostgreSQL runs as user nobody, who cannot enter {FOLDER}: its data is in {server.home}.")
        environment = api_environment(prepare_data(server, data), port, tables_file)
        with Api(environment, port, probe=f"/{data.tables[0].name}/count") as api:
            api.wait_until_ready()
            say(welcome(f"http://localhost:{port}", data, server.home))
            raise api.wait()


def say(line: str) -> None:
    """Tell the person at the terminal, or whoever reads a pipe in its place, at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
