"""What a PostgreSQL program wrote since a moment, and what that means to the person who started it."""

import re
from pathlib import Path

from lakebase_api.local.disk import FULL, full_disk
from lakebase_api.local.failure import LocalFailure

TELLING = re.compile(r"(?:FATAL|PANIC|HINT|error):\s+(.+)")


class LogExcerpt:
    """The part of a log file written after this object was made."""

    def __init__(self, path: Path) -> None:
        """The file need not exist yet."""
        self._path = path
        self._start = path.stat().st_size if path.exists() else 0

    def read(self) -> str:
        """What was written so far."""
        with self._path.open("rb") as log:
            log.seek(self._start)
            return log.read().decode(errors="replace")

    def explain(self, what: str, message: str = "") -> LocalFailure:
        """The failure to raise if PostgreSQL has not done its work; `message` is what it told its client."""
        text = self.read()
        if FULL in text or FULL in message:
            return full_disk(self._path.parent)
        last_words = (
            (message or text).strip().splitlines()[-1:]
        )  # some programs put no word like "error" first
        reasons = [match.strip() for match in TELLING.findall(text)] or last_words
        return LocalFailure(f"{what}: {'; '.join(reasons) or 'no reason given'}. Its log is {self._path}.")
