"""`make clients`: make clients of the service with common generators, and run them. Says what it skips."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from lakebase_api.local.__main__ import say
from lakebase_api.local.api import forget_inherited_settings
from lakebase_api.local.data import LocalData, load_declared, prepare_data
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.gunicorn_process import ROOT, GunicornProcess
from tests.tables.trial import DECLARED

PROGRAMS = Path(__file__).parent / "programs"
FOLDER = ROOT / ".local/clients"
TOOLS = FOLDER / "tools"
SCALE, ROWS = Decimal("0.01"), 100
# Seconds for one step; installing waits for the network.
PATIENCE = 600
HEY_API_PLUGINS = ("@hey-api/typescript", "@hey-api/client-fetch", "@hey-api/sdk", "zod")


class Skipped(Exception):
    """A client that this machine cannot make or run, with the reason."""


@dataclass(frozen=True)
class Service:
    """The running service that clients are made from and run against."""

    url: str

    def run(self, *command: str | Path, folder: Path) -> str:
        """What a step of making or running a client wrote. Raises ``CalledProcessError`` if it fails."""
        environment = {
            **os.environ,
            "PATH": f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "API_URL": self.url,
        }
        step = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        return step.stdout


def use_openapi_generator_python(service: Service, folder: Path) -> None:
    """openapi-generator's Python client."""
    _run_openapi_generator(service, folder, "python")
    service.run("pip", "install", "--quiet", "-r", "generated/requirements.txt", folder=folder)
    path = f"PYTHONPATH={folder / 'generated'}"
    service.run("env", path, "python", PROGRAMS / "use_openapi_generator.py", service.url, folder=folder)


def use_openapi_generator_java(service: Service, folder: Path) -> None:
    """openapi-generator's Java client that needs no jar but those the generator has."""
    options = "openApiNullable=false,useSingleRequestParameter=true"
    _run_openapi_generator(
        service, folder, "java", "--library", "native", f"--additional-properties={options}"
    )
    if not shutil.which("javac"):
        raise Skipped("made, but not compiled: there is no javac on the PATH")
    [jar] = TOOLS.glob("lib/python*/site-packages/openapi_generator_cli/openapi-generator.jar")
    sources = [*folder.glob("generated/src/main/**/*.java"), *PROGRAMS.glob("*.java")]
    service.run("javac", "-proc:none", "-d", "out", "-cp", jar, *sources, folder=folder)
    service.run("java", "-cp", f"out{os.pathsep}{jar}", "UseOpenapiGenerator", service.url, folder=folder)


def use_openapi_generator_java_okhttp(service: Service, folder: Path) -> None:
    """openapi-generator's Java client as it is by default, with OkHttp and Gson from a Maven repository."""
    _run_openapi_generator(service, folder, "java")
    if not shutil.which("mvn"):
        raise Skipped("made, but not compiled: there is no mvn on the PATH")
    try:
        service.run("mvn", "--quiet", "--batch-mode", "compile", folder=folder / "generated")
    except subprocess.CalledProcessError as error:
        if "could not be resolved" in error.stdout:
            raise Skipped("made, but not compiled: Maven cannot have the jars") from None
        raise
    raise Skipped("made and compiled, but not run")


def use_openapi_typescript(service: Service, folder: Path) -> None:
    """openapi-typescript's types with openapi-fetch."""
    output = ("--output", "generated/schema.d.ts")
    service.run("npx", "openapi-typescript", f"{service.url}/openapi.json", *output, folder=folder)
    _run_typescript(service, folder, "use_openapi_typescript")


def use_orval(service: Service, folder: Path) -> None:
    """orval's fetch client and zod schemas."""
    shutil.copy(PROGRAMS / "orval.config.mjs", folder)
    service.run("npx", "orval", "--config", "orval.config.mjs", folder=folder)
    _run_typescript(service, folder, "use_orval")


