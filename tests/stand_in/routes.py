"""What the control plane answers to the requests that the SDK makes, faults aside."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from .accounts import Identity
from .messages import Part, Reply, Request, error, timestamp

if TYPE_CHECKING:
    from .workspace import Workspace

_WORKSPACE_ID = "7405605312345678"
_ACCOUNT_ID = "0d4c1e52-6c6b-4f3c-9a58-6c2f3d1b7e90"
_LONGEST_LIFE, _SHORTEST_LIFE = 3600, 300
_TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass(frozen=True)
class Call:
    """A request on its way to a route, with the name that its path holds."""

    workspace: "Workspace"
    request: Request
    name: str


Route = Callable[[Call], Reply]


def find_route(request: Request) -> tuple[Part, Route, str] | None:
    """The part of the control plane a request is for, who answers it, and the name in its path."""
    for method, pattern, part, route in _ROUTES:
        if request.method == method and (match := re.fullmatch(pattern, unquote(request.path))):
            return part, route, "".join(match.groups())
    return None


def no_route(request: Request) -> Reply:
    """The answer to a request for something that does not exist."""
    return error(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path}'")


def _config(call: Call) -> Reply:
    return Reply(
        200,
        {
            "oidc_endpoint": f"{call.workspace.url}/oidc",
            "account_id": _ACCOUNT_ID,
            "workspace_id": _WORKSPACE_ID,
            "cloud": "AWS",
        },
    )


def _oidc(call: Call) -> Reply:
    return Reply(
        200,
        {
            "issuer": f"{call.workspace.url}/oidc",
            "authorization_endpoint": f"{call.workspace.url}/oidc/v1/authorize",
            "token_endpoint": f"{call.workspace.url}/oidc/v1/token",
            "grant_types_supported": ["client_credentials"],
        },
    )


def _workspace_token(call: Call) -> Reply:
    form = {name: values[0] for name, values in parse_qs(call.request.body.decode()).items()}
    if form.get("grant_type") == _TOKEN_EXCHANGE:
        owner = call.workspace.accounts.federated(form.get("client_id", ""), form.get("subject_token", ""))
    elif form.get("grant_type") == "client_credentials":
        client_id, _, client_secret = _basic_credentials(call.request).partition(":")
        owner = call.workspace.accounts.service_principal(client_id, client_secret)
    else:
        return Reply(400, {"error": "unsupported_grant_type", "error_description": "Unsupported grant type"})
    if owner is None:
        return Reply(401, {"error": "invalid_client", "error_description": "Client authentication failed"})
    token = call.workspace.accounts.issue(owner, "workspace", call.workspace.oauth_life)
    return Reply(
        200,
        {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(call.workspace.oauth_life),
            "scope": "all-apis",
        },
    )


def _basic_credentials(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    try:
        return base64.b64decode(value, validate=True).decode() if scheme == "Basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _signed_in(route: Callable[[Call, Identity], Reply]) -> Route:
    """The route for callers with a good bearer token; the others get a 401."""

    def checked(call: Call) -> Reply:
        scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
        caller = call.workspace.accounts.bearer(token) if scheme == "Bearer" else None
        if caller is None:
            # The real service has a number, not a name, in this one error_code.
            return error(401, 401, "Credential was not sent or was of an unsupported type for this API.")
        return route(call, caller)

    return checked


def _me(_call: Call, caller: Identity) -> Reply:
    return Reply(200, {"id": "4711", "userName": caller.name, "displayName": caller.name, "active": True})


def _app(call: Call, _caller: Identity) -> Reply:
    if call.name not in call.workspace.apps:
        code = "RESOURCE_DOES_NOT_EXIST"
        return error(404, code, f"App with name {call.name} does not exist or is deleted.")
    principal = call.workspace.apps[call.name]
    described = {"name": call.name, "compute_status": {"state": "ACTIVE"}}
    return Reply(200, described | ({"service_principal_client_id": principal} if principal else {}))


def _endpoint(call: Call, _caller: Identity) -> Reply:
    if call.name != call.workspace.endpoint:
        return error(404, "NOT_FOUND", f"Endpoint '{call.name}' does not exist.")
    hosts = {"host": call.workspace.db_host, "read_only_host": call.workspace.db_read_only_host}
    status = {"current_state": "ACTIVE", "endpoint_type": "ENDPOINT_TYPE_READ_WRITE", "hosts": hosts}
    return Reply(200, {"name": call.name, "parent": call.name.rsplit("/endpoints/", 1)[0], "status": status})


def _instance(call: Call, _caller: Identity) -> Reply:
    if call.name != call.workspace.instance:
        return error(404, "NOT_FOUND", f"Database instance '{call.name}' not found.")
    hosts = {"read_write_dns": call.workspace.db_host, "read_only_dns": call.workspace.db_read_only_host}
    return Reply(200, {"name": call.name, "state": "AVAILABLE", "capacity": "CU_1", **hosts})


def _endpoint_credential(call: Call, caller: Identity) -> Reply:
    wanted = _json(call.request)
    if wanted.get("endpoint") != call.workspace.endpoint:
        return error(404, "NOT_FOUND", f"Endpoint '{wanted.get('endpoint')}' does not exist.")
    life = _seconds(wanted.get("ttl", f"{_LONGEST_LIFE}s"))
    if call.workspace.token_life is None and (life is None or not _SHORTEST_LIFE <= life <= _LONGEST_LIFE):
        return error(400, "INVALID_PARAMETER_VALUE", "ttl must be between 300 and 3600 seconds.")
    return _mint(call.workspace, caller, life or _LONGEST_LIFE, "expire_time")


def _instance_credential(call: Call, caller: Identity) -> Reply:
    names = _json(call.request).get("instance_names") or []
    if not names:
        return error(400, "INVALID_PARAMETER_VALUE", "At least one of instance_names or claims is required.")
    if names != [call.workspace.instance]:
        return error(404, "NOT_FOUND", f"Database instance '{names[0]}' not found.")
    return _mint(call.workspace, caller, _LONGEST_LIFE, "expiration_time")


def _synced_table(call: Call, _caller: Identity) -> Reply:
    found = call.workspace.synced_tables.get(call.name)
    if found is None:
        return error(404, "NOT_FOUND", f"Synced table '{call.name}' does not exist.")
    return Reply(200, found.describe(call.name))


def _synced_database_table(call: Call, _caller: Identity) -> Reply:
    found = call.workspace.synced_tables.get(call.name)
    if found is None:
        return error(404, "NOT_FOUND", f"Synced database table '{call.name}' does not exist.")
    return Reply(200, found.describe_provisioned(call.name, call.workspace.instance))


def _mint(workspace: "Workspace", owner: Identity, asked_life: float, expiry_field: str) -> Reply:
    life = asked_life if workspace.token_life is None else workspace.token_life
    stated = life if workspace.stated_life is None else workspace.stated_life
    token = workspace.accounts.issue(owner, "database", life)
    workspace.events.record("mint")
    return Reply(200, {"token": token, expiry_field: timestamp(stated + workspace.clock_ahead)})


def _json(request: Request) -> dict[str, Any]:
    parsed = json.loads(request.body)
    return parsed if isinstance(parsed, dict) else {}


def _seconds(duration: str) -> float | None:
    """The length of a protobuf duration such as ``600s``; None if it is not one."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s", duration)
    return float(match[1]) if match else None


_ROUTES: list[tuple[str, str, Part, Route]] = [
    ("GET", "/.well-known/databricks-config", "discovery", _config),
    ("GET", "/oidc/.well-known/oauth-authorization-server", "discovery", _oidc),
    ("POST", "/oidc/v1/token", "oauth", _workspace_token),
    ("GET", "/api/2.0/preview/scim/v2/Me", "me", _signed_in(_me)),
    ("GET", "/api/2.0/apps/([^/]+)", "app", _signed_in(_app)),
    ("GET", "/api/2.0/postgres/(projects/.+/branches/.+/endpoints/.+)", "lookup", _signed_in(_endpoint)),
    ("GET", "/api/2.0/database/instances/([^/]+)", "lookup", _signed_in(_instance)),
    ("GET", "/api/2.0/postgres/synced_tables/([^/]+)", "synced_table", _signed_in(_synced_table)),
    ("GET", "/api/2.0/database/synced_tables/([^/]+)", "synced_table", _signed_in(_synced_database_table)),
    ("POST", "/api/2.0/postgres/credentials", "credentials", _signed_in(_endpoint_credential)),
    ("POST", "/api/2.0/database/credentials", "credentials", _signed_in(_instance_credential)),
]
