"""What must be the same on every host of a service, told as short fingerprints that are easy to compare."""

import dataclasses
import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import Any

import msgspec
from marshmallow import Schema, fields

from lakebase_api.access.rights import Rights, Role
from lakebase_api.table.declaration import Table

# Hexadecimal digits. Whoever sees a fingerprint may try guesses on it: 16 bits show that two hosts differ,
# but for one time in 65,536, and are too few to show that a guess is right.
SIZE = 4
NOT_SET = "not set"


def _fingerprint(meaning: str, example: str) -> fields.String:
    return fields.String(required=True, metadata={"description": meaning, "example": example})


class FingerprintsSchema(Schema):
    """What must be the same on every host, four hexadecimal digits of each."""

    cursor_secret = _fingerprint(
        f"Of `CURSOR_SECRET`. `{NOT_SET}`: each start has another one, so that cursors are good on one host.",
        "9c1e",
    )
    tables = _fingerprint("Of the tables as they are declared.", "04b7")
    rights = _fingerprint("Of `RIGHTS_FILE` and `ANONYMOUS`.", "e37a")


class Fingerprints:
    """The fingerprints of one service, found when they are first asked for. Safe to share between threads.

    ``secret`` is what follows from ``CURSOR_SECRET``, by a way that makes each guess take long; ``None``
    where that is not set.
    """

    def __init__(self, secret: bytes | None, tables: Sequence[Table], rights: Rights) -> None:
        self._secret = secret
        self._tables = tables
        self._rights = rights

    @cached_property
    def all(self) -> Mapping[str, str]:
        """Each by its name. Comments, blanks and the order of what has none make no difference."""
        secret = NOT_SET
        if self._secret is not None:
            secret = hmac.digest(self._secret, b"fingerprint", hashlib.sha256).hex()[:SIZE]
        tables = {table.name: table for table in self._tables}
        return {
            "cursor_secret": secret,
            "tables": _digest(tables),
            "rights": _digest(_describe_rights(self._rights)),
        }


def _describe_rights(rights: Rights) -> dict[str, Any]:
    roles = rights.roles
    return {
        "anonymous": rights.anonymous,
        "callers": rights.callers,
        "roles": roles and {name: _describe_role(role) for name, role in roles.items()},
    }


def _describe_role(role: Role) -> dict[str, Any]:
    """Without the columns that its conditions are on, which are of the tables."""
    rows = {
        table: _sort([each.column.name, each.asked, each.operator, each.value] for each in conditions)
        for table, conditions in role.rows.items()
    }
    return {"rights": role.rights, "rows": rows, "hidden": role.hidden, "quota": role.quota}


def _sort(values: Iterable[Any]) -> list[Any]:
    return sorted(map(_spell, values), key=msgspec.json.encode)


def _digest(content: object) -> str:
    return hashlib.sha256(msgspec.json.encode(_spell(content))).hexdigest()[:SIZE]


def _spell(value: Any) -> Any:
    """The value as lists and texts, the same for what is equal, whatever process spells it."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return [[name, _spell(getattr(value, name))] for name in names]
    if isinstance(value, Mapping):
        return sorted([str(name), _spell(each)] for name, each in value.items())
    if isinstance(value, set | frozenset):
        return _sort(value)
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return [_spell(each) for each in value]
    return value if value is None or isinstance(value, str | bool | int) else repr(value)
