"""The caller as the proxy in front says it.

https://docs.databricks.com/aws/en/dev-tools/databricks-apps/http-headers
"""

from collections.abc import Mapping
from typing import Any

from lakebase_api.access.caller import Caller, Method
from lakebase_api.access.refusals import Unauthenticated
from lakebase_api.access.subjects import choose_label, find_fault

SUBJECT = "HTTP_X_FORWARDED_USER"
# For people to read alone: others than the proxy may be able to set them, and they may change.
LABELS = ("HTTP_X_FORWARDED_EMAIL", "HTTP_X_FORWARDED_PREFERRED_USERNAME")


def read_forwarded(environ: Mapping[str, Any], method: Method) -> Caller | None:
    """The caller that the headers of a WSGI request name, or ``None``. Raises ``Unauthenticated``."""
    subject = _read_text(environ, SUBJECT)
    if not subject:
        return None
    if fault := find_fault(subject):
        raise Unauthenticated(f"X-Forwarded-User {fault}.")
    return Caller(subject, choose_label([_read_text(environ, name) for name in LABELS], subject), method)


def _read_text(environ: Mapping[str, Any], name: str) -> str:
    """A header as text. WSGI has its bytes as characters: they are UTF-8, or else taken as they are."""
    text: str = environ.get(name, "").strip()
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
