"""The operations of the OpenAPI document, as requests, and callers of every kind to make them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lakebase_api.access.rights import SERVICE, Action, Duty

BODY = {"PATCH": "application/merge-patch+json", "POST": "application/json"}
# The key of a row in any table: what is asked for need not be there to be refused.
SEGMENTS = {"uuid": "00000000-0000-0000-0000-000000000001"}
UNSAFE = ("POST", "PATCH", "DELETE")
TABLES = ("orders", "customers", "events", "lineitems")
RIGHTS = [
    *(f"{table}:{action}" for table in TABLES for action in Action),
    *(f"{SERVICE}:{duty}" for duty in Duty),
]


def name_role(right: str) -> str:
    """The role that gives this right alone, and the name of the key that has the role."""
    return right.replace(":", "-")


def spell_rights() -> str:
    """A file of rights with a role for each right, and a caller for each role."""
    roles = [f'{name_role(right)} = ["{right}"]' for right in RIGHTS]
    callers = [f'"key:{name_role(right)}" = "{name_role(right)}"' for right in RIGHTS]
    return "\n".join(["[roles]", *roles, "[callers]", *callers, ""])


@dataclass(frozen=True)
class Documented:
    """An operation as the document has it."""

    method: str
    path: str
    described: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def right(self) -> str | None:
        """The right that the document names, if there is one."""
        rights = [right for way in self.described["security"] for right in way.get("bearer", ())]
        assert len(rights) <= 1
        return rights[0] if rights else None

    @property
    def refusals(self) -> set[str]:
        """The statuses of refusals that the document has."""
        return {"401", "403", "429"} & set(self.described["responses"])

    def ask(self, client: FlaskClient, headers: Mapping[str, str] | None = None) -> TestResponse:
        """Ask for it, of a row that is there or not, with a body that changes nothing."""
        body: dict[str, Any] = {}
        if self.method in BODY:
            body = {"data": "{}", "content_type": BODY[self.method]}
        answer = client.open(self.path, method=self.method, headers=headers, **body)
        # An export goes on until it is read or closed.
        answer.close()
        return answer


def list_operations(client: FlaskClient) -> Iterator[Documented]:
    """All of them."""
    document = client.get("/openapi.json").json
    assert document is not None
    for path, item in document["paths"].items():
        for method, described in item.items():
            if method != "parameters":
                parameters = [*item.get("parameters", ()), *described.get("parameters", ())]
                yield Documented(method.upper(), _fill(path, parameters), described)


def _fill(path: str, parameters: list[dict[str, Any]]) -> str:
    for parameter in parameters:
        if parameter.get("in") == "path":
            segment = SEGMENTS.get(parameter["schema"].get("format", ""), "1")
            path = path.replace(f"{{{parameter['name']}}}", segment)
    assert "{" not in path
    return path
