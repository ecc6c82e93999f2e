import contextlib
import os
import sqlite3
import stat

import pytest

from tinykube import objects
from tinykube import store as storing
from tinykube.store import DamagedError, StorageError, Store


def thing(name, namespace="ns", uid=None, **fields):
    meta = {"name": name, "namespace": namespace, "uid": uid or f"uid-{namespace}-{name}"}
    return {"metadata": meta, **fields}


def insert(store, *names, resource="pods"):
    for name in names:
        with store.write() as transaction:
            transaction.insert(resource, thing(name))


def test_versions_rise_and_outlive_the_process(tmp_path):
    path = tmp_path / "db"
    first = Store(path)
    insert(first, "a", "b")
    version = first.version
    first.close()
    second = Store(path)
    assert second.version == version
    assert [row.name for row in second.rows("pods")] == ["a", "b"]
    insert(second, "c")
    assert second.load("pods", "ns", "c")["metadata"]["resourceVersion"] == str(version + 1)
    second.close()


def test_a_failed_block_leaves_no_trace(store):
    insert(store, "a")
    version = store.version
    seen = []
    store.listen(seen.append)

    def fail():
        with store.write() as transaction:
            transaction.insert("pods", thing("b"))
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert store.version == version
    assert store.get("pods", "ns", "b") is None
    assert seen == []


def test_who_listens_is_told_of_what_concerns_him(store):
    all_, pods, nodes = [], [], []
    store.listen(lambda changes: all_.append([change.name for change in changes]))
    store.listen(lambda changes: pods.append([change.name for change in changes]), ["pods", "x"])
    store.listen(lambda changes: nodes.append([change.name for change in changes]), ["nodes"])
    insert(store, "a")
    with store.write() as transaction:
        transaction.insert("nodes", thing("n"))
        transaction.insert("pods", thing("b"))
    assert all_ == [["a"], ["n", "b"]]
    assert pods == [["a"], ["n", "b"]]
    assert nodes == [["n", "b"]]


def test_the_database_is_private(store):
    for path in store.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_changes_since_a_version(store):
    insert(store, "a", "b")
    start = store.version
    previous = store.get("pods", "ns", "a")
    with store.write() as transaction:
        transaction.replace("pods", thing("a", x=1), previous)
    insert(store, "other", resource="secrets")
    with store.write() as transaction:
        transaction.remove("pods", thing("b"), store.get("pods", "ns", "b"))
    found = store.changes("pods", start, 10)
    assert [(change.type, change.name) for change in found] == [
        ("MODIFIED", "a"),
        ("DELETED", "b"),
    ]
    assert found[0].after["x"] == 1
    assert "x" not in found[0].before
    assert found[1].after["metadata"]["resourceVersion"] == str(found[1].version)


def test_changes_are_the_same_from_memory_and_from_disk(tmp_path):
    path = tmp_path / "db"
    first = Store(path)
    start = first.version
    insert(first, "a", "b", "c")
    live = [(change.version, change.data) for change in first.changes("pods", start, 10)]
    first.close()
    second = Store(path)
    assert [(item.version, item.data) for item in second.changes("pods", start, 10)] == live
    second.close()


def test_what_a_change_says_is_read_once(store, monkeypatch):
    seen = []
    store.listen(seen.extend)
    insert(store, "a")
    first = seen[0].after
    data = store.get("pods", "ns", "a")
    assert store.recall("pods", "ns", "a", data) is first
    with store.write() as transaction:
        marked = transaction.replace("pods", thing("a", spec=1), data)
        transaction.remove("pods", thing("a", spec=1), marked)
    assert seen[1].before is first
    # Nobody has read what the second change made of it.
    assert seen[2].before == seen[1].after
    assert store.recall("pods", "ns", "a", marked) == seen[1].after
    monkeypatch.setattr(storing, "_RECENT_EVENTS", 1)
    insert(store, "b", "a")
    with store.write() as transaction:
        transaction.replace("pods", thing("b", spec=2), store.get("pods", "ns", "b"))
    assert seen[-1].before["metadata"]["name"] == "b"
    assert list(store._latest) == [("pods", "ns", "b")]


