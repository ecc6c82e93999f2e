from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from toolkit_pipelines import disks
from toolkit_pipelines.events import RunCreated
from toolkit_pipelines.store import Store, database, migrations, open_store, tables
from toolkit_pipelines.store.database import DatabaseError, insert_new
from toolkit_pipelines.store.interface import BusyError, Recipient

Opening = Callable[..., Store]


def test_the_file_is_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        open_store(tmp_path / "a.db").close()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.db").stat().st_mode) == 0o600


def test_the_migrations_give_the_tables(store: Store) -> None:
    with store.database.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) == []


def test_the_head_is_known_without_alembic() -> None:
    assert migrations.script().get_current_head() == database.HEAD


def test_a_second_opening_loads_no_alembic(tmp_path: Path) -> None:
    open_store(tmp_path / "a.db").close()
    program = (
        "import sys, pathlib\n"
        "from toolkit_pipelines.store import open_store\n"
        f"open_store(pathlib.Path({str(tmp_path / 'a.db')!r})).close()\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=60, env={"PYTHONPATH": path}
    )


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
def test_durable_and_strict(store: Store) -> None:
    with store.database.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
def test_what_need_not_last_does_not_wait_for_the_disk(store: Store) -> None:
    for durable, mode in ((True, 2), (False, 1), (True, 2)):
        with store.database.write(durable=durable) as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == mode


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
def test_who_is_in_haste_waits_neither_for_the_disk_nor_for_others(opening: Opening) -> None:
    one = opening().database
    with one.write(durable=False, wait=False) as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("synchronous", "wal_autocheckpoint", "busy_timeout", "foreign_keys")
        }
        assert found == {
            "synchronous": 1,
            "wal_autocheckpoint": 0,
            "busy_timeout": 0,
            "foreign_keys": 1,
        }
        connection.execute(insert_new(connection, tables.keys).values(name="mine", value=b"1"))
    assert one.has_key("mine")
    for other in (one, opening().database):
        with (
            other.write() as connection,
            pytest.raises(BusyError),
            one.write(durable=False, wait=False),
        ):
            pytest.fail("it did not wait")
        with one.write(durable=False, wait=False):
            pass


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
def test_now_and_then_who_is_in_haste_waits_after_all(store: Store) -> None:
    busy = 0
    for _ in range(200):
        try:
            with store.database.write(durable=False, wait=False):
                pass
        except BusyError:
            busy += 1
    assert busy == 3


@pytest.mark.parametrize("opening", ["postgresql"], indirect=True)
def test_a_server_has_to_be_waited_for(store: Store) -> None:
    with pytest.raises(BusyError), store.database.write(durable=False, wait=False):
        pytest.fail("it did not wait")


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
def test_so_has_a_disk_of_another_machine(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "near", lambda folder: False)
    store = opening()
    with pytest.raises(BusyError), store.database.write(durable=False, wait=False):
        pytest.fail("it did not wait")


@pytest.mark.parametrize("opening", ["sqlite"], indirect=True)
def test_the_connection_that_was_used_last_is_used_next(store: Store) -> None:
    def own(connection: sqlalchemy.Connection) -> object:
        return connection.connection.dbapi_connection

    with store.database.read() as first:
        with store.database.read() as second:
            other = own(second)
        last = own(first)
    for _ in range(3):
        with store.database.read() as connection:
            assert own(connection) is last is not other


