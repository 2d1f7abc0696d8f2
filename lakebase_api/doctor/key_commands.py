"""The commands that make, list, replace and revoke API keys."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import psycopg

from lakebase_api.access.api_keys import NAME, KeptKey, digest, make_key, read_id
from lakebase_api.access.key_file import WrongLines, read_key_file, write_line
from lakebase_api.access.key_table import KeyTable, ListedKey
from lakebase_api.doctor.app_role import find_app_role
from lakebase_api.doctor.login import LoginFailed, log_in_or_fail
from lakebase_api.environment import SettingsError, load_settings
from lakebase_api.lakebase.failures import first_line
from lakebase_api.redaction import redact
from lakebase_api.sql.audit_table import AuditAction, AuditTable, Event
from lakebase_api.sql.own_tables import AUDIT_TABLE

# How long the key of before goes on being accepted after another one took its place.
OVERLAP = "24 hours"
LAST_LOOK = "Services that run take it over within a minute."
# How it is known who gives a command: they logged in to the database.
OF_DATABASE = "database"
HEADINGS = ("NAME", "ID", "CREATED", "EXPIRES", "LAST USED", "STATE")


class KeysRefused(Exception):
    """Nothing was changed; the text says why, and the way out, and holds no secret."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


class KeyCommands:
    """The commands, for the settings of an environment.

    A new key is the last line of ``out``, and the only one; all else goes to ``told``. Each method raises
    ``KeysRefused``.
    """

    def __init__(
        self, environ: Mapping[str, str], out: TextIO = sys.stdout, told: TextIO = sys.stderr
    ) -> None:
        try:
            self._settings = load_settings(environ)
        except SettingsError as error:
            raise KeysRefused(str(error)) from None
        self._out, self._told = out, told

    def create(self, name: str, days: int | None = None, role: str | None = None) -> None:
        """Make a key, and its table where there is none, with which the role may work then."""
        if not NAME.fullmatch(name):
            raise KeysRefused(
                "A name has 1 to 63 letters, digits and @._-, and begins with a letter or digit."
            )
        if self._settings.api_keys_file:
            self._create_for_file(name, days)
            return
        with self._open_table() as table:
            if not table.is_there:
                table.make(self._choose_role(table, role))
            with table.connection.transaction():
                table.lock()
                if table.find_lives(name):
                    raise KeysRefused(f"There is a key {name}: take another name, or run keys rotate {name}.")
                key = self._insert(table, name, None if days is None else f"{days} days")
                self._record(table, AuditAction.KEY_CREATE, {"key": read_id(key), "name": name, "days": days})
        self._show(key, f"The caller with this key is key:{name}. {LAST_LOOK} It is not shown again.")

    def rotate(self, name: str) -> None:
        """Make another key of the name, that lives as long; the one of before is accepted for a day more."""
        self._refuse_file(
            "make another line by keys create, and give the old one an expiry as its fourth part"
        )
        with self._open_table(must_be_there=True) as table, table.connection.transaction():
            table.lock()
            lives = table.find_lives(name)
            if not lives:
                raise KeysRefused(f"There is no key {name} that is accepted.")
            table.end_later(name, OVERLAP)
            key = self._insert(table, name, lives[0])
            self._record(table, AuditAction.KEY_ROTATE, {"key": read_id(key), "name": name})
        self._show(
            key, f"The key of before is accepted for 24 hours more. {LAST_LOOK} It is not shown again."
        )

    def revoke(self, name: str) -> None:
        """Accept no key of the name any more."""
        self._refuse_file("delete its line")
        with self._open_table(must_be_there=True) as table, table.connection.transaction():
            count = table.revoke(name)
            if not count:
                raise KeysRefused(f"There is no key {name} that is not revoked.")
            self._record(table, AuditAction.KEY_REVOKE, {"name": name, "keys": count})
        print(f"{'1 key' if count == 1 else f'{count} keys'} revoked. {LAST_LOOK}", file=self._told)

    def list(self) -> None:
        """Print what is known of each key, which is not the key."""
        file = self._settings.api_keys_file
        if file:
            rows = [_spell_line(key) for key in _read_file(file)]
        else:
            with self._open_table() as table:
                rows = [_spell_key(key) for key in table.list()] if table.is_there else []
        for row in (HEADINGS, *rows):
            print("  ".join(f"{part:<16}" for part in row).rstrip(), file=self._out)

    def _create_for_file(self, name: str, days: int | None) -> None:
        ends = None if days is None else (datetime.now(UTC) + timedelta(days=days)).timestamp()
        key, kept = _make(name, ends)
        self._show(key, f"Add this line to {self._settings.api_keys_file}:\n{write_line(kept)}")

    def _insert(self, table: KeyTable, name: str, life: str | None) -> str:
        key, kept = _make(name)
        table.insert(kept, life)
        return key

    def _record(self, table: KeyTable, action: AuditAction, detail: Mapping[str, Any]) -> None:
        """Have the audit, where there is one, say what was done, in the transaction in which it is done."""
        audit = AuditTable(table.connection, table.schema)
        if audit.may_insert:
            audit.insert([Event(action, table.connection.info.user, method=OF_DATABASE, detail=detail)])
        elif audit.is_there:
            print(
                f"The table {AUDIT_TABLE.name} will not have this: this login may not add to it.",
                file=self._told,
            )

    def _show(self, key: str, text: str) -> None:
        print(text, file=self._told, flush=True)
        print(key, file=self._out, flush=True)

    def _refuse_file(self, instead: str) -> None:
        if self._settings.api_keys_file:
            raise KeysRefused(f"The keys are in {self._settings.api_keys_file}, which is yours: {instead}.")

    def _choose_role(self, table: KeyTable, role: str | None) -> str:
        """Who is to work with a new table: the login, if it is the app's, unless another one was named."""
        login, app_role = table.connection.info.user, find_app_role(self._settings)
        if role or login == app_role:
            return role or login
        known = f"the app is {app_role}" if app_role else "who the app is, the settings do not say"
        raise KeysRefused(
            f"This login is {login}, and {known}. Run this as the app, which then owns the table of keys; or "
            f"say whom to grant it to: --role {app_role or '<the client id of the app>'}."
        )

    @contextmanager
    def _open_table(self, *, must_be_there: bool = False) -> Iterator[KeyTable]:
        """The table on a connection of its own."""
        try:
            with log_in_or_fail(self._settings) as connection:
                table = KeyTable(connection, self._settings.status_schema)
                if must_be_there and not table.is_there:
                    raise KeysRefused("There are no keys yet: keys create makes one, and their table.")
                yield table
        except LoginFailed as error:
            raise KeysRefused(str(error)) from None
        except psycopg.Error as error:
            raise KeysRefused(f"{first_line(error)}. Nothing was changed.") from error


def _make(name: str, expires_at: float | None = None) -> tuple[str, KeptKey]:
    key = make_key()
    key_id = read_id(key)
    assert key_id is not None
    return key, KeptKey(key_id, digest(key), name, expires_at)


def _read_file(file: str) -> Sequence[KeptKey]:
    try:
        return list(read_key_file(file).values())
    except (OSError, WrongLines) as error:
        raise KeysRefused(f"API_KEYS_FILE: {error}") from None


def _spell_line(key: KeptKey) -> tuple[str, ...]:
    if key.expires_at is None:
        return (key.name, key.id, "-", "-", "-", "live")
    expires = datetime.fromtimestamp(key.expires_at, UTC)
    state = "expired" if expires <= datetime.now(UTC) else "live"
    return (key.name, key.id, "-", expires.strftime("%Y-%m-%dT%H:%MZ"), "-", state)


def _spell_key(key: ListedKey) -> tuple[str, ...]:
    return tuple(part or "-" for part in astuple(key))
