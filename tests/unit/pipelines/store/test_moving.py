"""From SQLite to PostgreSQL: all rows or none, once, and never on with an empty database."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
import sqlalchemy

from toolkit_database import Login, note
from toolkit_pipelines.events import Artifact, RunCreated, TaskStarted, TaskSucceeded, Values
from toolkit_pipelines.store import Store, moving, over, tables
from toolkit_pipelines.store.database import Database, DatabaseError
from toolkit_pipelines.store.interface import Experiment, OutboxRecord, Run

from ....postgresql import PostgresServer

Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture
def login(postgres: PostgresServer) -> Login:
    """An empty database."""
    return postgres.fresh()


def add_run(store: Store, name: str) -> Run:
    """A run with an artifact, and something to deliver."""
    found = store.catalog.ensure_experiment(
        Experiment(experiment_id="e", display_name="e", created=1.0)
    )
    run = Run(
        run_id=str(uuid.uuid4()),
        experiment_id=found.experiment_id,
        display_name=name,
        spec="",
        parameters={"a": [1, 2.5, None, "é"]},
        created=2.0,
    )
    created = RunCreated(
        run_id=run.run_id,
        time=2.0,
        spec="",
        display_name=name,
        pipeline_name="p",
        experiment_id="e",
        experiment_name="e",
    )
    kept = store.runs.create(run, created, b'{"pipelineInfo":{"name":"p"}}')
    made = Artifact("model", "system.Model", f"minio://b/p/{run.run_id}/t", {"x": 1})
    started = TaskStarted(run_id=run.run_id, time=3.0, task="t", pod="pod")
    ended = TaskSucceeded(
        run_id=run.run_id,
        time=4.0,
        task="t",
        outputs=Values({}, {"out": (made,)}),
        fingerprint="f",
    )
    store.runs.append(kept.run_id, [started, ended], 1)
    return store.runs.run(kept.run_id)


def everything(database: Database) -> Rows:
    with database.read() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(sqlalchemy.select(table))), key=repr)
            for table in tables.metadata.sorted_tables
        }


def told(events: object) -> list[OutboxRecord]:
    return [OutboxRecord(str(uuid.uuid4()), "r", {"a": 1})]


def use(folder: Path, login: Login | None, name: str) -> Rows:
    """Serve from a folder: add a run, and give all that there is."""
    database = moving.open_database(folder, login)
    try:
        store = over(database, told)
        database.key("page-tokens")
        add_run(store, name)
        return everything(database)
    finally:
        database.close()


def test_all_is_copied_and_the_file_is_kept(tmp_path: Path, login: Login) -> None:
    before = use(tmp_path, None, "first")
    assert len(before["outbox"]) == 2
    database = moving.open_database(tmp_path, login)
    after = everything(database)
    identity = [row for row in after["keys"] if row[0] == "identity"]
    assert len(identity) == 1
    after["keys"].remove(identity[0])
    assert after == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [moving.KEPT, note.FILE]
    # Numbers go on after those that were given.
    run = add_run(over(database), "second")
    (artifact,) = over(database).runs.artifacts_of(run.run_id)
    assert artifact.artifact_id == 2
    database.close()
    # And so it stays.
    assert len(use(tmp_path, login, "third")["runs"]) == 3


@pytest.mark.parametrize("moment", ["commit", "note"])
def test_killed_on_the_way(
    tmp_path: Path, login: Login, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before = use(tmp_path, None, "first")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if moment == "commit":
            patched.setattr(note.Note, "write", die)
        else:
            patched.setattr(Path, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            moving.open_database(tmp_path, login)
    assert (tmp_path / moving.FILE).exists()
    database = moving.open_database(tmp_path, login)
    assert everything(database)["runs"] == before["runs"]
    database.close()
    assert not (tmp_path / moving.FILE).exists()
    assert (tmp_path / moving.KEPT).exists()


def test_a_copy_that_fails_leaves_both_as_they_were(
    tmp_path: Path, login: Login, postgres: PostgresServer
) -> None:
    before = use(tmp_path, None, "first")
    moving.open_postgresql(login).close()
    # The last of the tables cannot be written to.
    postgres.execute("ALTER TABLE outbox ADD CHECK (run_id <> 'r')", login.database)
    with pytest.raises(DatabaseError, match="outbox"):
        moving.open_database(tmp_path, login)
    for table in ("runs", "keys"):
        assert postgres.execute(f"SELECT count(*) FROM {table}", login.database) == [(0,)]
    database = moving.open_database(tmp_path, None)
    assert everything(database)["runs"] == before["runs"]
    database.close()


def test_without_the_login_nothing_begins_anew(tmp_path: Path, login: Login) -> None:
    use(tmp_path, login, "first")
    with pytest.raises(
        DatabaseError, match=f"the data are in PostgreSQL, in database {login.database}"
    ):
        moving.open_database(tmp_path, None)
    assert not (tmp_path / moving.FILE).exists()
    (tmp_path / note.FILE).unlink()
    assert len(use(tmp_path, None, "anew")["runs"]) == 1


@pytest.mark.parametrize("used", [False, True])
def test_another_database_is_not_taken_for_the_one_with_the_data(
    tmp_path: Path, postgres: PostgresServer, login: Login, used: bool
) -> None:
    use(tmp_path, login, "first")
    other, elsewhere = postgres.fresh(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    if used:
        use(elsewhere, other, "theirs")
    has = "others" if used else "none"
    with pytest.raises(
        DatabaseError, match=f"the data are in database {login.database}.* has {has}"
    ):
        moving.open_database(tmp_path, other)
    assert len(use(tmp_path, login, "second")["runs"]) == 2


def test_a_database_that_was_moved_is_the_same(
    tmp_path: Path, postgres: PostgresServer, login: Login
) -> None:
    use(tmp_path, login, "first")
    restored = postgres.fresh(login.database)
    assert len(use(tmp_path, restored, "second")["runs"]) == 2
    assert restored.database in (tmp_path / note.FILE).read_text()


def test_who_is_not_to_begin_waits_until_all_is_shared(tmp_path: Path, login: Login) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    use(here, None, "first")
    for _ in range(2):
        with pytest.raises(moving.NotSharedError, match="the service that begins it"):
            moving.open_database(there, login, begins=False)
        assert list(there.iterdir()) == []
        # Nor once there are data, while some may be on the other one's volume.
        use(here, login, "second")
    database = moving.open_database(here, login)
    database.key(moving.SHARED)
    database.close()
    database = moving.open_database(there, login, begins=False)
    assert len(everything(database)["runs"]) == 3
    assert (there / note.FILE).exists()
    database.drop_key(moving.SHARED)
    database.drop_key(moving.SHARED)
    database.close()
    with pytest.raises(moving.NotSharedError):
        moving.open_database(there, login, begins=False)


def test_data_here_and_there(tmp_path: Path, login: Login) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    use(here, None, "mine")
    use(there, login, "theirs")
    with pytest.raises(DatabaseError, match="data of another application"):
        moving.open_database(here, login)
    assert len(use(here, None, "second")["runs"]) == 2
    # A new storage for the data of before.
    new = tmp_path / "new"
    new.mkdir()
    assert len(use(new, login, "second")["runs"]) == 2


def test_a_damaged_note(tmp_path: Path, login: Login) -> None:
    use(tmp_path, login, "first")
    (tmp_path / note.FILE).write_text("{")
    with pytest.raises(DatabaseError, match=r"postgresql\.json cannot be read"):
        moving.open_database(tmp_path, login)
