"""What a request brings reaches the database as values alone, whatever it is and wherever it stands.

Of every operation of the document each parameter and each field of a body is given a corpus of hostile texts,
one at a time. The server must have received no statement that it does not receive of harmless requests.
"""

import http.client
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from lakebase_api.local.server_log import LogExcerpt
from tests.conftest import ROLE, OrdersDatabase
from tests.gunicorn_process import GunicornProcess
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

# In every hostile text, and in nothing else.
MARK = "zqx"
CORPUS = [
    f'{MARK}"',
    f"{MARK}\\'; SELECT 1 --",
    f"1 OR 1=1 -- {MARK}",
    f"1) OR (SELECT pg_sleep(9)) IS NULL -- {MARK}",
    f"' UNION ALL SELECT usename, passwd FROM pg_shadow -- {MARK}",
    f"'; DROP TABLE orders_synced; -- {MARK}",
    f"o_orderkey,(SELECT/**/1)/*{MARK}*/",
    f"{{column}}{{value}}{{0}}{{}}%s%(value)s%%$1 $x${MARK}$x$",
    f"\u2019\u02bc\uff07{MARK}",
    f"%27%20OR%201=1%00{MARK}",
    f"\0'\n;{MARK}\r\n\t",
    MARK + "'" * 2000,
]
# Allowed wherever a text is, and of no order.
HARMLESS = "harmless"
HARMLESS_HEADERS = {"If-Match": '"harmless"', "Idempotency-Key": '"harmless"', "Prefer": "return=minimal"}
QUOTED_HEADERS = ("If-Match", "If-None-Match", "Idempotency-Key")
# In every entry of the server's log, before its level.
START = re.compile(r"^\d{4}-\d\d-\d\d .*? \[\d+\] (\w+): +", re.MULTILINE)
# How a statement was sent, under which name it was prepared, and how many milliseconds it may take.
SENT = re.compile(r"(?:execute \S+|statement): ")
VARYING = re.compile(r"(?<=_pg3_)\d+|(?<=statement_timeout = )\d+")


class Place(NamedTuple):
    """Where a text stands in a request, and a harmless one for it."""

    where: str
    name: str
    example: Any


# Those that any request may have. Of some the first that is there counts, and some lead to a refusal.
COMMON_HEADERS = [
    ("Accept", "Cookie", "Referer", "User-Agent", "X-Forwarded-For", "X-Forwarded-Email", "X-Request-Id"),
    ("X-Forwarded-Host",),
    ("X-Forwarded-Preferred-Username",),
    ("X-Forwarded-User",),
    ("X-Request-Timeout",),
]
COMMON = [[Place("header", name, HARMLESS) for name in group] for group in COMMON_HEADERS]


class Operation(NamedTuple):
    """An operation, and the places in its requests. A request has the ``required`` ones at least."""

    method: str
    path: str
    media_type: str
    takes_list: bool
    places: list[Place]
    required: list[Place]


def read_operations(document: dict[str, Any]) -> Iterator[Operation]:
    """All operations of an OpenAPI document."""
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            content = item[method].get("requestBody", {}).get("content", {})
            media_type = next(iter(content), "")
            body = content[media_type]["schema"] if content else {}
            parameters = item.get("parameters", []) + item[method].get("parameters", [])
            described = {find_place(each): each.get("required", False) for each in parameters}
            described |= read_fields(document, body.get("items", body)) if content else {}
            places = [*described, Place("query name", "", HARMLESS)]
            required = [place for place, is_required in described.items() if is_required]
            yield Operation(method.upper(), path, media_type, "items" in body, places, required)


def read_fields(document: dict[str, Any], reference: dict[str, str]) -> dict[Place, bool]:
    """The places in a body, and whether each is required."""
    schema = document["components"]["schemas"][reference["$ref"].rpartition("/")[2]]
    fields = {
        find_place({"in": "body", "name": name, **field}): name in schema["required"]
        for name, field in schema["properties"].items()
    }
    return {**fields, Place("body name", "", HARMLESS): False}


def find_place(described: dict[str, Any]) -> Place:
    """The place of a parameter or field."""
    name, schema = described["name"], described.get("schema", {})
    example = schema.get("items", schema).get("example", HARMLESS_HEADERS.get(name, HARMLESS))
    return Place(described["in"], name, described.get("example", example))