def test_artifacts_of_before_the_cache_are_known_by_their_makers(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    maker, user = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, "0001")
        connection.exec_driver_sql("INSERT INTO specs VALUES ('d', x'7b7d')")
        for run_id in (maker, user):
            connection.exec_driver_sql(
                "INSERT INTO runs (run_id, experiment_id, display_name, spec, parameters, created,"
                " history) VALUES (?, 'e', 'n', 'd', '{}', 1, '[]')",
                (run_id,),
            )
            for output, uri in (
                ("made", f"minio://a/p/{run_id}/train/{'0' * 16}/made"),
                ("used", f"minio://a/p/{maker}/train/{'0' * 16}/used"),
                ("elsewhere", "gs://bucket/data"),
            ):
                connection.exec_driver_sql(
                    "INSERT INTO artifacts (run_id, task, output, position, name, type, uri,"
                    " metadata, created) VALUES (?, 't', ?, 0, 'n', 'system.Model', ?, '{}', 1)",
                    (run_id, output, uri),
                )
    engine.dispose()
    opened = open_store(path)
    try:
        for run_id, used in ((maker, ""), (user, maker)):
            origins = {each.output: each.origin for each in opened.runs.artifacts_of(run_id)}
            assert origins == {"made": "", "used": used, "elsewhere": ""}
    finally:
        opened.close()


def test_a_failed_write_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.database.write() as connection:
            connection.execute(sqlalchemy.insert(tables.keys).values(name="a", value=b"x"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.database.read() as connection:
        assert connection.execute(sqlalchemy.select(tables.keys)).all() == []


def test_keys_stay(opening: Opening) -> None:
    first = opening()
    key = first.database.key("pages")
    assert len(key) == 32
    assert first.database.key("others") != key
    first.close()
    assert opening().database.key("pages") == key


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="newer version"):
        open_store(path)
    assert path.read_bytes() == before


def test_a_damaged_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_store(path).close()
    data = bytearray(path.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(DatabaseError, match=r"a\.db"):
        open_store(path)
    assert path.read_bytes() == bytes(data)


def test_no_database_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(DatabaseError, match="not a database"):
        open_store(path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="No such file"):
        open_store(tmp_path / "missing" / "a.db")


REVISIONS = [revision.revision for revision in migrations.script().walk_revisions()]


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_earlier_database_is_brought_up_to_date(tmp_path: Path, revision: str) -> None:
    path = tmp_path / "a.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, revision)
        connection.exec_driver_sql("INSERT INTO specs VALUES ('d', '{}')")
        connection.exec_driver_sql(
            "INSERT INTO experiments (experiment_id, display_name, created) VALUES ('e', 'e', 5)"
        )
        connection.exec_driver_sql(
            "INSERT INTO runs (run_id, experiment_id, display_name, spec, parameters, created,"
            " history, sequence, phase) VALUES ('r', 'e', 'run', 'd', '{\"a\": 1}', 7.5, '[]', 1,"
            " 'PENDING')"
        )
        connection.exec_driver_sql(
            "INSERT INTO events VALUES ('r', 1, 7.5, 'RunCreated', '{\"spec\": \"d\","
            ' "display_name": "run", "pipeline_name": "p", "experiment_id": "e",'
            ' "experiment_name": "e", "parameters": {"a": 1}, "pipeline_root": "",'
            ' "owner": ""}\')'
        )
        connection.exec_driver_sql(
            "INSERT INTO outbox (key, run_id, body, created) VALUES ('r/1', 'r', '{}', 7.5)"
        )
    engine.dispose()
    opened = open_store(path)
    try:
        with opened.database.read() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, tables.metadata) == []
        run = opened.runs.run("r")
        assert (run.display_name, run.parameters, run.created) == ("run", {"a": 1}, 7.5)
        assert run.recurring_run_id == ""
        # What was there before runs knew when they were due was due when it was made.
        assert run.scheduled == (7.5 if revision < "0003" else 0.0)
        (created,) = opened.runs.events("r")
        assert isinstance(created, RunCreated)
        assert (created.experiment_name, created.scheduled) == ("e", None)
        assert opened.runs.active_runs() == ("r",)
        assert opened.recurring.due(10.0) == []
        # What waited before there were others was for MLflow.
        assert [x.record.key for x in opened.runs.outbox(Recipient.MLFLOW)] == ["r/1"]
        assert opened.runs.outbox(Recipient.WEBHOOK) == ()
    finally:
        opened.close()
    # It stays as it is from then on.
    open_store(path).close()