def use_hey_api(service: Service, folder: Path) -> None:
    """hey-api's SDK and zod schemas."""
    source, output = ("--input", f"{service.url}/openapi.json"), ("--output", "generated")
    service.run("npx", "openapi-ts", *source, *output, "--plugins", *HEY_API_PLUGINS, folder=folder)
    _run_typescript(service, folder, "use_hey_api")


def use_openapi_python_client(service: Service, folder: Path) -> None:
    """openapi-python-client, as the tests use it on a service of their own."""
    service.run(sys.executable, "-m", "pytest", "-q", "tests/test_generated_client.py", folder=ROOT)


CLIENTS = {
    "openapi-generator, python": use_openapi_generator_python,
    "openapi-generator, java, native": use_openapi_generator_java,
    "openapi-generator, java, okhttp": use_openapi_generator_java_okhttp,
    "openapi-typescript, openapi-fetch": use_openapi_typescript,
    "orval, fetch and zod": use_orval,
    "hey-api, sdk and zod": use_hey_api,
    "openapi-python-client": use_openapi_python_client,
}


def _run_openapi_generator(service: Service, folder: Path, language: str, *options: str) -> None:
    source, output = ("-i", f"{service.url}/openapi.json"), ("-o", "generated")
    service.run(
        "openapi-generator-cli", "generate", "-g", language, *source, *output, *options, folder=folder
    )


def _run_typescript(service: Service, folder: Path, program: str) -> None:
    shutil.copy(PROGRAMS / f"{program}.ts", folder)
    shutil.copy(PROGRAMS / "tsconfig.json", folder)
    service.run("npx", "tsc", "--project", ".", folder=folder)
    service.run("node", f"out/{program}.js", folder=folder)


@contextmanager
def serve() -> Iterator[Service]:
    """The service with orders and the tables of the trial, for as long as the context lasts."""
    forget_inherited_settings()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder) / "server", settings={"fsync": "off"}, discard=True) as server,
    ):
        declared = Path(folder) / "tables.toml"
        declared.write_text(DECLARED)
        database = prepare_data(server, LocalData(load_declared(declared), SCALE, ROWS))
        settings = {**database, "TABLES_FILE": str(declared), "ENV_FILE": os.devnull}
        with GunicornProcess(settings) as gunicorn:
            yield Service(gunicorn.wait_until_started().url)


def install(service: Service) -> None:
    """Have the generators in a folder of their own, of the versions named beside the programs."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (TOOLS / "bin/pip").exists():
        service.run(sys.executable, "-m", "venv", TOOLS, folder=FOLDER)
    service.run("pip", "install", "--quiet", "-r", PROGRAMS / "requirements.txt", folder=FOLDER)
    shutil.copy(PROGRAMS / "package.json", FOLDER)
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock")
    service.run("npm", "install", *quiet, folder=FOLDER)


def try_client(name: str, service: Service) -> bool:
    """Make and run a client, in a new folder, and say how it went; whether nothing failed."""
    folder = FOLDER / name.replace(", ", "-").replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    began = time.monotonic()
    try:
        CLIENTS[name](service, folder)
    except Skipped as reason:
        verdict = f"SKIPPED: {reason}"
    except subprocess.CalledProcessError as error:
        verdict = f"FAILED, see {folder}: {' '.join(map(str, error.cmd))[:200]}\n{error.stdout}"
    else:
        verdict = f"ok, {time.monotonic() - began:.0f} s"
    say(f"{name:<36} {verdict}")
    return not verdict.startswith("FAILED")


def main(names: list[str]) -> int:
    """Try the clients whose names have one of the words, or all; returns the exit status, 1 if one failed."""
    chosen = [name for name in CLIENTS if not names or any(word in name for word in names)]
    with serve() as service:
        say(f"Installing the generators in {FOLDER}.")
        install(service)
        failed = [name for name in chosen if not try_client(name, service)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