def test_what_was_read_of_older_changes_is_let_go_of(store, monkeypatch):
    monkeypatch.setattr(storing, "_KEEP_PARSED", 2)
    seen = []
    store.listen(seen.extend)
    insert(store, "a")
    first = seen[0].after
    insert(store, "b")
    assert seen[0].after is first
    insert(store, "c")
    assert seen[0].after is not first
    assert seen[0].after == first
    data = store.get("pods", "ns", "a")
    assert store.recall("pods", "ns", "a", data) == first


def test_what_changed_a_moment_ago_is_read_as_it_is_stored(store):
    insert(store, "a", "b")
    data = store.get("pods", "ns", "a")
    with store.write() as transaction:
        new = transaction.replace("pods", thing("a", spec=1), data)
        assert store.get("pods", "ns", "a") == new
        transaction.remove("pods", thing("b"), store.get("pods", "ns", "b"))
        assert store.get("pods", "ns", "b") is None
    again = Store(store.path)
    for name in ("a", "b", "c"):
        assert store.get("pods", "ns", name) == again.get("pods", "ns", name)
    again.close()


def test_a_write_within_a_write_is_a_part_of_it(store):
    told = []
    store.listen(lambda changes: told.append([change.name for change in changes]))
    insert(store, "old")
    with store.write():
        insert(store, "a")
        assert store.get("pods", "ns", "a") is not None
        assert [row.name for row in store.rows("nodes")] == []
        insert(store, "b", resource="nodes")
        assert [row.name for row in store.rows("nodes")] == ["b"]
    assert told == [["old"], ["a", "b"]]

    def fail():
        with store.write():
            insert(store, "c", resource="leases")
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert store.get("leases", "ns", "c") is None
    assert list(store.rows("leases")) == []
    assert len(told) == 2


def test_a_part_that_fails_half_way_undoes_the_whole(store):
    def fail():
        with store.write() as part:
            part.insert("pods", thing("b"))
            raise ZeroDivisionError

    def write():
        with store.write() as whole:
            whole.insert("pods", thing("a"))
            with contextlib.suppress(ZeroDivisionError):
                fail()

    with pytest.raises(RuntimeError, match="failed after it had written"):
        write()

    assert list(store.rows("pods")) == []


def test_a_part_that_fails_before_it_writes_undoes_nothing(store):
    with store.write() as whole:
        whole.insert("pods", thing("a"))
        with contextlib.suppress(ZeroDivisionError), store.write():
            raise ZeroDivisionError

    assert store.get("pods", "ns", "a") is not None


def test_what_was_read_is_read_anew_once_it_changed(store, monkeypatch):
    monkeypatch.setattr(storing, "_RECENT_EVENTS", 1)
    monkeypatch.setattr(storing, "_KEEP_READ", 2)
    insert(store, "a", "b", "c", "d")
    for name in ("a", "b", "c", "a", "d"):
        assert f'"name":"{name}"' in store.get("pods", "ns", name)
    with store.write() as transaction:
        new = transaction.replace("pods", thing("a", spec=1), store.get("pods", "ns", "a"))
    insert(store, "e")
    assert store.get("pods", "ns", "a") == new
    with store.write() as transaction:
        transaction.remove("pods", thing("a"), new)
    insert(store, "f")
    assert store.get("pods", "ns", "a") is None
    assert [row.name for row in store.rows("pods")] == ["b", "c", "d", "e", "f"]


def test_an_object_that_changes_and_goes_at_once_is_told_of_twice(store):
    insert(store, "a")
    owner = {"uid": "u", "kind": "Job", "name": "j", "apiVersion": "batch/v1"}
    with store.write() as transaction:
        new = thing("a")
        new["metadata"]["ownerReferences"] = [owner]
        data = transaction.replace("pods", new, store.get("pods", "ns", "a"))
    seen = []
    store.listen(seen.extend)
    with store.write() as transaction:
        gone = objects.load(data) | {"spec": 1}
        marked = transaction.pass_by("pods", gone, data)
        transaction.remove("pods", gone, marked)
    assert [change.type for change in seen] == ["MODIFIED", "DELETED"]
    assert [change.previous for change in seen] == [data, marked]
    assert store.get("pods", "ns", "a") is None
    assert store.owners() == []
    assert store.by_uid("uid-ns-a") is None


def test_what_is_listened_to_is_not_read_anew(store):
    seen = []
    store.listen(seen.extend, ("pods",))
    pod, other = thing("a"), thing("b")
    with store.write() as transaction:
        transaction.insert("pods", pod)
        transaction.insert("events", other)
    assert seen[0].after is pod
    # What nobody may ask for is not kept.
    assert seen[1].after == other
    assert seen[1].after is not other


