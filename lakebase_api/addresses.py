"""How addresses are written in settings: of the workspace, of the database, of browser pages, to listen on.

Each function reads one text and raises marshmallow's ``ValidationError``, whose words never repeat the text:
a URL may hold a password.
"""

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from marshmallow import ValidationError

# 0 to 65535
PORT = r"(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
NAME = r"[A-Za-z0-9._-]+"
# A name or address as URLs write it: IPv6 in brackets.
HOST = rf"(?:{NAME}|\[[0-9A-Fa-f:.]+\])"
# A host with or without its port, as `Host` has it. Containers have names with an underscore.
AUTHORITY = re.compile(rf"({HOST})(?::{PORT})?")
ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://({HOST})(?::({PORT}))?", re.IGNORECASE)
PROVIDER = re.compile(rf"(https?)://({HOST})(?::{PORT})?(?:[/?][!$-;=?-Z_a-z~]*)?")
TCP = re.compile(rf"(?:tcp://)?({HOST})?:({PORT})")
DEFAULT_PORTS = {"http": "80", "https": "443"}
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104  who asks for it by ":port" means it
# Bytes of the path of a socket. https://man7.org/linux/man-pages/man7/unix.7.html
LONGEST_SOCKET = 107


def read_workspace_url(text: str) -> str:
    """Scheme and host of a workspace's URL, which people copy from their browser with all that follows."""
    text = text.strip("'\"<> ")
    has_scheme = "://" in text
    origin = _find_origin(text if has_scheme else f"https://{text}")
    if not origin.startswith(("https://", "http://")) or not (has_scheme or "." in origin):
        raise ValidationError(
            "Must be the URL of the workspace, such as https://my-workspace.cloud.databricks.com."
        )
    return origin


def _find_origin(url: str) -> str:
    """Scheme, host and port of a URL, without what comes after them; nothing if it has none, or a user."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    match = ORIGIN.fullmatch(f"{parts.scheme}://{parts.netloc}")
    return match[0].lower() if match and _is_host(match[2]) else ""


def read_provider_url(text: str) -> str:
    """An address of the identity provider, to the letter. What it says of its keys decides who is let in."""
    match = PROVIDER.fullmatch(text)
    if not match or not _is_host(match[2]) or (match[1] == "http" and not is_loopback(match[2])):
        raise ValidationError("Must be a URL that begins with https://, without a user.")
    return text


def read_origin(text: str) -> str:
    """``*``, or the origin of a page as browsers say it (RFC 6454, 6.2): lower case, without a usual port."""
    if text == "*":
        return text
    match = ORIGIN.fullmatch(text)
    if not match or not _is_host(match[2]):
        raise ValidationError(
            "Must be * or origins such as https://shop.example.com or http://localhost:3000, separated by "
            "commas: scheme, host and perhaps a port, no path, and no * within."
        )
    scheme, host, port = match.groups()
    scheme = scheme.lower()
    return f"{scheme}://{host.lower()}" + (f":{port}" if port and port != DEFAULT_PORTS.get(scheme) else "")


def read_host(text: str) -> str:
    """A host, perhaps with a port, as the header Host has it; in lower case."""
    match = AUTHORITY.fullmatch(text)
    if not match or not _is_host(match[1]):
        raise ValidationError("Must have the form host or host:port.")
    return text.lower()


def read_bind(text: str) -> str:
    """Where gunicorn is to listen: ``host:port``, ``unix:path`` or ``fd://n``.

    ``:port`` becomes all addresses. https://gunicorn.org/reference/settings/#bind
    """
    if text.startswith("unix:") and text.removeprefix("unix:").strip("/"):
        return _check_socket(text)
    match = TCP.fullmatch(text)
    if match and (match[1] is None or _is_host(match[1])):
        return f"{match[1] or ALL_ADDRESSES}:{match[2]}"
    if re.fullmatch(r"fd://[0-9]+", text):
        return text
    raise ValidationError("Must have the form host:port, :port, [IPv6 address]:port or unix:path.")


def read_metrics_bind(text: str) -> str:
    """Where metrics are served apart: ``host:port``, or ``:port`` for all addresses."""
    match = TCP.fullmatch(text)
    if not match or not int(match[2]) or (match[1] is not None and not _is_host(match[1])):
        raise ValidationError("Must have the form host:port, :port or [IPv6 address]:port.")
    return f"{match[1] or ALL_ADDRESSES}:{match[2]}"


def split_bind(bind: str) -> tuple[str, int]:
    """Host, without brackets, and port of ``host:port``."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


def _check_socket(text: str) -> str:
    path = text.removeprefix("unix:").removeprefix("//")
    if len(path.encode()) > LONGEST_SOCKET:
        raise ValidationError(f"The path of a socket has {LONGEST_SOCKET} bytes at most.")
    if not Path(path).parent.is_dir():
        raise ValidationError("The folder of the socket is not there.")
    return text


def read_database_host(text: str) -> str:
    """A host of PGHOST: a name, an address, or the folder of a socket."""
    if text.startswith("/") or re.fullmatch(NAME, text):
        return text
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValidationError(
            "Must be a name, an address or the folder of a socket, without scheme, user and port."
        ) from None
    return text


def _is_host(host: str) -> bool:
    """Whether a host as URLs write it can be one: what looks like an address must be one."""
    if host.startswith("["):
        kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address] = ipaddress.IPv6Address
    elif re.fullmatch(r"[0-9.]+", host):
        kind = ipaddress.IPv4Address
    else:
        return True
    try:
        kind(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a name or address, in brackets or not, is of this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def name_network(address: str) -> str:
    """The address, of IPv6 its first 64 bits: whoever has one has all that begin so. Any other text as it is.

    https://www.rfc-editor.org/rfc/rfc6177#section-2
    """
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False).network_address)


def is_open_to_others(bind: str) -> bool:
    """Whether other machines may reach what listens there; a descriptor that was handed over counts so."""
    return not bind.startswith("unix:") and not is_loopback(bind.rpartition(":")[0])
