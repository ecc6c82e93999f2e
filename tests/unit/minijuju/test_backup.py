"""What is put back with the controller's database, and what is kept aside."""

import contextlib
import sqlite3

import pytest

from minijuju import backup
from minijuju.state import COPY, DATABASE, State
from sandbox import backup as file


@pytest.fixture
def data(tmp_path):
    """A data folder with a copy, and a storage that was made after it."""
    State(tmp_path / DATABASE).close()
    assert backup.write(tmp_path) == tmp_path / COPY
    newer = tmp_path / "storage" / "model" / "data-0"
    newer.mkdir(parents=True)
    (newer / "written").touch()
    return tmp_path


def test_storage_that_a_copy_does_not_know_is_moved_aside(data):
    before = (data / DATABASE).read_bytes()
    done = backup.restore(data)
    assert (done.source, done.database.read_bytes()) == (data / COPY, before)
    assert (done.storage / "model" / "data-0" / "written").is_file()
    assert list((data / "storage").glob("*/*")) == []
    # What the copy knows nothing of was all there was.
    assert backup.restore(data).storage is None


def test_a_copy_of_another_schema_moves_nothing(data):
    with contextlib.closing(sqlite3.connect(data / COPY)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(backup.BackupError, match="it has schema 99"):
        backup.restore(data)
    assert (data / "storage" / "model" / "data-0" / "written").is_file()


def test_it_is_said_where_storage_is_when_the_copy_cannot_be_put_back(data, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file, "_set_aside", full)
    with pytest.raises(backup.BackupError, match=r"No space left on device.*is kept in") as error:
        backup.restore(data)
    (aside,) = data.glob("storage.kept-*")
    assert str(error.value).endswith(str(aside))
