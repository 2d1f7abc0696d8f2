"""A full disk: seen before the work starts where that can be, recognised afterwards where it cannot."""

import shutil
from pathlib import Path

from lakebase_api.local.failure import LocalFailure

FULL = "No space left on device"  # strerror(ENOSPC), in PostgreSQL's messages and in Python's
MEGABYTE = 1_000_000


def full_disk(folder: Path) -> LocalFailure:
    """The failure to raise when something ran out of space in `folder`."""
    free = shutil.disk_usage(folder).free // MEGABYTE
    return LocalFailure(f"The disk that holds {folder} is full ({free} MB left): free some and start again.")


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise LocalFailure unless the disk that holds `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LocalFailure(
            f"{purpose} needs {needed // MEGABYTE} MB and the disk that holds {folder} has "
            f"{free // MEGABYTE} MB left: free some, or choose a smaller SF."
        )
