from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit_pipelines import confined
from toolkit_pipelines.confined import ConfinedError


def read(root: Path, path: Path) -> bytes:
    with confined.opened(root, path) as descriptor, confined.stream(descriptor) as file:
        return file.read()


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"content")
    assert read(tmp_path, tmp_path / "a" / "b" / "c") == b"content"


@pytest.mark.parametrize(
    "path", ["", "../secret", "a/../../secret", "/etc/passwd", "none", "a/none"]
)
def test_outside_or_missing(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ConfinedError):
        read(root, root / path)


@pytest.mark.parametrize("path", ["link", "folder/secret", "a/up/secret"])
def test_links_are_not_followed(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    (root / "a" / "up").symlink_to("../..")
    with pytest.raises(ConfinedError):
        read(root, root / path)


def test_a_pipe_neither_blocks_nor_opens(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfinedError, match="neither"):
        read(tmp_path, tmp_path / "pipe")


def test_walk_gives_regular_files_only(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "b").write_text("b")
    (folder / "a").write_text("a")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "pipe")
    with confined.opened(tmp_path, folder) as descriptor:
        found = [path for path, _ in confined.walk(descriptor)]
    assert found == ["a", "sub/b"]


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        read(tmp_path, tmp_path / "a")
        with pytest.raises(ConfinedError):
            read(tmp_path, tmp_path / "b")
        with confined.opened(tmp_path.parent, tmp_path) as descriptor:
            list(confined.walk(descriptor))
    assert len(os.listdir("/proc/self/fd")) == before
