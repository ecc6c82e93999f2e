from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from tinykube.node import projection
from tinykube.node.projection import File


def content(place: Path) -> dict[str, bytes]:
    """What somebody sees who looks into the volume."""
    found = {}
    for entry in place.iterdir():
        if entry.name.startswith(".."):
            continue
        for path in [entry, *entry.rglob("*")]:
            if path.is_file():
                found[str(path.relative_to(place))] = path.read_bytes()
    return found


def test_files_and_folders(tmp_path: Path) -> None:
    place = tmp_path / "v"
    files = {"a": File(b"1", 0o400), "deep/er/b": File(b"2")}

    assert projection.write(place, files)

    assert content(place) == {"a": b"1", "deep/er/b": b"2"}
    assert (place / "a").stat().st_mode & 0o777 == 0o400
    assert os.readlink(place / "a") == "..data/a"
    assert os.readlink(place / "deep") == "..data/deep"
    assert len(list(place.glob("..2*"))) == 1


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    place, files = tmp_path / "v", {"a": File(b"1", 0o400)}
    projection.write(place, files)
    before = os.readlink(place / "..data")

    assert not projection.write(place, files)
    assert os.readlink(place / "..data") == before
    assert projection.write(place, {"a": File(b"1", 0o444)})


def test_what_is_gone_goes(tmp_path: Path) -> None:
    place = tmp_path / "v"
    projection.write(place, {"a": File(b"1"), "b/c": File(b"2")})

    projection.write(place, {"b": File(b"3")})

    assert content(place) == {"b": b"3"}
    assert sorted(path.name[:3] for path in place.iterdir()) == ["..2", "..d", "b"]


def test_a_volume_of_an_earlier_version(tmp_path: Path) -> None:
    place = tmp_path / "v"
    (place / "old").mkdir(parents=True)
    (place / "a").write_text("plain")

    projection.write(place, {"a": File(b"1")})

    assert content(place) == {"a": b"1"}


@pytest.mark.parametrize("moment", ["mkdir", "file", "symlink_to", "replace"])
def test_cut_off_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    place = tmp_path / "v"
    old, new = {"a": File(b"1"), "b": File(b"1")}, {"a": File(b"2"), "b": File(b"2")}
    projection.write(place, old)

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "file":
            patch.setattr(projection.Tree, "file", cut)
        else:
            patch.setattr(Path, moment, cut)
        with pytest.raises(KeyboardInterrupt):
            projection.write(place, new)

    assert content(place) == {"a": b"1", "b": b"1"}
    projection.write(place, new)
    assert content(place) == {"a": b"2", "b": b"2"}
    assert len(list(place.glob("..2*"))) == 1


def test_a_reader_sees_all_of_one_or_all_of_the_other(tmp_path: Path) -> None:
    place = tmp_path / "v"
    projection.write(place, {"a": File(b"0"), "b": File(b"0")})
    seen: set[tuple[bytes, bytes]] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            # As a program does that wants both: it resolves the folder once.
            try:
                folder = os.open(place / "..data", os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # The link's old target went while it was followed.
            try:
                texts = []
                for name in ("a", "b"):
                    descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
                    texts.append(os.read(descriptor, 10))
                    os.close(descriptor)
                seen.add((texts[0], texts[1]))
            except FileNotFoundError:
                continue  # That folder was taken away meanwhile.
            finally:
                os.close(folder)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(1, 60):
        text = str(number).encode()
        projection.write(place, {"a": File(text), "b": File(text)})
    ended.set()
    reader.join()

    assert seen
    assert all(first == second for first, second in seen)


@pytest.mark.parametrize("path", ["../x", "..x", "/..", "a/../../x"])
def test_paths_out_of_the_volume(tmp_path: Path, path: str) -> None:
    with pytest.raises(SandboxError, match="is not a path"):
        projection.write(tmp_path / "v", {path: File(b"")})

    assert not (tmp_path / "x").exists()
