"""The database: whole transactions, or nothing of them."""

import contextlib
import os
import sqlite3

import pytest

from minijuju import backup, models, statuses
from minijuju.errors import StateError
from minijuju.state import State, verdict, xid
from sandbox import backup as backup_file


@pytest.fixture
def state(tmp_path):
    state = State(tmp_path / "state.db")
    yield state
    state.close()


def test_it_is_private(state):
    assert state.path.stat().st_mode & 0o777 == 0o600


def test_a_transaction_is_whole(state):
    def broken():
        with state.transaction():
            state.set_meta("a", "1")
            with state.transaction():
                state.set_meta("b", "2")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        broken()
    assert state.meta("a") == state.meta("b") == ""
    with state.transaction():
        state.set_meta("a", "1")
    assert state.meta("a") == "1"


def test_listeners_hear_after_the_commit_and_only_then(state):
    heard = []
    state.listeners.append(lambda model: heard.append((model, state.meta("a"))))

    def broken():
        with state.transaction():
            state.touch("m")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        broken()
    assert heard == []
    with state.transaction():
        state.touch("m")
        state.touch("m")
        state.set_meta("a", "1")
        assert heard == []
    assert heard == [("m", "1")]
    with pytest.raises(StateError):
        state.touch("m")


def test_numbers_are_never_given_twice(state, tmp_path):
    assert [state.number("n") for _ in range(3)] == [0, 1, 2]
    assert state.number("other") == 0
    state.close()
    again = State(tmp_path / "state.db")
    assert again.number("n") == 3
    again.close()


@pytest.fixture
def filled(tmp_path):
    """A database with a few hundred rows, folded into one file."""
    path = tmp_path / "state.db"
    state = State(path)
    model = models.add(state, "m", {}).uuid
    with state.transaction():
        for number in range(300):
            statuses.put(state, model, f"a/{number}", "agent", "idle", "x" * 50, {"n": number})
    state.close()
    return path


def refused(path):
    """The words of a refusal, which leaves everything as it was."""
    before = {file.name: file.read_bytes() for file in path.parent.glob("state*")}
    with pytest.raises(StateError) as error:
        State(path)
    after = {file.name: file.read_bytes() for file in path.parent.glob("state*")}
    assert {name: after[name] for name in before} == before
    # SQLite makes these for whoever reads.
    assert set(after) - set(before) <= {"state.db-wal", "state.db-shm"}
    assert not after.get("state.db-wal")
    return str(error.value)


def test_a_damaged_database_is_refused_and_left_alone(filled):
    filled.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert "`minijuju restore` puts a copy in its place" in refused(filled)
    filled.write_bytes(b"garbage" * 1000)
    assert "is damaged" in refused(filled)


@pytest.mark.parametrize("part", [0.001, 0.3, 0.5, 0.9, 0.999])
def test_a_database_cut_short_is_refused(filled, part):
    os.truncate(filled, int(filled.stat().st_size * part))
    assert "is damaged" in refused(filled)


def test_a_database_cut_to_nothing_is_refused_where_there_was_one(filled):
    backup.write(filled.parent)
    os.truncate(filled, 0)
    assert "it is empty" in (words := refused(filled))
    assert "the last good copy, of 20" in words


def test_a_flipped_byte_is_refused_or_in_no_text(filled):
    """One byte in each half KiB is another one in its turn."""
    good = filled.read_bytes()
    texts = "SELECT model, entity, kind, status, message, data FROM status_history ORDER BY id"
    with backup_file.read(filled) as connection:
        rows = connection.execute(texts).fetchall()
    refusals = 0
    for place in range(0, len(good), 499):
        damaged = bytearray(good)
        damaged[place] ^= 0xFF
        filled.write_bytes(damaged)
        if backup_file.judge(filled, verdict) != "ok":
            refusals += 1
            continue
        # It was in a page's free space, or in a number.
        with backup_file.read(filled) as connection:
            assert connection.execute(texts).fetchall() == rows
    assert refusals > 100


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE model SET config = '{'", "config in row 1 of model is no JSON"),
        (
            "INSERT INTO model_constraints SELECT uuid, '{' FROM model",
            "constraints in row 1 of model_constraints is no JSON",
        ),
        ("DELETE FROM model", "a row of status belongs to one of model that is not there"),
    ],
)
def test_a_database_that_contradicts_itself_is_refused(filled, sql, words):
    with contextlib.closing(sqlite3.connect(filled)) as connection:
        connection.execute(sql)
        connection.commit()
    assert words in refused(filled)


def test_a_newer_database_is_refused(tmp_path):
    State(tmp_path / "state.db").close()
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StateError, match="newer"):
        State(tmp_path / "state.db")


def test_ids_look_like_juju_s():
    ids = {xid() for _ in range(100)}
    assert len(ids) == 100
    assert all(
        len(one) == 20 and set(one) <= set("0123456789abcdefghijklmnopqrstuv") for one in ids
    )
