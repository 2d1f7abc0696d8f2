"""Makes the data folder of an embedded server: whole, or not there under its name."""

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from lakebase_api.local.binaries import Binaries
from lakebase_api.local.child_process import Leash, Step
from lakebase_api.local.os_user import ENVIRONMENT, Account, give
from lakebase_api.local.server_log import LogExcerpt

SUPERUSER = "postgres"
HBA = ("host all all 127.0.0.1/32 scram-sha-256",)
# Measured: 39 MB of cluster and 29 of programs where they are copied; and write-ahead log, 80 MB by default.
BYTES = 150_000_000
OPTIONS = ("-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C")
STOP = (Step(signal.SIGTERM, 2),)


def create_cluster(
    binaries: Binaries, data: Path, password: Path, account: Account | None, *, lock: int, durable: bool
) -> None:
    """Run initdb for `data`, owned by `account`, the superuser's password from a file. Raises LocalFailure.

    initdb ends with this process and holds the descriptor `lock` until then; unless `durable` it skips fsync.
    """
    unfinished = data.with_name(data.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    give(unfinished, account)
    command = [str(binaries.folder / "initdb"), "-D", str(unfinished), f"--pwfile={password}", *OPTIONS]
    if not durable:
        command.append("--no-sync")
    log_path = data.with_name("server.log")
    log = LogExcerpt(log_path)
    with log_path.open("ab") as output:
        leash = Leash(command, stop=STOP, env=ENVIRONMENT, account=account, output=output, keep_open=[lock])
    try:
        if leash.wait() != 0:
            raise log.explain("PostgreSQL's initdb failed")
    finally:
        leash.end()
    write_hba(unfinished, HBA)
    unfinished.rename(data)


def write_hba(data: Path, lines: Sequence[str]) -> None:
    """Write these lines as the cluster's pg_hba.conf: who may log in, and how."""
    (data / "pg_hba.conf").write_text("\n".join(lines) + "\n")
