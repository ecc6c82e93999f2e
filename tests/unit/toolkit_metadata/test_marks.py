"""Which stores have artifacts, folder by folder."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from toolkit_metadata.marks import Marks

A, B = "s3://a/x", "s3://b"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "stores"


@pytest.fixture(autouse=True)
def data(tmp_path):
    (tmp_path / "data").mkdir()


def test_nothing_is_elsewhere_at_first(folder):
    for uri in ("", A):
        assert Marks(folder, uri).elsewhere("1/run/artifacts") == ""
    assert not folder.exists()


def test_what_is_in_a_store_is_named_once_that_is_gone(folder):
    marks = Marks(folder, A)
    marks.mark("1/run/artifacts/sub")
    marks.mark("1/run/artifacts/sub")
    assert marks.elsewhere("1/run/artifacts/sub") == ""
    for uri in ("", B):
        found = Marks(folder, uri)
        for below in ("1/run/artifacts/sub", "1/run/artifacts", "1"):
            assert found.elsewhere(below) == A
        for below in ("1/run/artifacts/other", "2", "1/run/artifacts/sub/further"):
            assert found.elsewhere(below) == ""
    assert Marks(folder, A).elsewhere("1") == ""
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*") if path.is_dir())


def test_many_mark_at_once(folder):
    marks = Marks(folder, A)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(marks.mark, [f"1/run/artifacts/{number % 4}" for number in range(64)]))
    found = Marks(folder, "")
    assert all(found.elsewhere(f"1/run/artifacts/{number}") == A for number in range(4))
    assert {path.name for path in folder.glob("*/*")} == {"uri", "folders"}


def test_two_stores_have_some(folder):
    Marks(folder, A).mark("1/a")
    Marks(folder, B).mark("1/b")
    found = Marks(folder, "")
    assert (found.elsewhere("1/a"), found.elsewhere("1/b")) == (A, B)
    assert Marks(folder, B).elsewhere("1/b") == ""
    assert Marks(folder, B).elsewhere("1/a") == A


def test_what_is_deleted_is_forgotten(folder):
    marks = Marks(folder, A)
    marks.mark("1/run/artifacts")
    marks.mark("2/run/artifacts")
    marks.forget("1/run/artifacts")
    marks.forget("3")
    found = Marks(folder, "")
    assert found.elsewhere("1/run/artifacts") == ""
    assert found.elsewhere("2/run") == A
    # What another store has is not forgotten by this one.
    Marks(folder, B).forget("2/run")
    Marks(folder, "").forget("2/run")
    assert Marks(folder, "").elsewhere("2/run") == A


def test_a_file_at_the_top(folder):
    Marks(folder, A).mark("")
    assert Marks(folder, "").elsewhere("") == A


def test_without_a_store_nothing_is_marked(folder):
    with pytest.raises(ValueError, match="no store"):
        Marks(folder, "").mark("1")
