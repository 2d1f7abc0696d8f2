"""Requests and replies as plain data, shared by the HTTP server, the routes and the faults."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

Part = Literal["discovery", "oauth", "me", "lookup", "app", "credentials", "synced_table"]


@dataclass(frozen=True)
class Request:
    """What arrived: header names in lower case, the path without its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What to answer: a dict goes out as JSON, a str as HTML."""

    status: int
    body: dict[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[str, bytes]:
        """Content type and bytes."""
        if isinstance(self.body, str):
            return "text/html; charset=utf-8", self.body.encode()
        return "application/json", json.dumps(self.body).encode()


def error(status: int, code: str | int, message: str) -> Reply:
    """An error in the form of the Databricks REST API."""
    return Reply(status, {"error_code": code, "message": message})


def timestamp(seconds_from_now: float) -> str:
    """A moment as the API writes it (RFC 3339, UTC)."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds_from_now)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