def test_what_was_undone_is_not_remembered(store):
    insert(store, "a")
    data = store.get("pods", "ns", "a")

    def fail():
        with store.write() as transaction:
            transaction.replace("pods", thing("a", spec=1), data)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert store.get("pods", "ns", "a") == data
    assert "spec" not in store.recall("pods", "ns", "a", data)


def test_a_list_in_an_older_version(store):
    insert(store, "a", "b", "c")
    version = store.version
    with store.write() as transaction:
        transaction.remove("pods", thing("a"), store.get("pods", "ns", "a"))
    for number in range(3):
        with store.write() as transaction:
            transaction.replace("pods", thing("b", n=number), store.get("pods", "ns", "b"))
    insert(store, "aa")
    assert [row.name for row in store.rows("pods")] == ["aa", "b", "c"]
    old = list(store.rows("pods", version=version))
    assert [row.name for row in old] == ["a", "b", "c"]
    assert '"n"' not in old[1].data
    assert [row.name for row in store.rows("pods", version=version, after=("ns", "a"))] == [
        "b",
        "c",
    ]


def test_history_is_trimmed_and_says_so(store, monkeypatch):
    monkeypatch.setattr(storing, "_KEEP_EVENTS", 20)
    start = store.version
    insert(store, *(f"n{number}" for number in range(600)))
    assert store.changes("pods", start, 10) is None
    assert store.oldest > start
    assert len(store.changes("pods", store.version - 5, 10)) == 5


def test_history_is_bounded_in_bytes(store, monkeypatch):
    monkeypatch.setattr(storing, "_KEEP_BYTES", 100_000)
    for number in range(60):
        with store.write() as transaction:
            transaction.insert("pods", thing(f"n{number}", data="x" * 10_000))
    (kept,) = store._connection.execute("SELECT sum(length(data)) FROM history").fetchone()
    assert kept <= 120_000


def test_owners_are_found_and_forgotten(store):
    owner = {"ownerReferences": [{"uid": "o"}]}
    body = thing("a")
    body["metadata"].update(owner)
    with store.write() as transaction:
        transaction.insert("pods", body)
    assert [row.name for _, row in store.dependents("o")] == ["a"]
    with store.write() as transaction:
        transaction.replace("pods", thing("a"), store.get("pods", "ns", "a"))
    assert store.dependents("o") == []
    assert store.owners() == []


def test_a_damaged_file_is_refused_and_kept(tmp_path):
    path = tmp_path / "db"
    opened = Store(path)
    insert(opened, *(f"n{number}" for number in range(200)))
    opened.close()
    data = bytearray(path.read_bytes())
    for offset in range(8192, len(data), 4096):
        data[offset : offset + 64] = os.urandom(64)
    path.write_bytes(data)
    with pytest.raises(DamagedError, match="left as it is"):
        Store(path)
    assert path.read_bytes() == data


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DamagedError, match="move it"):
        Store(path)


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "db"
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(DamagedError, match="newer tinykube"):
        Store(path)


def test_a_reboot_leaves_versions_behind_that_clients_may_have_seen(tmp_path):
    path = tmp_path / "db"
    first = Store(path)
    insert(first, "a")
    version = first.version
    first._connection.execute("UPDATE facts SET value='another' WHERE name='boot'")
    first.close()
    second = Store(path)
    assert second.version > version + 1000
    assert second.changes("pods", version, 10) is None
    second.close()


def test_a_refused_write_is_a_storage_error_and_the_next_one_works(store):
    store._connection.execute("PRAGMA max_page_count=1")
    with pytest.raises(StorageError, match="full"):
        insert(store, *(f"n{number}" for number in range(500)))
    store._connection.execute("PRAGMA max_page_count=1000000")
    version = store.version
    insert(store, "later")
    assert store.version == version + 1


def test_the_log_is_folded_in(store, monkeypatch):
    monkeypatch.setattr(storing, "_CHECKPOINT_BYTES", 1)
    insert(store, "a")
    store._checkpoint.join()
    before = store.path.stat().st_size
    insert(store, "b")
    store._checkpoint.join()
    assert before >= 4096
    assert store.get("pods", "ns", "b")
