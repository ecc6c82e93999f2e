"""What the digest of an artifact counts, and what it does not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from toolkit_launcher import content

BIG = bytes(range(256)) * 20_000  # more than is read at a time


def folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def test_a_files_digest_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BIG)
    expected = f"sha256:{hashlib.sha256(BIG).hexdigest()}"
    assert content.digest(str(tmp_path / "a")) == expected


def test_what_was_not_written_is_told_from_what_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    found = [content.digest(str(tmp_path / name)) for name in ("nothing", "file", "folder")]
    assert found[0] == "none"
    assert len(set(found)) == 3


def test_a_folders_digest_goes_by_names_and_content_alone(tmp_path: Path) -> None:
    files = {"b": b"1", "a/c": b"2", "a-b": b"3", "a/d/e": b""}
    first = folder(tmp_path / "first", files)
    second = folder(tmp_path / "second", dict(reversed(files.items())))
    os.utime(second / "b", (1, 1))
    (second / "b").chmod(0o755)
    assert content.digest(str(first)) == content.digest(str(second))
    # As who has only the list of its files computes it.
    listed = [("a", None), ("a/d", None)]
    listed += [(name, hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    listed.sort(key=lambda each: content.in_order(each[0]))
    assert content.of_folder(listed) == content.digest(str(first))


@pytest.mark.parametrize(
    "files",
    [
        {"a": b"1", "b": b"3"},
        {"a": b"2", "b": b"1"},
        {"a": b"1", "c": b"2"},
        {"a": b"1", "d/b": b"2"},
        {"a": b"1"},
        {"a": b"1", "b": b"2", "c": b""},
        {"a": b"1", "b/c": b"2"},
    ],
)
def test_whatever_else_changes_it_is_another(tmp_path: Path, files: dict[str, bytes]) -> None:
    first = folder(tmp_path / "first", {"a": b"1", "b": b"2"})
    second = folder(tmp_path / "second", files)
    assert content.digest(str(first)) != content.digest(str(second))


def test_an_empty_folder_counts(tmp_path: Path) -> None:
    made = folder(tmp_path / "made", {"a": b"1"})
    before = content.digest(str(made))
    (made / "empty").mkdir()
    assert content.digest(str(made)) != before


def test_links_are_what_they_lead_to(tmp_path: Path) -> None:
    real = folder(tmp_path / "real", {"a/x": b"1", "b/x": b"1"})
    linked = folder(tmp_path / "linked", {"a/x": b"1"})
    (linked / "b").symlink_to("a")
    (tmp_path / "whole").symlink_to(linked)
    assert content.digest(str(tmp_path / "whole")) == content.digest(str(real))


def test_what_has_no_content_has_no_digest(tmp_path: Path) -> None:
    for name in ("pipe", "loop", "nowhere"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe" / "p")
    (tmp_path / "loop" / "self").symlink_to(".")
    (tmp_path / "nowhere" / "link").symlink_to("gone")
    (tmp_path / "dangling").symlink_to("gone")
    for name, kind in (
        ("pipe", content.UnknownError),
        ("loop", content.UnknownError),
        ("nowhere", FileNotFoundError),
        ("dangling", content.UnknownError),
    ):
        with pytest.raises(kind):
            content.digest(str(tmp_path / name))
