"""What a backup holds takes the place of what there is: all or nothing, wherever it is cut."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy

from toolkit_pipelines import archive, backup, restoration
from toolkit_pipelines.archive import About, Item, Reader, Writer
from toolkit_pipelines.restoration import Phase, Restoration, RestoreError
from toolkit_pipelines.root import PipelineRoot
from toolkit_pipelines.store import database as store_database
from toolkit_pipelines.store import migrations, open_store

from .states import State

Seen = tuple[dict[str, tuple[str, ...]], dict[str, bytes | None]]


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "state")
    made.add("kept")
    made.add("going", ended=False)
    return made


@pytest.fixture
def archived(state: State, tmp_path: Path) -> Path:
    """A backup; then the state goes on."""
    target = tmp_path / "a.tar"
    backup.write(state.database, state.root, target, name="pipelines")
    return target


@pytest.fixture
def wanted(state: State, archived: Path) -> Seen:
    """What the backup has, seen before the state went on: a run came, another went."""
    runs, files = state.seen()
    files = {path: each for path, each in files.items() if keeps(path, files)}
    shutil.rmtree(state.root.folder / "p" / state.runs[0])
    store = open_store(state.database)
    store.runs.retire(state.runs[0])
    store.runs.delete(state.runs[0])
    store.close()
    state.add("new")
    return runs, files


def keeps(path: str, files: dict[str, bytes | None]) -> bool:
    """Tell whether a backup has a path: of an attempt under way its claim and input alone."""
    home = "/".join(path.split("/")[:4])
    ended = f"{home}/result.json" in files
    return path.count("/") < 4 or ended or path.endswith("/.started")


def restored(state: State) -> Restoration:
    return Restoration(state.database, state.root)


def leftovers(state: State) -> list[str]:
    found = []
    for base in (state.folder, state.root.folder):
        found += [str(each) for each in (base / ".restore").rglob("*") if each.is_file()]
    return found


def test_it_comes_in_the_place_of_what_there_was(
    state: State, archived: Path, wanted: Seen
) -> None:
    made = restored(state)
    about = made.prepare(archived)
    assert (about.runs, about.name) == (2, "pipelines")
    made.swap()
    assert state.seen() == wanted
    made.recover()
    assert made.phase() is Phase.PLACED
    made.settle()
    assert made.phase() is None
    assert state.seen() == wanted
    assert leftovers(state) == []


def test_modes_and_times_are_kept(state: State, tmp_path: Path) -> None:
    folder = next((state.root.folder / "p" / state.runs[0] / "first").glob("*/data"))
    (folder / "part").chmod(0o755)
    os.utime(folder / "part", (5, 5))
    os.utime(folder, (7, 7))
    backup.write(state.database, state.root, tmp_path / "a.tar", name="p")
    made = restored(state)
    made.prepare(tmp_path / "a.tar")
    made.swap()
    assert (folder / "part").stat().st_mode & 0o777 == 0o755
    assert (folder / "part").stat().st_mtime == 5
    assert folder.stat().st_mtime == 7


def test_what_is_not_of_runs_stays(state: State, archived: Path, wanted: Seen) -> None:
    for other in ("lost+found", "p/notes"):
        (state.root.folder / other).mkdir()
    made = restored(state)
    made.prepare(archived)
    made.swap()
    made.settle()
    assert state.seen() == wanted
    assert (state.root.folder / "lost+found").is_dir()
    assert (state.root.folder / "p" / "notes").is_dir()


def test_a_new_machine(archived: Path, wanted: Seen, tmp_path: Path) -> None:
    fresh = State(tmp_path / "fresh")
    fresh.database.unlink()
    made = restored(fresh)
    made.prepare(archived)
    made.swap()
    assert fresh.seen() == wanted


def test_it_is_put_back_until_the_service_is_up(
    state: State, archived: Path, wanted: Seen
) -> None:
    before = state.seen()
    assert before != wanted
    made = restored(state)
    made.prepare(archived)
    made.swap()
    with pytest.raises(RestoreError, match="not over"):
        made.prepare(archived)
    made.undo()
    assert made.phase() is None
    assert state.seen() == before
    assert leftovers(state) == []
    with pytest.raises(RestoreError, match="nothing is kept"):
        made.undo()


def test_nothing_to_put_back_once_it_is(state: State, archived: Path, wanted: Seen) -> None:
    made = restored(state)
    made.prepare(archived)
    made.swap()
    made.settle()
    with pytest.raises(RestoreError, match="nothing is kept"):
        made.undo()
    assert state.seen() == wanted


def test_nothing_is_swapped_that_was_not_prepared(state: State) -> None:
    before = state.seen()
    with pytest.raises(RestoreError, match="no backup has been unpacked"):
        restored(state).swap()
    assert state.seen() == before


def test_what_was_prepared_and_never_used_goes_as_the_service_starts(
    state: State, archived: Path
) -> None:
    before = state.seen()
    made = restored(state)
    made.prepare(archived)
    assert leftovers(state)
    made.recover()
    assert leftovers(state) == []
    assert state.seen() == before


def test_two_at_a_time(state: State, archived: Path) -> None:
    made = restored(state)
    with made._preparing():
        with pytest.raises(RestoreError, match="being unpacked at this moment"):
            made.prepare(archived)
        (state.folder / ".restore" / "new").mkdir(parents=True)
        (state.folder / ".restore" / "new" / "half").touch()
        made.recover()
        assert leftovers(state)


# Cut anywhere.


def _cut(monkeyed: int, state: State, act: str) -> None:
    """Do it in a process that ends, as killed, before its n-th change of a name."""
    calls = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == monkeyed:
                os._exit(137)
            return real(*args, **kwargs)

        return call

    for name in ("rename", "replace", "unlink"):
        setattr(Path, name, counted(getattr(Path, name)))
    getattr(restored(state), act)()
    os._exit(0)


def cut(number: int, state: State, act: str) -> bool:
    """Tell whether it was cut before its end."""
    process = multiprocessing.get_context("fork").Process(target=_cut, args=(number, state, act))
    process.start()
    process.join(60)
    assert process.exitcode in (0, 137)
    return process.exitcode == 137


def test_a_cut_anywhere_leads_to_one_of_both(
    state: State, archived: Path, wanted: Seen, tmp_path: Path
) -> None:
    before = state.seen()
    restored(state).prepare(archived)
    shutil.copytree(state.folder, tmp_path / "prepared")
    outcomes = []
    for number in range(1, 100):
        shutil.rmtree(state.folder)
        shutil.copytree(tmp_path / "prepared", state.folder)
        if not cut(number, state, "swap"):
            break
        made = restored(state)
        made.recover()
        found = state.seen()
        assert found in (before, wanted), number
        assert made.phase() is (Phase.PLACED if found == wanted else None)
        outcomes.append(found == wanted)
    assert outcomes == sorted(outcomes)
    assert {*outcomes} == {False, True}
    assert len(outcomes) > 8


def test_a_cut_while_it_is_put_back(
    state: State, archived: Path, wanted: Seen, tmp_path: Path
) -> None:
    before = state.seen()
    made = restored(state)
    made.prepare(archived)
    made.swap()
    shutil.copytree(state.folder, tmp_path / "placed")
    outcomes = []
    for number in range(1, 100):
        shutil.rmtree(state.folder)
        shutil.copytree(tmp_path / "placed", state.folder)
        if not cut(number, state, "undo"):
            break
        made = restored(state)
        made.recover()
        found = state.seen()
        assert found in (before, wanted), number
        outcomes.append(found == before)
    assert {*outcomes} == {False, True}
    assert len(outcomes) > 8


# What a backup may not be. Nothing changes.


@pytest.fixture
def unharmed(state: State) -> Iterator[None]:
    before = state.seen()
    yield
    assert state.seen() == before
    assert leftovers(state) == []
    assert restored(state).phase() is None


def made(tmp_path: Path, database: bytes, *items: tuple[str, bytes]) -> Path:
    """A backup as an attacker would write it."""
    file = io.BytesIO()
    writer = Writer(file)
    listed = []
    for path, content in items:
        size, digest = writer.add(archive.FILES, [content])
        listed.append(Item(path, 0o600, 1, size=size, sha256=digest))
    writer.add(archive.DATABASE, [database])
    writer.close(About("0.9.9", "x", "pipelines", 1.0, 1, 0, "", 0), listed)
    path = tmp_path / "made.tar"
    path.write_bytes(file.getvalue())
    return path


@pytest.mark.usefixtures("unharmed")
def test_a_damaged_one(state: State, archived: Path) -> None:
    whole = archived.read_bytes()
    with archived.open("rb") as file:
        reader = Reader(file)
        places = [reader.database.offset + 2000, whole.index(b"kept first")]
    for place in places:
        archived.write_bytes(whole[:place] + b"#" + whole[place + 1 :])
        with pytest.raises(RestoreError, match=r"cannot be restored: .* is damaged: its SHA-256"):
            restored(state).prepare(archived)
    archived.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RestoreError, match=r"cut off|where a member"):
        restored(state).prepare(archived)


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    "path",
    [
        "etc/passwd",
        "{run}",
        "{run}/t/x",
        "p/{run}",
        "p/{other}/t/x",
        ".restore/new/p/{run}/x",
        ".restore/{run}/x",
        "a/b/c/d/e/f/g/h/{run}/x",
    ],
)
def test_files_outside_the_folders_of_its_runs(state: State, tmp_path: Path, path: str) -> None:
    other = "00000000-0000-0000-0000-000000000000"
    named = path.format(run=state.runs[0], other=other)
    with pytest.raises(RestoreError, match="in no folder of a run that its database has"):
        restored(state).prepare(made(tmp_path, copied(state, tmp_path), (named, b"x")))


def copied(state: State, tmp_path: Path) -> bytes:
    target = tmp_path / "copied.db"
    with sqlite3.connect(state.database) as source, sqlite3.connect(target) as copy:
        source.backup(copy)
    source.close()
    copy.close()
    return target.read_bytes()


@pytest.mark.usefixtures("unharmed")
def test_files_that_are_in_each_others_way(state: State, tmp_path: Path) -> None:
    home = f"p/{state.runs[0]}/t"
    for paths in ((f"{home}/x", f"{home}/x"), (f"{home}/x", f"{home}/x/y")):
        items = [(path, b"1") for path in paths]
        with pytest.raises(RestoreError, match="cannot be restored"):
            restored(state).prepare(made(tmp_path, copied(state, tmp_path), *items))


@pytest.mark.usefixtures("unharmed")
def test_a_database_that_is_none(state: State, tmp_path: Path) -> None:
    for content in (b"", b"x" * 9000, b"SQLite format 3\0" + b"x" * 9000):
        with pytest.raises(RestoreError, match="no database of this service"):
            restored(state).prepare(made(tmp_path, content))


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TRIGGER evil AFTER INSERT ON runs BEGIN DELETE FROM keys; END", "'evil', which"),
        ("CREATE VIEW evil AS SELECT * FROM keys", "'evil', which none"),
        ("ALTER TABLE runs ADD COLUMN more TEXT", "tables of its database are others"),
        ("DROP TABLE outbox", "tables of its database are others"),
        ("DELETE FROM specs", "not whole: in runs something is missing"),
        (
            "UPDATE alembic_version SET version_num = '0099'",
            r"schema '0099', written by version 0\.9\.9; this service knows schemas up to 0",
        ),
    ],
)
def test_a_database_that_is_another(
    state: State, tmp_path: Path, statement: str, message: str
) -> None:
    copied(state, tmp_path)
    connection = sqlite3.connect(tmp_path / "copied.db")
    connection.execute(statement)
    connection.commit()
    connection.close()
    content = (tmp_path / "copied.db").read_bytes()
    with pytest.raises(RestoreError, match=message):
        restored(state).prepare(made(tmp_path, content))


@pytest.mark.usefixtures("unharmed")
def test_a_backup_of_a_later_schema_says_both_versions(state: State, tmp_path: Path) -> None:
    copied(state, tmp_path)
    connection = sqlite3.connect(tmp_path / "copied.db")
    connection.execute("UPDATE alembic_version SET version_num = '0099'")
    connection.commit()
    connection.close()
    with pytest.raises(RestoreError, match=f"'0099'.*up to {store_database.HEAD}: refresh it"):
        restored(state).prepare(made(tmp_path, (tmp_path / "copied.db").read_bytes()))


def test_an_earlier_schema_is_brought_up_to_date(state: State, tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{old}")
    run_id = "12345678-1234-1234-1234-123456789abc"
    with engine.begin() as connection:
        migrations.upgrade(connection, "0001")
        connection.exec_driver_sql("INSERT INTO specs VALUES ('d', x'7b7d')")
        connection.exec_driver_sql(
            "INSERT INTO runs (run_id, experiment_id, display_name, spec, parameters, created,"
            " history) VALUES (?, 'e', 'old', 'd', '{}', 1, '[]')",
            (run_id,),
        )
    engine.dispose()
    made_of_old = made(tmp_path, old.read_bytes(), (f"p/{run_id}/t/x", b"old"))
    restored(state).prepare(made_of_old)
    restored(state).swap()
    store = open_store(state.database)
    try:
        assert store.runs.run(run_id).display_name == "old"
    finally:
        store.close()
    assert state.files()[f"p/{run_id}/t/x"] == b"old"
    assert state.root.run_folders().keys() == {run_id}


@pytest.mark.usefixtures("unharmed")
def test_a_path_that_is_no_file(state: State, archived: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(archived)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "link", tmp_path / "nothing"):
        with pytest.raises(RestoreError, match="cannot be restored"):
            restored(state).prepare(path)


@pytest.mark.usefixtures("unharmed")
def test_too_little_room(state: State, archived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoration, "_ROOM", 1 << 60)
    with pytest.raises(RestoreError, match=r"has \d+ bytes free, and it needs \d+"):
        restored(state).prepare(archived)


def test_what_is_written_of_it_is_damaged(state: State) -> None:
    (state.folder / ".restore").mkdir()
    (state.folder / ".restore" / "restore.json").write_text("{")
    with pytest.raises(RestoreError, match=r"restore\.json cannot be read"):
        restored(state).recover()


def test_the_root_of_runs_is_not_where_it_is_unpacked(state: State) -> None:
    with pytest.raises(ValueError, match="not below"):
        PipelineRoot(state.folder).place(".restore/new")
