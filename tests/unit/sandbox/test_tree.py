from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.tree import Tree, clear, fill, remove


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    tree = Tree(tmp_path)

    tree.folder("a/b/c", 0o1777)
    tree.file("a/x/hosts", b"text", 0o600)

    assert (tmp_path / "a/b/c").stat().st_mode & 0o7777 == 0o1777
    assert (tmp_path / "a/x/hosts").read_bytes() == b"text"
    assert (tmp_path / "a/x/hosts").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("before", [None, b"", b"longer than what comes", b"?"])
def test_a_file_is_filled_whatever_was_in_it(tmp_path: Path, before: bytes | None) -> None:
    if before is not None:
        (tmp_path / "file").write_bytes(before)
        (tmp_path / "file").chmod(0o640)

    fill(tmp_path / "file", b"content", 0o600)

    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "file").stat().st_mode & 0o777 == (0o600 if before is None else 0o640)


def test_a_link_is_not_filled(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "other")

    with pytest.raises(OSError, match="symbolic links"):
        fill(tmp_path / "file", b"content")

    assert not (tmp_path / "other").exists()


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)

    Tree(tmp_path).folder("a", 0o755)

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("how", ["file", "folder", "touch"])
@pytest.mark.parametrize("link", ["etc", "etc/hosts"])
def test_nothing_is_written_through_a_link(tmp_path: Path, how: str, link: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "hosts").write_text("precious")
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside if link == "etc" else outside / "hosts")

    tree = Tree(root)
    if how == "file" and link == "etc/hosts":
        tree.file("etc/hosts", b"new")
        assert not (root / "etc/hosts").is_symlink()
    else:
        with pytest.raises(SandboxError, match=r"etc"):
            getattr(tree, how)("etc/hosts")

    assert (outside / "hosts").read_text() == "precious"
    assert [path.name for path in outside.iterdir()] == ["hosts"]


def test_a_file_that_is_renewed_stays_the_same_one(tmp_path: Path) -> None:
    tree, path = Tree(tmp_path), tmp_path / "etc/hosts"
    tree.renew("etc/hosts", b"first and long")
    with path.open("rb") as mounted:
        tree.renew("etc/hosts", b"second")
        assert mounted.read() == b"second"
        changed = path.stat().st_mtime_ns
        tree.renew("etc/hosts", b"second")

    assert path.stat().st_mtime_ns == changed


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_plain_file_is_replaced_by_one(tmp_path: Path, kind: str) -> None:
    outside, path = tmp_path / "outside", tmp_path / "hosts"
    outside.write_text("precious")
    if kind == "link":
        path.symlink_to(outside)
    else:
        os.mkfifo(path)

    Tree(tmp_path).renew("hosts", b"text")

    assert path.read_bytes() == b"text"
    assert not path.is_symlink()
    assert outside.read_text() == "precious"


@pytest.mark.parametrize("path", ["", "/", "..", "a/../../b", "."])
def test_a_path_that_leaves_the_tree_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(SandboxError, match="is not a path below"):
        Tree(tmp_path).file(path)


def test_copies_keep_links_and_leave_out_what_is_not_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "certs").mkdir(parents=True)
    (source / "certs" / "ca.pem").write_text("ca")
    (source / "certs" / "link").symlink_to("ca.pem")
    target.mkdir()

    Tree(target).copy(source, "ssl")
    Tree(target).copy(source / "nothing", "nothing")

    assert (target / "ssl/certs/ca.pem").read_text() == "ca"
    assert (target / "ssl/certs/link").readlink() == Path("ca.pem")
    assert not (target / "nothing").exists()


def test_remove_deletes_what_a_container_made_unreadable(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    doomed = tmp_path / "doomed"
    (doomed / "a" / "b").mkdir(parents=True)
    (doomed / "a" / "b" / "file").touch()
    (doomed / "a" / "link").symlink_to(outside)
    (doomed / "a" / "b").chmod(0)
    (doomed / "a").chmod(0)

    remove(doomed)
    remove(doomed)

    assert not doomed.exists()
    assert (outside / "file").exists()


def test_remove_by_several_at_once(tmp_path: Path) -> None:
    for _ in range(5):
        doomed = tmp_path / "doomed"
        for folder in range(20):
            (doomed / str(folder)).mkdir(parents=True)
            for name in range(20):
                (doomed / str(folder) / str(name)).touch()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(remove, [doomed] * 4))
        assert not doomed.exists()


def _small(top: Path) -> Path:
    doomed = top / "doomed"
    (doomed / "a" / "b").mkdir(parents=True)
    (doomed / "a" / "b" / "file").write_bytes(b"text")
    (doomed / "empty").mkdir()
    (doomed / "link").symlink_to(top)
    os.mkfifo(doomed / "pipe")
    return doomed


def test_clear_deletes_what_is_small_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()

    assert clear(_small(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert not clear(tmp_path / "doomed")


@pytest.mark.parametrize("made", ["many", "deep", "large", "closed"])
def test_clear_leaves_the_rest_to_remove(tmp_path: Path, made: str) -> None:
    doomed = _small(tmp_path)
    if made == "many":
        for number in range(70):
            (doomed / "empty" / str(number)).touch()
    elif made == "deep":
        (doomed / "/".join(["deep"] * 70)).mkdir(parents=True)
    elif made == "large":
        (doomed / "empty" / "large").write_bytes(b"x" * 2_000_000)
    else:
        (doomed / "a").chmod(0o500)

    # Who may do all can do that too.
    assert clear(doomed) is (made == "closed" and os.getuid() == 0)

    remove(doomed)
    assert list(tmp_path.iterdir()) == []