def spell(place: Place, value: Any) -> list[Any]:
    """The ways to write a value in its place."""
    if place.where.startswith("body"):
        return [value]
    text = str(value)
    if place.where == "header":
        # No client can send the others.
        plain = re.sub(r"[\x00-\x1f]", "", text)
        escaped = re.sub(r'(["\\])', r"\\\1", plain)
        return [plain, f'"{escaped}"'] if place.name in QUOTED_HEADERS else [plain]
    # What is percent-encoded is sent as it is, too, to be decoded once only.
    is_encoded = re.search("%[0-9A-F]{2}", text)
    return [quote(text, safe=""), quote(text, safe="%")] if is_encoded else [quote(text, safe="")]


# Of what is written once a minute, whatever is asked for: when it comes decides also how it is read.
BEHIND = re.compile(r'"lakebase_api"\."(usage|audit)"|SET statement_timeout = ')


class Walker:
    """Sends requests to the service, and knows which statements the server received."""

    def __init__(self, gunicorn: GunicornProcess, database: OrdersDatabase) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gunicorn.port, timeout=PATIENCE)
        self._log = LogExcerpt(database.server.log_path)
        self.operations = list(read_operations(gunicorn.get("/openapi.json").json()))

    def close(self) -> None:
        self._connection.close()

    def receive_statements(self) -> set[str]:
        """The statements that the server received so far, without their values, and how they failed."""
        log = self._log.read()
        assert MARK not in log, log[log.index(MARK) - 1000 :][:2000]
        # What is before the first entry, then the level of each and its text.
        _, *parts = START.split(log)
        # A level that is not LOG tells of a failure, with its statement.
        return {
            VARYING.sub("", SENT.sub("", text, count=1)).strip()
            for level, text in zip(parts[::2], parts[1::2], strict=True)
            if (level != "LOG" or SENT.match(text)) and not BEHIND.search(text)
        }

    def walk(self, value: str | None) -> None:
        """Give this value, or what is harmless there, to each place of each operation."""
        for operation in self.operations:
            for places in [*([place] for place in operation.places), *COMMON]:
                self.ask(operation, value, places)

    def ask(self, operation: Operation, value: str | None, places: list[Place]) -> None:
        """Send a request with this value in these places, in each way to write it there."""
        values = {each: spell(each, each.example)[0] for each in operation.required}
        spelled = [spell(place, place.example if value is None else value) for place in places]
        for texts in zip(*spelled, strict=True):
            self.send(operation, values | dict(zip(places, texts, strict=True)))

    def send(self, operation: Operation, values: Mapping[Place, Any]) -> None:
        """Send a request with these values as they are written."""
        path = operation.path
        query: list[str] = []
        fields: dict[str, Any] = {}
        headers = {"X-Forwarded-User": HARMLESS}
        if operation.media_type:
            headers["Content-Type"] = operation.media_type
        for (where, name, _), value in values.items():
            if where == "path":
                path = path.replace(f"{{{name}}}", value)
            elif where == "header":
                headers[name] = value
            elif where.startswith("query"):
                query.append(f"{name}={value}" if name else f"{value}=1")
            else:
                fields |= {name: value} if name else {value: 1}
        target = f"{path}?{'&'.join(query)}" if query else path
        body = json.dumps([fields] if operation.takes_list else fields) if operation.media_type else None
        encoded = {name: text.encode() for name, text in headers.items()}
        self._connection.request(operation.method, target, body, encoded)
        response = self._connection.getresponse()
        answer = response.read()
        assert response.status < 500, (operation.method, target, headers, body, answer)


@pytest.fixture
def walker(
    database: OrdersDatabase, start_gunicorn: Callable[[dict[str, str]], GunicornProcess]
) -> Iterator[Walker]:
    """For a service of which the server logs what it sends, but for the values."""
    for setting in ("log_statement = 'all'", "log_parameter_max_length = 0"):
        database.execute(f"ALTER ROLE {ROLE} IN DATABASE {database.name} SET {setting}")
    # Who the caller is goes into the database, too.
    environment = {**database.environment, "TRUST_FORWARDED_IDENTITY": "true"}
    gunicorn = start_gunicorn(environment).wait_until_started()
    with closing(Walker(gunicorn, database)) as walker:
        yield walker


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_text_from_outside_becomes_a_part_of_a_statement(walker: Walker) -> None:
    names = {place.name for operation in walker.operations for place in operation.places}
    assert names >= {"order_key", "sort", "o_clerk", "If-Match", "o_orderstatus"}
    # Twice, as the first change makes the table of changes, and with it other statements.
    for value in (None, HARMLESS, None, HARMLESS):
        walker.walk(value)
    expected = walker.receive_statements()
    assert any('"o_clerk" = $1' in statement for statement in expected)
    for value in CORPUS:
        walker.walk(value)
    assert walker.receive_statements() == expected
