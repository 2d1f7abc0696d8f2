"""How the SDK logs in to the workspace: as it does by itself, but never without a time limit.

The SDK's own request for a service principal's token has none, so that a workspace which takes it and does
not answer would hold a thread and a socket for each try.
"""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta

import requests
from databricks.sdk.config import Config
from databricks.sdk.credentials_provider import CredentialsStrategy, DefaultCredentials
from databricks.sdk.oauth import Refreshable, Token
from marshmallow import ValidationError

from lakebase_api.addresses import read_workspace_url
from lakebase_api.redaction import keep_secret

PRINCIPAL = "oauth-m2m"
# Where a workspace, or the account that it is of, says what its OAuth server offers (RFC 8414).
WELL_KNOWN = "/.well-known/oauth-authorization-server"
# Seconds that a token of the workspace lives.
TOKEN_LIFE = 3600

Headers = dict[str, str]


class WorkspaceLogin(CredentialsStrategy):
    """Finds who logs in and how, wherever the SDK found it: in settings, the environment or a profile.

    Of the host it leaves scheme and name, and every secret that comes up is kept out of the log.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._default = DefaultCredentials()
        self._is_principal = False

    def auth_type(self) -> str:
        """As the SDK names it."""
        return PRINCIPAL if self._is_principal else self._default.auth_type()

    def __call__(self, cfg: Config) -> Callable[[], Headers]:
        """What makes the headers of a request. Raises ``ValueError`` where nobody can log in."""
        for attribute in cfg.attributes():
            if attribute.sensitive and (secret := getattr(cfg, attribute.name)):
                keep_secret(str(secret))
        if cfg.host:
            cfg.host = _cut_host(cfg.host)
        self._is_principal = bool(
            cfg.host
            and cfg.client_id
            and cfg.client_secret
            and not (cfg.token or cfg.group_id)
            and cfg.auth_type in (None, PRINCIPAL)
        )
        if self._is_principal:
            make_headers = ServicePrincipal(cfg, self._timeout).headers
        else:
            make_headers = self._default(cfg)
        return _keeping_secret(make_headers)


class ServicePrincipal(Refreshable):
    """The workspace token of a service principal.

    https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m
    """

    def __init__(self, cfg: Config, timeout: float) -> None:
        super().__init__(disable_async=True)
        root = (cfg.discovery_url or "").partition(WELL_KNOWN)[0] or f"{cfg.host}/oidc"
        self._url = f"{root}/v1/token"
        self._login = (cfg.client_id, cfg.client_secret)
        # As the header of the request has it.
        keep_secret(base64.b64encode(":".join(self._login).encode()).decode())
        self._form = {"grant_type": "client_credentials", "scope": cfg.get_scopes_as_string()}
        self._timeout = timeout

    def headers(self) -> Headers:
        """The headers with a token that lives."""
        return {"Authorization": f"Bearer {self.token().access_token}"}

    def refresh(self) -> Token:
        """A new token. Raises ``OSError``, and ``ValueError`` where it was refused."""
        answer = requests.post(self._url, self._form, auth=self._login, timeout=self._timeout)
        body = answer.json()
        if not answer.ok:
            raise ValueError(f"{body.get('error', answer.status_code)}: {body.get('error_description', '')}")
        life = timedelta(seconds=int(body["expires_in"]))
        return Token(body["access_token"], token_type="Bearer", expiry=datetime.now() + life)  # noqa: S106


def _cut_host(host: str) -> str:
    try:
        return read_workspace_url(host)
    except ValidationError as error:
        raise ValueError(f"the host {host} is none. {error.messages[0]}") from None


def _keeping_secret(make_headers: Callable[[], Headers]) -> Callable[[], Headers]:
    """The same, with each token that comes out of it kept out of the log."""

    def make() -> Headers:
        headers = make_headers()
        keep_secret(headers.get("Authorization", "").partition(" ")[2], TOKEN_LIFE)
        return headers

    return make
