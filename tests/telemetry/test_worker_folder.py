"""The folder of a server's workers, beside those of other servers."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakebase_api.telemetry import worker_folder
from lakebase_api.telemetry.worker_folder import LOCK, WorkerFolder


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(worker_folder, "MEMORY", tmp_path)
    return tmp_path


@pytest.fixture
def folder() -> Iterator[WorkerFolder]:
    folder = WorkerFolder()
    yield folder
    folder.close()


def test_a_folder_that_nobody_has_any_more_is_removed_and_one_that_is_in_use_stays(
    memory: Path, folder: WorkerFolder
) -> None:
    left = memory / f"{worker_folder.PREFIX}left"
    left.mkdir()
    (left / LOCK).touch()
    folder.open()
    other = WorkerFolder()
    other.open()
    assert set(memory.iterdir()) == {folder.path, other.path}
    other.close()
    assert list(memory.iterdir()) == [folder.path]


def test_a_server_that_starts_as_another_does_keeps_its_folder(
    folder: WorkerFolder, monkeypatch: pytest.MonkeyPatch, memory: Path
) -> None:
    """The other one looks when the folder has a lock that nobody has taken yet."""
    flock = fcntl.flock
    others: list[bool] = []

    def look_first(lock: int, operation: int) -> None:
        if operation == fcntl.LOCK_SH and not others:
            others.append(True)
            worker_folder._sweep(memory)
        flock(lock, operation)

    monkeypatch.setattr(fcntl, "flock", look_first)
    folder.open()
    assert others
    assert list(memory.iterdir()) == [folder.path]
    assert (folder.path / LOCK).exists()
