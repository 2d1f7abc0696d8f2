"""The names that a declaration may have: of resources, of what PostgreSQL has, and those that are taken."""

import re

URL_NAME = re.compile(r"[a-z][a-z0-9_-]*")
# What is served beside the tables, and what stands beside the rows in an answer.
TAKEN = (
    "docs",
    "health",
    "livez",
    "readyz",
    "metrics",
    "status",
    "usage",
    "audit",
    "me",
    "problems",
    "api",
    "openapi",
    "static",
    "links",
    "missing",
    "pagination",
)
# PostgreSQL cuts off what is longer. https://www.postgresql.org/docs/current/sql-syntax-lexical.html
LONGEST_IDENTIFIER = 63
QUOTED = r'"(?:[^"\x00]|"")+"'
IDENTIFIER = re.compile(rf"{QUOTED}|[^\".]+")
UNQUOTED = re.compile(r"[a-z_][a-z0-9_$]*")
# Before the ending of a plural, what it leaves of the word.
PLURALS = ((r"ies$", "y"), (r"(ss|x|ch|sh|zz)es$", r"\1"), (r"([^sui])s$", r"\1"))


def check_name(name: str) -> str | None:
    """What keeps a name out of a URL, or ``None``."""
    if URL_NAME.fullmatch(name):
        return None
    return "must have small letters, digits, - and _ only, and begin with a letter."


def check_identifier(name: str) -> str | None:
    """Why nothing in PostgreSQL can have this name, or ``None``."""
    if not name or "\x00" in name:
        return "is no name that PostgreSQL takes"
    if len(name.encode()) > LONGEST_IDENTIFIER:
        return f"is longer than the {LONGEST_IDENTIFIER} bytes of a name in PostgreSQL"
    return None


def split_source(text: str) -> tuple[str, str]:
    """Schema and table of ``public.orders`` or ``"My Schema"."T.x"``. Raises ``ValueError``."""
    parts = IDENTIFIER.findall(text)
    if len(parts) != 2 or ".".join(parts) != text:
        raise ValueError("must be a schema and a table or view, such as public.orders.")
    schema, table = (_read_identifier(part) for part in parts)
    return schema, table


def _read_identifier(part: str) -> str:
    if not part.startswith('"') and not UNQUOTED.fullmatch(part):
        # Unquoted, PostgreSQL would read small letters, or nothing that is a name.
        raise ValueError(f"must have {part} in double quotes, as SQL has: '\"{part}\"'.")
    name = unquote(part)
    if problem := check_identifier(name):
        raise ValueError(f"{problem}.")
    return name


def unquote(part: str) -> str:
    """The name that an identifier of SQL is, which need not be in double quotes."""
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def guess_one(name: str) -> str:
    """What a row is called, from the name of the table: an order of ``orders``."""
    for ending, rest in PLURALS:
        if (one := re.sub(ending, rest, name)) != name:
            return one.replace("-", "_")
    return name.replace("-", "_")
