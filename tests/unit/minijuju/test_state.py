"""The database: whole transactions, or nothing of them."""

import sqlite3

import pytest

from minijuju.errors import StateError
from minijuju.state import State, xid


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


def test_a_damaged_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "state.db"
    path.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    before = path.read_bytes()
    with pytest.raises(StateError, match="restore"):
        State(path)
    assert path.read_bytes() == before


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
