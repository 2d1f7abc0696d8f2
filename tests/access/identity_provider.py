"""An identity provider that signs with real keys, and may change them, hang, or fail."""

import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.waiting import PATIENCE

AUDIENCE = "orders-api"
JWKS = "/keys"


class IdentityProvider:
    """Serves its configuration and keys on a port of 127.0.0.1. A context manager."""

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKeyTypes] = {}
        self.asked: list[str] = []
        # What is said of a key beside the key.
        self.said: dict[str, dict[str, str]] = {}
        # What it answers in place of its keys: a status, or a body.
        self.status = 200
        self.body: bytes | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.add_key("rsa-1")
        self.add_key("ec-1", is_elliptic=True)

    def __enter__(self) -> Self:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                provider.answers.wait(PATIENCE)
                body = provider.body if provider.body is not None else provider.describe(self.path)
                self.send_response(provider.status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", f"{provider.issuer}{JWKS}")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answers.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def settings(self) -> dict[str, str]:
        """What has a service believe it."""
        return {"JWT_ISSUER": self.issuer, "JWT_AUDIENCE": AUDIENCE}

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return self.asked.count(JWKS)

    def add_key(self, key_id: str, *, is_elliptic: bool = False) -> None:
        """Sign with another key too."""
        self.keys[key_id] = (
            ec.generate_private_key(ec.SECP256R1())
            if is_elliptic
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )

    def describe(self, path: str) -> bytes:
        """What is at a path."""
        if path == JWKS:
            return json.dumps({"keys": [self.describe_key(key_id) for key_id in self.keys]}).encode()
        return json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.issuer}{JWKS}"}).encode()

    def describe_key(self, key_id: str) -> dict[str, Any]:
        """The public half of a key, as RFC 7517 has it."""
        key = self.keys[key_id]
        if isinstance(key, rsa.RSAPrivateKey):
            public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        else:
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**public, "kid": key_id, "use": "sig", **self.said.get(key_id, {})}

    def claim(self, **claims: Any) -> dict[str, Any]:
        """What a token says that is good, but for these; ``None`` leaves one out."""
        good = {"iss": self.issuer, "aud": AUDIENCE, "sub": "ada", "exp": time.time() + 600}
        return {name: value for name, value in {**good, **claims}.items() if value is not None}

    def sign(
        self,
        claims: Mapping[str, Any] | None = None,
        key_id: str = "rsa-1",
        algorithm: str = "RS256",
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """A token."""
        key: Any = self.keys[key_id]
        return jwt.encode(dict(claims or self.claim()), key, algorithm, {"kid": key_id, **(headers or {})})
