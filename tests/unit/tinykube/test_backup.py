"""Copies of the store: whole, private, and behind every version that a client saw."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from tinykube import backup
from tinykube.store import DamagedError, Store


def thing(name, **fields):
    return {"metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}"}, **fields}


def insert(store, *names):
    with store.write() as transaction:
        for name in names:
            transaction.insert("pods", thing(name))


def names(store):
    return [row.name for row in store.rows("pods")]


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def test_a_copy_is_put_back_and_versions_go_on_behind_it(tmp_path, store):
    copy = tmp_path / "copy.db"
    insert(store, "a", "b")
    backup.write(store.path, copy)
    insert(store, "c")
    seen = store.version
    store.close()
    store.path.write_bytes(b"garbage" * 1000)
    with pytest.raises(DamagedError, match="tinykube restore"):
        Store(store.path)
    kept = backup.restore(store.path, copy)
    assert kept is not None
    assert kept.read_bytes() == b"garbage" * 1000
    back = Store(store.path)
    try:
        assert names(back) == ["a", "b"]
        assert back.version > seen
        assert back.oldest == back.version
        assert back.dependents("uid-a") == []
    finally:
        back.close()


def test_a_copy_is_private_and_leaves_nothing_beside_it(tmp_path, store):
    insert(store, "a")
    copy = tmp_path / "copies" / "copy.db"
    copy.parent.mkdir()
    backup.write(store.path, copy)
    backup.write(store.path, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in copy.parent.iterdir()] == ["copy.db"]


def test_a_copy_is_whole_while_the_store_is_written(tmp_path, store):
    insert(store, *(f"pair-{number}-{half}" for number in range(50) for half in "ab"))
    copy = tmp_path / "copy.db"
    failures = []

    def copying():
        try:
            for _ in range(20):
                backup.write(store.path, copy)
                with sqlite3.connect(copy) as connection:
                    (count,) = connection.execute("SELECT count(*) FROM objects").fetchone()
                connection.close()
                if count % 2:
                    failures.append(count)
        except backup.BackupError as error:
            failures.append(error)

    thread = threading.Thread(target=copying)
    thread.start()
    number = 50
    while thread.is_alive():
        insert(store, f"pair-{number}-a", f"pair-{number}-b")
        number += 1
    thread.join()
    assert failures == []


def test_a_damaged_database_does_not_replace_a_good_copy(tmp_path, store):
    insert(store, "a")
    copy = tmp_path / "copy.db"
    backup.write(store.path, copy)
    good = copy.read_bytes()
    store.close()
    store.path.write_bytes(b"garbage" * 1000)
    with pytest.raises(backup.BackupError, match="cannot be copied"):
        backup.write(store.path, copy)
    assert copy.read_bytes() == good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "state.db"]


def test_rows_that_cannot_be_read_do_not_replace_a_good_copy(tmp_path, store):
    insert(store, *(f"thing-{number}" for number in range(2000)))
    copy = tmp_path / "copy.db"
    backup.write(store.path, copy)
    good = copy.read_bytes()
    store.close()
    data = bytearray(store.path.read_bytes())
    data[8192:-4096] = b"\xff" * (len(data) - 8192 - 4096)
    store.path.write_bytes(data)
    with pytest.raises(backup.BackupError):
        backup.write(store.path, copy)
    assert copy.read_bytes() == good


@pytest.mark.parametrize("content", [None, b"garbage" * 1000, b""])
def test_a_copy_that_is_not_whole_is_not_put_back(tmp_path, store, content):
    insert(store, "a")
    store.close()
    before = store.path.read_bytes()
    copy = tmp_path / "copy.db"
    if content is not None:
        copy.write_bytes(content)
    with pytest.raises(backup.BackupError):
        backup.restore(store.path, copy)
    assert store.path.read_bytes() == before
    assert not list(tmp_path.glob("*.damaged-*"))
