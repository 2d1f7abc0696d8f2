"""Builds the image as its Dockerfile says, without an engine, and runs it as one would: `make image-check`.

It runs as the image's user, as process 1 in namespaces of its own, in a file system that is read-only but for
`/dev/shm`, against a stand-in for Lakebase. It prints figures, and exits with 1 when a bound is missed. It
needs Linux, root and debootstrap.
"""

import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.harness import PATIENCE, POOL, Figure, answers, open_lakebase, wait_until
from benchmarks.image_build import Image, build
from lakebase_api import __version__
from lakebase_api.settings import Settings
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.image.dockerfile import read_dockerfile

FOLDER = ROOT / ".local/image"
NEEDED = ("debootstrap", "unshare", "nsenter", "setpriv", "pivot_root", "ip")
NOT_SEEN = """Not seen by this: the Dockerfile as a container engine reads it, and its base image, in place of
which is Debian's own Python of the same version."""
COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make")
# The folders that the image adds to its base.
ADDED = ("app", "opt/venv")
NOT_FOR_IMAGES = {".env", ".git", "tests", "benchmarks", ".local"}
PORT = 8080
# Enters the root file system $1 at the folder $2, as user $3 and group $4, and runs the rest.
ENTER = """
root=$1 folder=$2 user=$3 group=$4
shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o nosuid,mode=755,size=64k tmpfs "$root/dev"
for node in null zero full random urandom; do
  touch "$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size=64m tmpfs "$root/dev/shm"
mount -o remount,ro "$root/dev"
mount -o remount,ro,bind "$root"
cd "$root"
pivot_root . .
umount -l .
cd "$folder"
exec setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --inh-caps=-all \
  --bounding-set=-all "$@"
"""
# In a network of its own the loopback interface is down at first.
NETWORK, LOOPBACK = "--net", "ip link set lo up\n"
WRITABLE = "find / -writable -not -type l -not -path '/proc/*' -not -path '/dev/*' 2>/dev/null; true"


def check_contents(image: Image) -> Iterator[Figure]:
    """What is in it, and what is not."""
    size = sum(measure(image.root / part) for part in ADDED)
    yield Figure("what it adds to its base", size, "MB")
    yield Figure("the base here, with pip", measure(image.root) - size, "MB")
    folders = [image.root / folder.lstrip("/") for folder in image.environment["PATH"].split(":")]
    yield none("compilers", [name for name in COMPILERS if any((each / name).exists() for each in folders)])
    added = [path for part in ADDED for path in (image.root / part).rglob("*")]
    yield none("parts of pip in what it adds", [path for path in added if path.match("site-packages/pip")])
    yield none("caches of pip", list(image.root.glob("root/.cache/*")))
    own = [path for path in added if path.is_relative_to(image.root / "app")]
    yield none("parts of .env, tests or history", [path for path in own if path.name in NOT_FOR_IMAGES])
    modes = [path for path in added if not path.is_symlink() and is_writable(path, *image.user)]
    yield none("added files that its user may write", modes)
    caches = [path for path in own if path.suffix == ".pyc"]
    yield Figure("modules of ours that are compiled", len(caches), at_least=1)


def check_service(image: Image) -> Iterator[Figure]:
    """It serves, and ends."""
    with open_lakebase() as lakebase:
        served = {
            **lakebase.environment(),
            **POOL,
            "ANONYMOUS": "all",
            "WEB_CONCURRENCY": "2",
            "DRAIN_DELAY": str(Settings.drain_delay),
        }
        began = time.monotonic()
        with run(image, served) as gunicorn:
            ready = wait_until(lambda: answers(gunicorn, "/readyz"))
            yield Figure("ready after", time.monotonic() - began if ready < PATIENCE else ready, "s")
            yield same("/livez", gunicorn.get("/livez").status_code, 200)
            yield same(
                "key of the order that was asked for", gunicorn.get("/orders/1").json()["o_orderkey"], 1
            )
            export = gunicorn.get("/orders/export?format=csv&header=false")
            [(orders,)] = lakebase.execute("SELECT count(*)::int FROM orders_synced")
            assert isinstance(orders, int)
            yield same("rows of an export", len(export.text.splitlines()), orders)
            yield from check_process(image, find_first_process(gunicorn))
            began = time.monotonic()
            find_first_process(gunicorn).send_signal(signal.SIGTERM)
            status = gunicorn.process.wait(PATIENCE)
            took = time.monotonic() - began
    yield Figure("SIGTERM: gone after", took, "s", at_most=Settings.shutdown_time)
    yield same("its exit status", status, 0)


