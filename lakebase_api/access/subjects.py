"""Which names a caller may come with from outside."""

import re

# Characters of a subject: more than an e-mail address may have, no more than an index of PostgreSQL takes.
GREATEST = 320
# No control characters, which logs and headers do not carry, and nothing that is not UTF-8.
FIT = re.compile(rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{GREATEST}}}")
KEY_PREFIX = "key:"
# Names that the service itself gives, or that stand for many in what rights say. Who could bring one along
# would have what is another's.
RESERVED = re.compile(r"anonymous|local|\*|(?:key|claim):.*", re.DOTALL)


def find_fault(subject: str) -> str | None:
    """Why a name from outside cannot be that of a caller, or ``None`` when it can."""
    if len(subject) > GREATEST:
        return f"has more than {GREATEST} characters"
    if not FIT.fullmatch(subject):
        return "is empty, or has control characters"
    if RESERVED.fullmatch(subject):
        return "is a name that the service keeps for itself"
    return None


def choose_label(texts: list[object], subject: str) -> str:
    """The first of the texts that people can be shown, else the subject."""
    return next((text for text in texts if isinstance(text, str) and FIT.fullmatch(text)), subject)
