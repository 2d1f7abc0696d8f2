"""Requests good and bad, kept as bytes: what the fuzzing begins with, and what it found.

The tests replay every one of them. What the fuzzing finds is added to ``FOUND``, as it prints it.
"""

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /orders/1/status HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
# The status that it has, so that tests which share a database see no change.
BODY = b'{"o_orderstatus": "O"}'


def get(target: str) -> bytes:
    """A GET request for the target as it is."""
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(body: bytes) -> bytes:
    """A change of status with this body."""
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunk(body: bytes, size: int, trailer: bytes = b"") -> bytes:
    """A change of status whose body comes in chunks."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"


TARGETS = [
    "/",
    "/livez",
    "/readyz?verbose",
    "/health",
    "/docs",
    "/openapi.json",
    "/problems",
    "/problems/not-found",
    "/orders/1",
    "/api/v1/orders/1",
    "/orders/count",
    "/orders/sample",
    "/orders/pages?page=1&page_size=2&include_count=true",
    "/orders/stream?cursor=3&page_size=2",
]
GOOD = {target: get(target) for target in TARGETS} | {
    "HEAD": b"HEAD /orders/1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "OPTIONS": b"OPTIONS /orders/1/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/1.0": b"GET /orders/1 HTTP/1.0\r\n\r\n",
    "kept by HTTP/1.0": b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "closed by the client": HEAD + b"Connection: close\r\n\r\n",
    "an absolute target": get("http://localhost/orders/1"),
    "a known order": b'GET /orders/1 HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: "x", W/"y"\r\n\r\n',
    "an id and a deadline": HEAD + b"X-Request-Id: abc\r\nX-Request-Timeout: 5\r\n\r\n",
    "what proxies add": HEAD
    + b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: a,b\r\nX-Real-Ip: ::1\r\nVia: 1.1 a\r\n\r\n",
    "what browsers add": HEAD + b"Origin: http://a\r\nAccept-Encoding: gzip\r\nCookie: a=b; c\r\n\r\n",
    "what nobody heeds": HEAD + b"Range: bytes=0-5\r\nTE: trailers\r\nUpgrade: h2c\r\n\r\n",
    "a change": post(BODY),
    "a change in chunks": chunk(BODY, 7),
    "a change in bytes, with a trailer": chunk(BODY, 1, b"A: b\r\n"),
    "a change that waits to continue": post(BODY).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
    "two at once": get("/orders/1") + post(BODY),
    "three at once": get("/livez") * 3,
}

BEYOND_64_BITS = "9" * 30
BAD_VALUES = [
    "%00",
    "1%00",
    "%",
    "%zz",
    "%ff%fe",
    "%C3%28",
    "%ED%A0%80",
    BEYOND_64_BITS,
    f"-{BEYOND_64_BITS}",
]
BAD_TARGETS = [
    "/orders/{}",
    "/orders/pages?page={}",
    "/orders/pages?page_size={}",
    "/orders/pages?include_count={}",
    "/orders/stream?cursor={}",
    "/orders/stream?page_size={}",
    "/orders/count?{}=1",
    "/{}",
    "/problems/{}",
]
BAD_REQUESTS = {
    "one header of 1 MB": HEAD + b"A: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "headers of 1 MB": HEAD + b"A: xxxxxxxxxxxxxxx\r\n" * 50_000 + b"\r\n",
    "a request line of 1 MB": b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
    "no line at all": b"x" * 1_000_000,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "NUL in the path": b"GET /orders/\x00 HTTP/1.1\r\n\r\n",
    "NUL in a header": HEAD + b"X-Request-Id: a\x00b\r\n\r\n",
    "no UTF-8 in the path": b"GET /orders/\xff HTTP/1.1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length beyond 64 bits": POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "a length below 0": POST + b"Content-Length: -1\r\n\r\n",
    "a chunk of no size": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "chunks beyond the limit": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000,
    "a chunk beyond the limit": POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFF\r\n" + b"x" * 1_000_000,
}
BAD_BODIES = {
    "no UTF-8": b'{"o_orderstatus": "\xff\xfe"}',
    "NUL": b'{"o_orderstatus": "\x00"}',
    "an escaped NUL": b'{"o_orderstatus": "\\u0000"}',
    "half a character": b'{"o_orderstatus": "\\ud800"}',
    "beyond 64 bits": b'{"o_orderstatus": ' + BEYOND_64_BITS.encode() + b"}",
    "beyond every number": b'{"o_orderstatus": 1e999999}',
    "NaN": b'{"o_orderstatus": NaN}',
    "nested lists": b"[" * 30_000 + b"]" * 30_000,
    "nested objects": b'{"o_orderstatus":' * 3_000 + b"1" + b"}" * 3_000,
    "empty": b"",
}
# None of these may be answered with anything but 4xx.
BAD = (
    BAD_REQUESTS
    | {name: post(body) for name, body in BAD_BODIES.items()}
    | {target.format(value): get(target.format(value)) for target in BAD_TARGETS for value in BAD_VALUES}
)

HALF = {
    "half a head": HEAD,
    "half a body": POST + b"Content-Length: 2000\r\n\r\n{",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n7D0\r\n{",
}

FOUND: dict[str, bytes] = {}

SEEDS = GOOD | BAD | HALF | FOUND