def check_process(image: Image, process: psutil.Process) -> Iterator[Figure]:
    """What it runs as, seen from outside and from within."""
    lines = (line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    status = {name: value.split() for name, value in lines}
    yield same("its process number", int(status["NSpid"][-1]), 1)
    yield same("its user", int(status["Uid"][1]), image.user[0])
    yield same("its capabilities", int(status["CapEff"][0], 16) | int(status["CapBnd"][0], 16), 0)
    yield same("new privileges are ruled out", int(status["NoNewPrivs"][0]), 1)
    written = run_beside(image, process, ["/bin/sh", "-c", WRITABLE]).stdout.split()
    yield none("places that it may write but /dev/shm", written)
    tried = run_beside(image, process, ["/bin/sh", "-c", "touch /app/x || touch /tmp/x || touch /dev/x"])
    yield same("writing to /app, /tmp or /dev succeeds", int(tried.returncode == 0), 0)
    environment = {"PATH": image.environment["PATH"], "BIND": process.environ()["BIND"]}
    health = run_beside(image, process, image.health_command, environment)
    yield same("status of its HEALTHCHECK", health.returncode, 0)


def check_port(image: Image) -> Iterator[Figure]:
    """PORT is taken on all addresses, in a network of its own, with no database there."""
    away = {"PGHOST": "127.0.0.1", "PGUSER": "nobody", "PGPASSWORD": "none", "PGSSLMODE": "disable"}
    served = {**away, "PORT": str(PORT), "BIND": "", "ENV_FILE": os.devnull}
    with run(image, served, NETWORK) as gunicorn:
        gunicorn.wait_for_output(f"Listening at: http://0.0.0.0:{PORT}")
        gunicorn.wait_until_started()
        process = find_first_process(gunicorn)
        environment = {"PATH": image.environment["PATH"], "PORT": str(PORT)}
        health = run_beside(image, process, image.health_command, environment)
        yield same("PORT: status of its HEALTHCHECK", health.returncode, 0)
        process.send_signal(signal.SIGTERM)
        yield same("PORT: exit status", gunicorn.process.wait(PATIENCE), 0)


@contextmanager
def run(image: Image, environment: dict[str, str], *namespaces: str) -> Iterator[GunicornProcess]:
    """The image's command, as an engine runs it, in the network that is there or its own."""
    user, group = image.user
    script = LOOPBACK + ENTER if NETWORK in namespaces else ENTER
    entering = ["sh", "-euc", script, "enter", str(image.root), image.workdir, str(user), str(group)]
    own = ["--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", *namespaces]
    command = ["unshare", *own, "--", *entering, *image.command]
    with GunicornProcess({**image.environment, "HOME": "/", **environment}, command=command) as gunicorn:
        yield gunicorn


def find_first_process(gunicorn: GunicornProcess) -> psutil.Process:
    """The process that is the first one in its namespace."""
    [process] = psutil.Process(gunicorn.process.pid).children()
    return process


def run_beside(
    image: Image, process: psutil.Process, command: Sequence[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in the namespaces of a process and as its user."""
    user, group = image.user
    entering = ["nsenter", "--target", str(process.pid), "--mount", "--pid", "--net", "--root", "--wd"]
    becoming = ["setpriv", "--reuid", str(user), "--regid", str(group), "--clear-groups", "--no-new-privs"]
    return subprocess.run(
        [*entering, *becoming, *command], env=environment, capture_output=True, text=True, check=False
    )


def measure(path: Path) -> float:
    """The bytes of all files below, in MB."""
    files = (each.lstat() for each in path.rglob("*"))
    return sum({each.st_ino: each.st_size for each in files if stat.S_ISREG(each.st_mode)}.values()) / 1e6


def is_writable(path: Path, user: int, group: int) -> bool:
    """Whether modes let the user write there."""
    found = path.stat()
    if found.st_uid == user:
        return bool(found.st_mode & stat.S_IWUSR)
    return bool(found.st_mode & (stat.S_IWGRP if found.st_gid == group else stat.S_IWOTH))


def none(what: str, found: Sequence[object]) -> Figure:
    """The figure of what there must be none of; the first ones are told."""
    shown = ", ".join(map(str, found[:3]))
    return Figure(f"{what} ({shown})" if shown else what, len(found), at_most=0)


def same(what: str, value: int, expected: int) -> Figure:
    """The figure of what must have a value."""
    return Figure(what, value, at_least=expected, at_most=expected)


def find_obstacle() -> str | None:
    """Why it cannot be done here, or ``None``."""
    if platform.system() != "Linux":
        return "it needs Linux, whose namespaces containers are made of"
    if os.geteuid() != 0:
        return "it needs root: debootstrap makes device nodes and owners, and namespaces are entered"
    missing = [name for name in NEEDED if not shutil.which(name)]
    return f"{', '.join(missing)} not found: on Debian, apt install debootstrap iproute2" if missing else None


def main() -> int:
    """Build it, look into it, run it; returns the exit status."""
    if obstacle := find_obstacle():
        print(f"The image is not checked: {obstacle}.", file=sys.stderr)
        return 2
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    arguments = {
        "VERSION": __version__,
        "REVISION": revision.stdout.strip(),
        "CREATED": datetime.now(UTC).isoformat(timespec="seconds"),
        "SOURCE": "https://git.example.com/lakebase-api",
    }
    image = build(FOLDER, read_dockerfile((ROOT / "Dockerfile").read_text()), ROOT, arguments)
    print(json.dumps(image.labels, indent=2))
    figures = []
    for figure in (*check_contents(image), *check_service(image), *check_port(image)):
        figures.append(figure)
        print(figure, flush=True)
    print(NOT_SEEN)
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
