"""Links from a list to its other pages, in the body and in the ``Link`` header (RFC 8288)."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_from_bytes, quote_plus, unquote_plus

from flask import Response, request
from marshmallow import fields

from lakebase_api.addresses import AUTHORITY
from lakebase_api.http.base_path import API_BASE
from lakebase_api.table.declaration import Table

# Proxies take 4 or 8 KiB for all headers of an answer, and answer 502 to more.
GREATEST_HEADER = 2000

# What stands in a query as it is, beside letters and digits; a percent sign only before two of these digits.
# https://www.rfc-editor.org/rfc/rfc3986#section-3.4 allows more, at which readers of the header split it.
QUERY_CHARACTERS = "!$&*+/:=?@%"
LONE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")

DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# By relation, the query parameters that make it another page, ``None`` for those it has not; or ``None``
# where there is no such page.
Targets = Mapping[str, Mapping[str, object] | None]


def describe_link_header(table: Table) -> dict[str, Any]:
    """The ``Link`` header of the table's lists, as OpenAPI has it."""
    _, following = _show_cursors(table)
    described = {
        "description": "The `links` of the body, as RFC 8288 has it; without those that would make it longer "
        f"than {GREATEST_HEADER:,} characters.",
        "schema": {"type": "string"},
        "example": f'<{following}>; rel="next"',
    }
    return {"Link": described}


def build_link_fields(table: Table) -> dict[str, fields.Field[Any]]:
    """Where to go from a page of one of the table's lists."""
    this, following = _show_cursors(table)
    first = _show_stream(table)
    return {
        "self": _link("This page.", this),
        "first": _link("The first page.", first),
        "prev": _link("The page before this one; `null` where there is none.", first),
        "next": _link("The page after this one; `null` where there is none.", following),
        "last": _link("The last page; `null` where it is not known.", None),
    }


def _link(meaning: str, example: str | None) -> fields.String:
    return fields.String(
        allow_none=True, metadata={"description": meaning, "format": "uri-reference", "example": example}
    )


def _show_stream(table: Table) -> str:
    return f"https://{table.name.replace('_', '-')}.example{API_BASE}/{table.name}/stream?page_size=100"


def _show_cursors(table: Table) -> list[str]:
    """Two pages that follow each other. What is no whole number has sealed cursors."""
    cursors = (100, 388) if table.has_integer_key else ("cAAEC", "cAAED")
    return [f"{_show_stream(table)}&cursor={cursor}" for cursor in cursors]


def describe_links(targets: Targets) -> dict[str, str | None]:
    """The URLs of the targets: that of the current request with other query parameters.

    The parameters it has keep their order, their repetitions and every byte. A new value takes the place of
    the first of its name; those of names that are not there come last. A URL is absolute unless the request
    has no usable ``Host``.
    """
    own = _split_query(request.query_string)
    url = _find_url()
    return {
        relation: None if changes is None else url + _join_query(own, changes)
        for relation, changes in targets.items()
    }


def add_link_header(response: Response, links: Mapping[str, str | None]) -> None:
    """Add the ``Link`` header of what ``describe_links`` gave; none where there is nothing to link to."""
    header = ""
    for relation, url in links.items():
        if url is not None:
            # The characters of these URLs need no quoting.
            link = f'<{url}>; rel="{relation}"'
            if len(header) + len(link) <= GREATEST_HEADER:
                header = f"{header}, {link}" if header else link
    if header:
        response.headers.add("Link", header)


def find_prefix() -> str:
    """The path below which a proxy serves the service to the current request, without the second base."""
    return quote(request.environ["SCRIPT_NAME"].removesuffix(API_BASE).encode("latin-1"))


def find_origin() -> str:
    """Scheme and host of the current request; empty if it has no usable ``Host``."""
    environ = request.environ
    host, scheme = environ.get("HTTP_HOST", ""), environ["wsgi.url_scheme"]
    return f"{scheme}://{host.removesuffix(DEFAULT_PORTS[scheme])}" if AUTHORITY.fullmatch(host) else ""


def _find_url() -> str:
    environ = request.environ
    # WSGI has the bytes of a path as characters.
    path = quote(f"{environ['SCRIPT_NAME']}{environ['PATH_INFO']}".encode("latin-1"))
    return find_origin() + path


def _split_query(query: bytes) -> list[tuple[str, str]]:
    """Each parameter with its name, and as it stands in a URL: as it came, if it may."""
    if b"%" in query:
        query = LONE_PERCENT.sub(b"%25", query)
    parameters = quote_from_bytes(query, QUERY_CHARACTERS).split("&")
    return [(_read_name(parameter), parameter) for parameter in parameters if parameter]


def _read_name(parameter: str) -> str:
    name = parameter.partition("=")[0]
    return unquote_plus(name) if "%" in name or "+" in name else name


def _join_query(own: list[tuple[str, str]], changes: Mapping[str, object]) -> str:
    new = {name: f"{name}={_write(value)}" for name, value in changes.items() if value is not None}
    parts = [new.pop(name, "") if name in changes else parameter for name, parameter in own]
    query = "&".join([part for part in (*parts, *new.values()) if part])
    return f"?{query}" if query else ""


def _write(value: object) -> str:
    return quote_plus(str(value).lower() if isinstance(value, bool) else str(value))
