"""`python -m lakebase_api`: begins a service, declares tables, sets the database up, says what is missing."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lakebase_api import __version__
from lakebase_api.doctor.granting import GrantCommand, GrantOptions, GrantRefused
from lakebase_api.doctor.key_commands import KeyCommands, KeysRefused
from lakebase_api.doctor.pruning import prune
from lakebase_api.doctor.report import run_checks
from lakebase_api.doctor.setting_up import SetupRefused, set_up
from lakebase_api.introspection.command import Refused, check_declared, introspect, warn_of_same
from lakebase_api.lakebase.findings import MARKS, Check, State
from lakebase_api.log_lines import TextLines, log_uncaught
from lakebase_api.new_folder import FILES, FolderRefused, write_folder

# Minutes. Others report about an hour for the first copy of 7,500,000 rows, at one compute unit.
WAIT = 90
LONGEST_WAIT = 1440


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status: 0 when all is well, else 1."""
    parser = _build_parser()
    options = parser.parse_args(arguments)
    try:
        return _run_command(options, parser)
    except (SetupRefused, GrantRefused, Refused, KeysRefused, FolderRefused) as refusal:
        print(refusal, file=sys.stderr)
        return 1


def _run_command(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    if options.command == "doctor":
        checks = run_checks(os.environ, options.role)
        return _print_json(checks) if options.json else _print_lines(checks)
    if options.command == "setup":
        print(_set_up(options))
    elif options.command == "grant":
        _grant(options)
    elif options.command == "introspect":
        return _introspect(options)
    elif options.command == "keys":
        _run_keys(options)
    elif options.command == "new":
        _begin_folder(Path(options.folder))
    else:
        parser.print_help()
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lakebase_api", description=__doc__)
    parser.add_argument("--version", action="version", version=f"lakebase-api {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands")
    doctor = commands.add_parser(
        "doctor",
        help="check everything the service needs, and say what mends what is missing",
        description="Connects as the service would. A line for each check: ✓, ✗ with what mends it, ! with "
        "what would do good, or – where it could not be made. Ends with status 1 when there is a ✗.",
    )
    doctor.add_argument("--json", action="store_true", help="one JSON document in place of lines")
    doctor.add_argument("--role", help="check this role's rights, such as the client id of the app")
    setup = commands.add_parser(
        "setup",
        help="make the tables that keep changes of declared tables",
        description="Makes schema and tables, or brings them to this release. May be run again at any time.",
    )
    setup.add_argument("--role", help="grant the tables to this role, such as the client id of the app")
    setup.add_argument(
        "--owner-role",
        metavar="ROLE",
        help="have this role own them, so that the one they are granted to cannot change the audit",
    )
    setup.add_argument("--prune", action="store_true", help="delete what is old from the tables, and no more")
    setup.add_argument(
        "--older-than", type=_read_days, default=365, metavar="DAYS", help="with --prune; by default 365"
    )
    _add_grant(commands)
    _add_introspect(commands)
    new = commands.add_parser(
        "new",
        help="begin a service in a folder of its own",
        description=f"Writes {', '.join(FILES)}: all that a service needs beside this package.",
    )
    new.add_argument("folder", help="a folder that is not there, or empty")
    _add_keys(commands)
    return parser


def _add_grant(commands: Any) -> None:
    grant = commands.add_parser(
        "grant",
        help="grant what the app needs to read the declared tables",
        description="Logs in as the settings say, which is to be the owner of the tables, and runs the "
        "statements that `doctor --role` would print. Tables that are being made are waited for. Standard "
        "output has the statements, and nothing else. What is granted already is left alone: run it after "
        "each time that a synced table was created anew, which drops its grants. Ends with status 1 when "
        "something is missing still.",
    )
    who = grant.add_mutually_exclusive_group(required=True)
    who.add_argument("--app", metavar="NAME", help="to the service principal of this Databricks App")
    who.add_argument("--role", metavar="ID", help="to this role, such as the client id of the app")
    grant.add_argument("--indexes", action="store_true", help="make the indexes as well that doctor prints")
    grant.add_argument(
        "--wait",
        type=_read_minutes,
        default=WAIT,
        metavar="MINUTES",
        help=f"how long to wait for tables in their first sync; by default {WAIT}",
    )
    grant.add_argument("--dry-run", action="store_true", help="print the statements, and run none")


def _read_minutes(text: str) -> int:
    if not text.isdecimal() or int(text) > LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"must be whole minutes, from 0 to {LONGEST_WAIT}")
    return int(text)


