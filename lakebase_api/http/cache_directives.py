"""What a request says of answers from memory: https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1"""

import math
import re
from dataclasses import dataclass
from functools import lru_cache

DIRECTIVE = re.compile(r'([a-z-]+)(?:\s*=\s*"?([0-9]{1,9})"?)?')


@dataclass(frozen=True)
class Directives:
    """What it allows. Ages are in seconds; ``greatest_age`` is that of an answer known to be right then."""

    # Read anew, whatever is in memory.
    wants_new: bool = False
    # Keep nothing of the answer.
    forbids_keeping: bool = False
    # What needs the database is not worth it.
    wants_kept: bool = False
    greatest_age: float = math.inf
    # For so long after it counts as fresh an answer is welcome.
    staleness: float = 0.0


ALL_ALLOWED = Directives()


# Callers have few ways to say it.
@lru_cache(maxsize=256)
def read_directives(text: str) -> Directives:
    """The directives of a ``Cache-Control`` header. What cannot be read says nothing."""
    said: dict[str, str | None] = {}
    for part in text.lower().split(","):
        if match := DIRECTIVE.fullmatch(part.strip()):
            said[match[1]] = match[2]
    age, stale = said.get("max-age"), said.get("max-stale")
    return Directives(
        wants_new="no-cache" in said,
        forbids_keeping="no-store" in said,
        wants_kept="only-if-cached" in said,
        greatest_age=math.inf if age is None else float(age),
        staleness=0.0 if "max-stale" not in said else math.inf if stale is None else float(stale),
    )
