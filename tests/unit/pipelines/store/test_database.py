from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from toolkit_pipelines.store import Store, database, migrations, open_store, tables
from toolkit_pipelines.store.database import DatabaseError


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


def test_durable_and_strict(store: Store) -> None:
    with store.database.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_failed_write_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.database.write() as connection:
            connection.execute(sqlalchemy.insert(tables.keys).values(name="a", value=b"x"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.database.read() as connection:
        assert connection.execute(sqlalchemy.select(tables.keys)).all() == []


def test_keys_stay(tmp_path: Path) -> None:
    first = open_store(tmp_path / "a.db")
    key = first.database.key("pages")
    assert len(key) == 32
    assert first.database.key("others") != key
    first.close()
    second = open_store(tmp_path / "a.db")
    assert second.database.key("pages") == key
    second.close()


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
