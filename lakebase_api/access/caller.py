"""Who calls, as every other part of the service knows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lakebase_api.addresses import name_network


class Method(StrEnum):
    """How it was established who calls."""

    PLATFORM = "databricks-apps"
    PROXY = "proxy"
    API_KEY = "api-key"
    JWT = "jwt"
    ANONYMOUS = "anonymous"
    LOCAL = "local"


@dataclass(frozen=True)
class Caller:
    """One who calls. Immutable.

    ``subject`` is what rights, limits and histories know them by. ``label`` is for people to read: an e-mail
    address or a name, never a right, and never the key of anything. ``claims`` are those of a token.
    """

    subject: str
    label: str
    method: Method
    roles: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False, repr=False)


# Those of whom nobody knows who they are.
UNKNOWN = (Method.ANONYMOUS, Method.LOCAL)
# Who has not said who they are.
ANONYMOUS = Caller("anonymous", "anonymous", Method.ANONYMOUS)


def name_flow(caller: Caller, address: str) -> str:
    """Whose connections and quota a request takes: the caller's, or those of the address it comes from."""
    if caller.method in UNKNOWN:
        return f"address:{name_network(address)}"
    return f"subject:{caller.subject}"
