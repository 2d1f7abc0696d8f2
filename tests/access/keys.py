"""API keys as the command makes them, in the database or the file of an environment."""

import io
from collections.abc import Mapping

from lakebase_api.doctor.key_commands import KeyCommands


def create_key(environment: Mapping[str, str], name: str = "billing", days: int | None = None) -> str:
    """A new key."""
    out = io.StringIO()
    KeyCommands(environment, out, io.StringIO()).create(name, days)
    return out.getvalue().splitlines()[-1]


def rotate_key(environment: Mapping[str, str], name: str = "billing") -> str:
    """The key that took the place of the one of before."""
    out = io.StringIO()
    KeyCommands(environment, out, io.StringIO()).rotate(name)
    return out.getvalue().splitlines()[-1]


def revoke_key(environment: Mapping[str, str], name: str = "billing") -> None:
    """End all keys of the name."""
    KeyCommands(environment, io.StringIO(), io.StringIO()).revoke(name)


def list_keys(environment: Mapping[str, str]) -> list[list[str]]:
    """What is shown of the keys: the parts of each line."""
    out = io.StringIO()
    KeyCommands(environment, out, io.StringIO()).list()
    return [line.split() for line in out.getvalue().splitlines()[1:]]


def bear(credential: str) -> dict[str, str]:
    """The header with a key or token."""
    return {"Authorization": f"Bearer {credential}"}
