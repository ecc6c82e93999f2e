"""The note that says which database has a folder's data."""

from pathlib import Path

import pytest

from toolkit_database import Login
from toolkit_database.note import FILE, Note, NoteError, check_absent, check_copy, check_same

LOGIN = Login(host="h", port=5432, database="d", username="u", password="p")


def test_it_comes_back(tmp_path: Path) -> None:
    assert Note.read(tmp_path) is None
    Note("database d on h:5432", "abc").write(tmp_path)
    assert Note.read(tmp_path) == Note("database d on h:5432", "abc")
    Note("database d on other:5432", "abc").write(tmp_path)
    assert Note.read(tmp_path) == Note("database d on other:5432", "abc")
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("text", ["{", "[]", '{"database": "x"}', "\0"])
def test_one_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    for asked in (lambda: Note.read(tmp_path), lambda: check_same(tmp_path, LOGIN, "")):
        with pytest.raises(NoteError, match=f"{FILE} cannot be read"):
            asked()


def test_whose_data_they_are(tmp_path: Path) -> None:
    check_absent(tmp_path, "say where")
    assert check_same(tmp_path, LOGIN, "") is False
    assert check_same(tmp_path, LOGIN, "abc") is False
    Note("database x on y:1", "abc").write(tmp_path)
    # Wherever it is now, and whatever it is called.
    assert check_same(tmp_path, LOGIN, "abc") is True
    with pytest.raises(NoteError, match="in database x on y:1, and database d on h:5432 has none"):
        check_same(tmp_path, LOGIN, "")
    with pytest.raises(NoteError, match="database d on h:5432 has others: restore them there"):
        check_same(tmp_path, LOGIN, "def")
    with pytest.raises(NoteError, match=f"in database x on y:1: say where. Or remove .*{FILE}"):
        check_absent(tmp_path, "say where")


def test_a_copy(tmp_path: Path) -> None:
    check_copy(tmp_path / "a.db", "abc", LOGIN, "abc")
    with pytest.raises(NoteError, match=r"has data of another application, and .*a\.db has some"):
        check_copy(tmp_path / "a.db", "", LOGIN, "abc")
