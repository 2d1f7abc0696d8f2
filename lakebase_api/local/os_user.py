"""The account PostgreSQL runs under: the caller's own, or `nobody` for root, whom `postgres` refuses."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lakebase_api.local.failure import LocalFailure

# PostgreSQL reads PG* variables and LANG; nothing of what the caller has exported is meant for it.
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}


class Account(NamedTuple):
    """Numeric ids to run a command with."""

    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """`nobody` if this process is root, else None (no change). Raises LocalFailure without a `nobody`."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise LocalFailure(
            "PostgreSQL refuses to run as root and there is no user nobody: use another user."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def run_as(account: Account | None, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end; returns it with its output. Raises OSError if it cannot be run."""
    return subprocess.run(
        command,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        env=ENVIRONMENT,
        cwd="/",  # the caller's folder may be closed to the account
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def can_enter(account: Account | None, folder: Path) -> bool:
    """Whether the account gets into the folder: tried, as modes say nothing of ACLs. Raises LocalFailure."""
    try:
        return run_as(account, ["/bin/sh", "-c", 'cd "$1"', "sh", folder]).returncode == 0
    except PermissionError:
        raise LocalFailure("This root may not switch to the user nobody: start it as another user.") from None


def give(path: Path, account: Account | None) -> None:
    """Hand one file or folder to the account."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
