from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from toolkit_pipelines import backup, naming
from toolkit_pipelines.archive import Reader
from toolkit_pipelines.backup import BackupError
from toolkit_pipelines.events import TaskStarted, TaskSucceeded
from toolkit_pipelines.store import copies, open_store

from .states import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def write(state: State, target: Path) -> backup.Report:
    return backup.write(state.database, state.root, target, name="pipelines", store="s3://b/p")


def contents(path: Path) -> dict[str, bytes | None]:
    with path.open("rb") as file:
        return {
            item.path: None if item.folder else b"".join(content)
            for item, content in Reader(file).items()
        }


def test_all_of_the_runs_is_in_it(state: State, tmp_path: Path) -> None:
    state.add("one")
    state.add("two")
    target = tmp_path / "backups" / "a.tar"
    report = write(state, target)
    assert contents(target) == state.files()
    assert report.size == target.stat().st_size
    assert report.files == sum(each is not None for each in state.files().values())
    assert (report.about.runs, report.about.recurring_runs, report.about.left_out) == (2, 0, 0)
    assert (report.about.name, report.about.artifact_store) == ("pipelines", "s3://b/p")
    assert report.about.revision == copies.summary(state.database).revision
    # Parameters, keys and data of users are in there.
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(target.parent) == ["a.tar"]


def test_it_is_written_while_the_database_is_in_use(state: State, tmp_path: Path) -> None:
    run_id = state.add("one")
    store = open_store(state.database)
    try:
        # What is in the log beside the file is in the backup as well.
        state.add("two")
        write(state, tmp_path / "a.tar")
        store.runs.run(run_id)
    finally:
        store.close()
    with (tmp_path / "a.tar").open("rb") as file:
        reader = Reader(file)
        copied = tmp_path / "copied.db"
        copied.write_bytes(b"".join(reader.content(reader.database)))
    assert copies.summary(copied).runs == set(state.runs)


def test_of_what_is_under_way_only_that_it_has_begun(state: State, tmp_path: Path) -> None:
    run_id = state.add("one", ended=False)
    write(state, tmp_path / "a.tar")
    salt = naming.salt(run_id, "second", 0)
    found = {path.partition("/second")[2] for path in contents(tmp_path / "a.tar")}
    assert {each for each in found if salt in each} == {
        f"/{salt}",
        f"/{salt}/.started",
        f"/{salt}.json",
    }


def test_what_begins_later_is_not_in_it(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restored, it would seem to have run already."""
    run_id = state.add("one", ended=False)
    copy = copies.copy

    def copy_and_go_on(database: Path, target: Path) -> None:
        copy(database, target)
        store = open_store(database)
        store.runs.append(
            run_id,
            [
                TaskSucceeded(run_id=run_id, time=5.0, task="second"),
                TaskStarted(run_id=run_id, time=6.0, task="third", pod="c"),
            ],
            4,
        )
        store.close()
        state.write(run_id, "third", "late")

    monkeypatch.setattr(copies, "copy", copy_and_go_on)
    write(state, tmp_path / "a.tar")
    assert any("/third" in path for path in state.files())
    late = naming.salt(run_id, "third", 0)
    assert not any(late in path for path in contents(tmp_path / "a.tar"))


def test_a_run_that_is_deleted_meanwhile_is_left_out(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, deleted, begun = state.add("one"), state.add("two"), state.add("three")
    remaining = copies.remaining

    def delete_first(database: Path, run_ids: frozenset[str]) -> frozenset[str]:
        store = open_store(database)
        store.runs.retire(deleted)
        store.runs.delete(deleted)
        store.runs.retire(begun)
        store.close()
        return remaining(database, run_ids)

    monkeypatch.setattr(copies, "remaining", delete_first)
    report = write(state, tmp_path / "a.tar")
    found = contents(tmp_path / "a.tar")
    found.pop("")
    assert found == {path: each for path, each in state.files().items() if kept in path}
    assert report.about.runs == 1
    assert report.files == sum(each is not None for each in found.values())


def test_links_pipes_and_sockets_are_counted_and_left_out(state: State, tmp_path: Path) -> None:
    run_id = state.add("one")
    (tmp_path / "secret").write_text("sesame")
    folder = next((state.root.folder / "p" / run_id / "first").glob("*/data"))
    before = state.files().keys()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    report = write(state, tmp_path / "a.tar")
    assert report.about.left_out == 3
    assert contents(tmp_path / "a.tar").keys() == before
    assert b"sesame" not in (tmp_path / "a.tar").read_bytes()


def test_a_run_whose_folder_became_a_link_has_no_files(state: State, tmp_path: Path) -> None:
    run_id = state.add("one")
    task = state.root.folder / "p" / run_id / "first"
    task.rename(tmp_path / "elsewhere")
    task.symlink_to(tmp_path / "elsewhere")
    report = write(state, tmp_path / "a.tar")
    assert report.about.left_out == 1
    assert not any("/first" in path for path in contents(tmp_path / "a.tar"))


def test_what_is_there_is_not_overwritten(state: State, tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    target.write_text("precious")
    with pytest.raises(BackupError, match=r"a\.tar is there already"):
        write(state, target)
    assert target.read_text() == "precious"


def test_too_little_room(state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.add("one")
    monkeypatch.setattr(backup, "_ROOM", 1 << 60)
    with pytest.raises(BackupError, match=r"has \d+ bytes free, and the backup takes up to \d+"):
        write(state, tmp_path / "b" / "a.tar")
    assert os.listdir(tmp_path / "b") == []


def test_a_damaged_database(state: State, tmp_path: Path) -> None:
    state.database.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(BackupError, match="cannot be copied"):
        write(state, tmp_path / "a.tar")
    assert not list(tmp_path.glob("a.tar*"))


def test_what_a_killed_one_left_does_not_matter(state: State, tmp_path: Path) -> None:
    state.add("one")
    (tmp_path / "a.tar.part").write_text("half")
    (tmp_path / "a.tar.database").write_text("half")
    write(state, tmp_path / "a.tar")
    assert contents(tmp_path / "a.tar") == state.files()
    assert not list(tmp_path.glob("a.tar.*"))
