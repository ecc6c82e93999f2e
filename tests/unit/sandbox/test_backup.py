"""Copies of a database: whole, private, checked, and one good one always."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from sandbox import backup
from sandbox.backup import BackupError


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE thing (name TEXT PRIMARY KEY, half INTEGER)")
    put(connection, "a")
    yield path, connection
    connection.close()


def put(connection, name):
    connection.execute("BEGIN")
    connection.execute("INSERT INTO thing VALUES (?, 1), (?, 2)", (name, f"{name}-2"))
    connection.execute("COMMIT")


def count(path):
    with backup.read(path) as connection:
        return connection.execute("SELECT count(*) FROM thing").fetchone()[0]


def write(path, copy):
    backup.write(path, copy, backup.quick_verdict, backup.fill_whole)


def test_a_copy_is_one_private_file(tmp_path, database):
    path, connection = database
    copy = tmp_path / "copies" / "copy.db"
    copy.parent.mkdir()
    write(path, copy)
    put(connection, "b")
    write(path, copy)
    assert count(copy) == 4
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in copy.parent.iterdir()] == ["copy.db"]


def test_a_copy_is_whole_while_the_database_is_written(tmp_path, database):
    path, connection = database
    copy = tmp_path / "copy.db"
    odd = []

    def copying():
        for _ in range(20):
            write(path, copy)
            if count(copy) % 2:
                odd.append(count(copy))

    thread = threading.Thread(target=copying)
    thread.start()
    number = 0
    while thread.is_alive():
        put(connection, f"more-{number}")
        number += 1
    thread.join()
    assert odd == []


def test_a_damaged_database_does_not_replace_a_good_copy(tmp_path, database):
    path, connection = database
    copy = tmp_path / "copy.db"
    write(path, copy)
    good = copy.read_bytes()
    connection.close()
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(BackupError, match="cannot be copied"):
        write(path, copy)
    assert copy.read_bytes() == good
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "state.db"]


def test_what_was_there_is_kept_with_its_log(tmp_path, database):
    path, connection = database
    copy = tmp_path / "copy.db"
    write(path, copy)
    put(connection, "newer")
    log = Path(f"{path}-wal").read_bytes()
    kept = backup.restore(path, copy, backup.quick_verdict)
    assert count(path) == 2
    assert Path(f"{kept}-wal").read_bytes() == log
    connection.close()


@pytest.mark.parametrize("content", [None, b"garbage" * 1000])
def test_a_copy_that_is_not_whole_is_not_put_back(tmp_path, database, content):
    path, _ = database
    copy = tmp_path / "copy.db"
    if content is not None:
        copy.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(BackupError):
        backup.restore(path, copy, backup.quick_verdict)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.damaged-*"))


async def test_it_is_copied_when_it_changed(monkeypatch):
    written = []
    monkeypatch.setattr(backup, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(backup, "_EVERY_SECONDS", 0.001)
    told = asyncio.Queue()
    version = 1
    task = asyncio.create_task(
        backup.keep(lambda: written.append(version), lambda: version, told.put_nowait)
    )
    for expected in (1, 2):
        assert await asyncio.wait_for(told.get(), 30) == ""
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert written == list(range(1, expected + 1))
        version += 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_wrong_is_told(monkeypatch):
    def fails():
        raise BackupError("no room")

    monkeypatch.setattr(backup, "_FIRST_SECONDS", 0.0)
    told = asyncio.Queue()
    task = asyncio.create_task(backup.keep(fails, lambda: 1, told.put_nowait))
    assert await asyncio.wait_for(told.get(), 30) == "no room"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
