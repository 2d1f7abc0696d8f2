"""The folder one embedded server lives in: where it is, who holds it, and the superuser's password."""

import fcntl
import hashlib
import os
import secrets
import stat
import time
from pathlib import Path

from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.os_user import Account, can_enter, give

ELSEWHERE = Path("/var/tmp")  # noqa: S108  kept across restarts, unlike /tmp, and open to every account
PATIENCE = 25.0  # seconds for the server of a killed owner to shut down: its leash's graces and some more


def choose_home(folder: Path, account: Account | None) -> Path:
    """`folder`, made if need be, or one under /var/tmp if `account` cannot get there. Changes no modes."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if account is None or can_enter(account, folder):
        return folder
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    home = ELSEWHERE / f"lakebase-api-{name}"
    home.mkdir(mode=0o755, exist_ok=True)
    status = home.lstat()
    # Anyone may make a folder or a link of this name there; as root we must not write through it.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise LocalFailure(f"{home} is not ours to use: remove it and start again.")
    home.chmod(0o755)
    return home


def lock_home(home: Path) -> int:
    """Take the folder for this process; returns the open lock, which a child may hold as well.

    Waits if the last owner is dead and its server still shutting down. Raises LocalFailure if it is alive.
    """
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 32, 0).decode()
            if is_running(owner) or time.monotonic() > deadline:
                os.close(lock)
                raise LocalFailure(
                    f"{home} is in use by process {owner or 'unknown'}: stop that one first."
                ) from None
            time.sleep(0.05)
        else:
            os.truncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock


def unlock_home(lock: int) -> None:
    """Give the folder back, even if a forked child still has the descriptor."""
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def is_running(owner: str) -> bool:
    """Whether the process of that id lives; an owner that has not written its id yet does."""
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True


def read_password(home: Path, account: Account | None) -> str:
    """The superuser's password, random, made at the first call and kept in a file only `account` may read."""
    path = home / "password"
    if not path.exists():
        unfinished = home / "password.new"
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(secrets.token_urlsafe(32))
        give(unfinished, account)  # initdb reads it, and runs as the account
        unfinished.rename(path)
    return path.read_text()
