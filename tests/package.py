"""`make check`: the sdist and the wheel, built as for a release, held against the tree, installed and tried.

`python -m tests.package FOLDER`, which is `make dist`, leaves both in the folder. Nothing is downloaded:
setuptools is the one of this environment, and so are the libraries with which the wheel is tried.
"""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lakebase_api import __version__

ROOT = Path(__file__).parent.parent
PACKAGE = "lakebase_api"
# Beside the package: what builds the wheel, and what people read.
BUILT_FROM = {
    *("CHANGELOG.md", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md"),
    *("pyproject.toml", "requirements-otel.in", "requirements.in", "setup.cfg"),
}
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
OFFLINE = ("--no-index", "--no-deps")
SECRET = "PGPASSWORD=nobody-else-may-read-this"
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


class Unfit(Exception):
    """A package is not as it must be; the text says how."""


def run(command: Sequence[str | Path], folder: Path | None = None) -> str:
    """What a program prints; raises ``Unfit`` with all of it if it fails."""
    ended = subprocess.run(
        command, cwd=folder, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if ended.returncode:
        raise Unfit(f"{' '.join(map(str, command))} ended with {ended.returncode}:\n{ended.stdout}")
    return ended.stdout


def copy_tree(folder: Path) -> Path:
    """What a clone has: building writes into a tree. Returns the folder, which is made within ``folder``."""
    copy = folder / "tree"
    left_out = shutil.ignore_patterns(
        ".git",
        ".env",
        ".venv*",
        ".local",
        ".*_cache",
        "__pycache__",
        ".hypothesis",
        "*.egg-info",
        "build",
        "dist",
    )
    shutil.copytree(ROOT, copy, ignore=left_out)
    return copy


def build_sdist(tree: Path, folder: Path) -> Path:
    """Build the sdist of a tree into a folder; returns its path."""
    run([sys.executable, "-c", SDIST, folder], tree)
    [sdist] = folder.glob("*.tar.gz")
    return sdist


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a tree or an sdist into a folder, which is made; returns its path."""
    run([*PIP, "wheel", *OFFLINE, "--no-build-isolation", "-w", folder, source])
    [wheel] = folder.glob("*.whl")
    return wheel


def make_environment(folder: Path, wheel: Path) -> Path:
    """Make an environment of the wheel and what it says it needs; returns the folder of its programs."""
    run([sys.executable, "-m", "venv", "--without-pip", folder])
    paths = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
    libraries, programs = Path(paths["purelib"]), Path(paths["scripts"])
    python = programs / "python"
    run([*PIP, "--python", python, "install", *OFFLINE, wheel])
    [installed] = distributions(path=[str(libraries)])
    needed: dict[str, Distribution] = {}
    _add_needed(installed, set(), needed)
    for library in needed.values():
        _link_library(library, libraries)
    run([*PIP, "--python", python, "check"])
    return programs


def _add_needed(library: Distribution, extras: set[str], needed: dict[str, Distribution]) -> None:
    for line in library.requires or ():
        wanted = Requirement(line)
        marker = wanted.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            continue
        found = distribution(wanted.name)
        is_new = needed.setdefault(canonicalize_name(wanted.name), found) is found
        if is_new or wanted.extras:
            _add_needed(found, wanted.extras, needed)


def _link_library(library: Distribution, libraries: Path) -> None:
    for top in {file.parts[0] for file in library.files or ()} - {"..", "__pycache__"}:
        link = libraries / top
        if not link.exists():
            link.symlink_to(Path(str(library.locate_file(top))))


def hold_sdist(sdist: Path) -> None:
    """Raise ``Unfit`` unless the sdist has what the wheel is built from, and no more."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    _hold_names(
        sdist, {name for name in names if f"{PACKAGE}.egg-info" not in name}, BUILT_FROM | list_package()
    )


def hold_wheel(wheel: Path, again: Path) -> None:
    """Raise ``Unfit`` unless the wheel has the files of the package, as the one that the sdist gives."""
    files, same = _read_files(wheel), _read_files(again)
    different = sorted(name for name in files.keys() | same.keys() if files.get(name) != same.get(name))
    if different:
        raise Unfit(f"the sdist gives another wheel than the tree: {', '.join(different)}")
    _hold_names(wheel, {name for name in files if ".dist-info/" not in name}, list_package())


def list_package() -> set[str]:
    """The files of the package in this tree."""
    found = (path for path in (ROOT / PACKAGE).rglob("*") if path.is_file() and path.name != ".env")
    return {str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts}


def _hold_names(package: Path, names: set[str], wanted: set[str]) -> None:
    if names != wanted:
        raise Unfit(
            f"{package.name} has too much: {sorted(names - wanted)}; and too little: {sorted(wanted - names)}"
        )


def _read_files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def try_wheel(programs: Path, folder: Path) -> None:
    """Raise ``Unfit`` unless the installed commands answer, begin a service, and the app can be imported."""

    lakebase_api, python = programs / "lakebase-api", programs / "python"
    told = run([lakebase_api, "--version"], folder).strip()
    if told != f"lakebase-api {__version__}":
        raise Unfit(f"lakebase-api --version says {told!r}, and the code {__version__}")
    run([lakebase_api, "--help"], folder)
    run([python, "-m", PACKAGE, "new", "my-api"], folder)
    where = Path(run([python, "-c", f"import {PACKAGE}.app; print({PACKAGE}.__file__)"], folder).strip())
    if not where.is_relative_to(programs.parent):
        raise Unfit(f"{where} was imported in place of the installed package")


def main(arguments: list[str]) -> int:
    """Build and try both packages; returns the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = copy_tree(folder)
        (tree / ".env").write_text(SECRET)
        (tree / PACKAGE / ".env").write_text(SECRET)
        try:
            sdist = build_sdist(tree, folder)
            hold_sdist(sdist)
            wheel = build_wheel(tree, folder / "of-tree")
            hold_wheel(wheel, build_wheel(sdist, folder / "of-sdist"))
            try_wheel(make_environment(folder / "environment", wheel), folder)
        except Unfit as fault:
            sys.stderr.write(f"The packages are not fit to be released: {fault}\n")
            return 1
        for package in (sdist, wheel):
            sys.stdout.write(f"{package.name}, {package.stat().st_size:,} bytes\n")
            for target in map(Path, arguments):
                target.mkdir(parents=True, exist_ok=True)
                sys.stdout.write(f"{shutil.copy(package, target)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