def _grant(options: argparse.Namespace) -> None:
    wanted = GrantOptions(options.indexes, options.dry_run, options.wait * 60)
    command = GrantCommand(os.environ, wanted, sys.stdout, sys.stderr)
    if options.app:
        command.grant_app(options.app)
    else:
        command.grant_role(options.role)


def _read_days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= 36_500:
        raise ValueError
    return days


def _set_up(options: argparse.Namespace) -> str:
    if options.prune:
        return prune(os.environ, options.older_than)
    return set_up(os.environ, options.role, options.owner_role)


def _add_keys(commands: Any) -> None:
    keys = commands.add_parser(
        "keys",
        help="make, list, rotate or revoke API keys",
        description="A new key is shown once, alone on the last line of standard output.",
    )
    actions = keys.add_subparsers(dest="action", title="actions", required=True)
    create = actions.add_parser("create", help="make a key, and the table of keys where there is none")
    create.add_argument(
        "--days", type=int, metavar="N", help="accept it for so many days; by default until it is revoked"
    )
    create.add_argument("--role", help="grant the table to this role, such as the client id of the app")
    rotate = actions.add_parser("rotate", help="make another key of the name; the old one ends in 24 hours")
    revoke = actions.add_parser("revoke", help="end all keys of the name")
    for action in (create, rotate, revoke):
        action.add_argument("name", help="who it is for: the caller is key:NAME")
    actions.add_parser("list", help="what is known of each key")


def _add_introspect(commands: Any) -> None:
    introspect = commands.add_parser(
        "introspect",
        help="write the declaration of tables or views, for TABLES_FILE",
        description="Prints a declaration with a comment behind each guess, to be read and changed: "
        "`introspect public.customer_synced=customers >> tables.toml`. All columns but the key are commented "
        "out: what is not declared is not served.",
    )
    introspect.add_argument(
        "tables", nargs="*", metavar="SCHEMA.TABLE[=NAME]", help="with --check names of declared tables"
    )
    introspect.add_argument("--all", action="store_true", help="declare every column that can be served")
    introspect.add_argument(
        "--key", metavar="COLUMN,…", help="the columns that tell the rows of a view apart"
    )
    introspect.add_argument(
        "--check", action="store_true", help="compare TABLES_FILE with the database; status 1 if it differs"
    )


def _print_lines(checks: Iterable[Check]) -> int:
    status = 0
    for check in checks:
        print(MARKS[check.state], check.line, flush=True)
        if check.state is State.FAILED:
            status = 1
    return status


def _print_json(checks: Iterable[Check]) -> int:
    found = list(checks)
    is_ok = all(check.state is not State.FAILED for check in found)
    described = [
        {
            "table": check.table or None,
            "check": check.name,
            "state": check.state,
            "says": check.says,
            "mend": check.mend,
            "sql": [f"{statement};" for statement in check.sql],
        }
        for check in found
    ]
    print(json.dumps({"ok": is_ok, "checks": described}, indent=2, ensure_ascii=False))
    return 0 if is_ok else 1


def _run_keys(options: argparse.Namespace) -> None:
    keys = KeyCommands(os.environ)
    if options.action == "create":
        keys.create(options.name, options.days, options.role)
    elif options.action == "rotate":
        keys.rotate(options.name)
    elif options.action == "revoke":
        keys.revoke(options.name)
    else:
        keys.list()


def _introspect(options: argparse.Namespace) -> int:
    if options.check:
        return 0 if check_declared(os.environ, options.tables) else 1
    if not options.tables:
        raise Refused("Name a table: introspect SCHEMA.TABLE=NAME.")
    key = options.key.split(",") if options.key else ()
    text = introspect(os.environ, options.tables, key=key, shows_all=options.all)
    print(text, end="")
    for warning in warn_of_same(os.environ, text):
        print(warning, file=sys.stderr)
    return 0


def _begin_folder(folder: Path) -> None:
    for path in write_folder(folder):
        print(path)
    print(f"Next: cd {folder}, fill in requirements.txt and .env (see .env.example), then declare tables:")
    print("python -m lakebase_api introspect SCHEMA.TABLE=NAME >> tables.toml")


def run() -> NoReturn:
    """Run the command that the process was started with."""
    _guard_standard_error()
    sys.exit(main(sys.argv[1:]))


def _guard_standard_error() -> None:
    """Let nothing go there with a secret in it: neither what libraries warn of nor a traceback."""
    handler = logging.StreamHandler()
    handler.setFormatter(TextLines("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    log_uncaught()


if __name__ == "__main__":
    run()
