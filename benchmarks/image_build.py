"""Does what a Dockerfile says in folders, where there is no container engine.

Each stage begins as a copy of one base: Debian with Python, made by debootstrap, in place of the image that
FROM names. Packages are fetched outside and installed inside without a network. It needs root.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.image.dockerfile import (
    Dockerfile,
    Stage,
    fill_in,
    list_context,
    read_command,
    read_copy,
    read_pairs,
)

# Has Python 3.11, as the base of the Dockerfile does.
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WHEELS = "wheels"
NO_NETWORK = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"/{WHEELS}", "PIP_QUIET": "1"}


@dataclass
class Image:
    """A root file system, and how it is run; ``workdir`` and what of the file is in it are paths in it."""

    root: Path
    stage: Stage
    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        """What runs in it."""
        return read_command(self.stage.find("CMD"))

    @property
    def health_command(self) -> list[str]:
        """What tells whether it runs."""
        return read_command(self.stage.find("HEALTHCHECK").partition("CMD ")[2])

    @property
    def user(self) -> tuple[int, int]:
        """The numbers of user and group."""
        user, group = self.stage.find("USER").split(":")
        return int(user), int(group)


def make_base(folder: Path) -> Path:
    """The file system that stages begin with; made once, which takes minutes and the network."""
    base = folder / "base"
    if not base.exists():
        unfinished = folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        options = ["--variant=minbase", f"--include={PACKAGES}"]
        _run(["debootstrap", *options, SUITE, str(unfinished)])
        shutil.rmtree(unfinished / "var/cache/apt")
        # As the images of Docker's library call it.
        (unfinished / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        # Which each engine writes.
        (unfinished / "etc/hosts").write_text("127.0.0.1 localhost\n")
        unfinished.rename(base)
    return base


def fetch_wheels(base: Path, context: Path, folder: Path) -> Path:
    """The packages of all requirements, for the Python of the base."""
    version = next(base.glob("usr/bin/python3.*[0-9]")).name.removeprefix("python")
    files = sorted(context / name for name in list_context(context) if name.startswith("requirements"))
    wheels = folder / WHEELS
    shutil.rmtree(wheels, ignore_errors=True)
    named = [part for file in files for part in ("-r", str(file))]
    options = ["--quiet", "--only-binary", ":all:", "--python-version", version, "--dest", str(wheels)]
    _run([sys.executable, "-m", "pip", "download", *options, *named])
    return wheels


def build(folder: Path, dockerfile: Dockerfile, context: Path, arguments: Mapping[str, str]) -> Image:
    """The image of the last stage, in the folder."""
    base = make_base(folder)
    wheels = fetch_wheels(base, context, folder)
    roots: dict[str, Path] = {}
    for stage in dockerfile.stages:
        name = stage.name or "image"
        roots[name] = folder / name
        shutil.rmtree(roots[name], ignore_errors=True)
        _run(["cp", "--archive", str(base), str(roots[name])])
        if name != "image":
            _run(["cp", "--archive", str(wheels), str(roots[name] / WHEELS)])
        image = Image(roots[name], stage)
        _do_steps(image, context, {**dockerfile.arguments, **arguments}, roots)
    return image


def _do_steps(image: Image, context: Path, arguments: Mapping[str, str], roots: Mapping[str, Path]) -> None:
    declared: dict[str, str] = {}
    for step in image.stage.instructions:
        values = {**declared, **image.environment}
        match step.name:
            case "ARG":
                declared[step.arguments] = arguments.get(step.arguments, "")
            case "WORKDIR":
                image.workdir = step.arguments
                _inside(image, image.workdir).mkdir(parents=True, exist_ok=True)
            case "ENV":
                image.environment |= read_pairs(step.arguments, values)
            case "LABEL":
                image.labels |= read_pairs(step.arguments, values)
            case "COPY":
                _copy(image, step.arguments, context, roots)
            case "RUN":
                _run_inside(image, fill_in(step.arguments, values))


def _copy(image: Image, arguments: str, context: Path, roots: Mapping[str, Path]) -> None:
    copy = read_copy(arguments)
    target = _inside(image, copy.target)
    for source in copy.sources:
        if copy.stage:
            target.parent.mkdir(parents=True, exist_ok=True)
            _run(["cp", "--archive", "--no-target-directory", str(roots[copy.stage]) + source, str(target)])
            continue
        into = target / source if copy.target.endswith("/") else target
        for name in list_context(context):
            if name == source or name.startswith(f"{source}/"):
                made = into / name.removeprefix(source).lstrip("/")
                made.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(context / name, made)


def _inside(image: Image, path: str) -> Path:
    return image.root / (Path(image.workdir) / path).relative_to("/")


def _run_inside(image: Image, script: str) -> None:
    enter = ["chroot", str(image.root), "/bin/sh", "-c", f"cd {image.workdir} && {script}"]
    _run(enter, {**image.environment, **NO_NETWORK})


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, env=environment, check=True)
