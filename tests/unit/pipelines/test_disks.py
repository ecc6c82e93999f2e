from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit_pipelines import disks
from toolkit_pipelines.events import Artifact, Values

ARTIFACT = Artifact("model", "system.Model", "minio://mlpipeline/v2/artifacts/model", {})


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    disks.near.cache_clear()
    yield
    disks.near.cache_clear()


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    listed = tmp_path / "mountinfo"
    listed.touch()
    monkeypatch.setattr(disks, "_MOUNTS", listed)
    return listed


def line(place: Path | str, kind: str, options: str = "") -> str:
    place = str(place).replace(" ", r"\040")
    return f"30 1 8:1 / {place} rw,relatime {options}- {kind} /dev/x rw\n"


@pytest.mark.parametrize(
    ("kind", "expected"), [("ext4", True), ("tmpfs", True), ("nfs4", False), ("fuse.s3fs", False)]
)
def test_what_is_near(tmp_path: Path, mounts: Path, kind: str, expected: bool) -> None:
    mounts.write_text(line("/", kind, "shared:1 master:2 "))
    assert disks.near(tmp_path / "not" / "there") is expected


def test_the_mount_that_holds_a_folder_counts(tmp_path: Path, mounts: Path) -> None:
    far = tmp_path / "far away"
    (far / "disk").mkdir(parents=True)
    (tmp_path / "link").symlink_to(far / "inner")
    mounts.write_text(line(far / "disk", "xfs") + line("/", "ext4") + line(far, "cifs"))
    assert disks.near(tmp_path)
    assert not disks.near(far)
    assert not disks.near(far / "inner")
    assert not disks.near(tmp_path / "link")
    assert disks.near(far / "disk" / "inner")
    assert disks.near(tmp_path / "far away too")


def test_of_two_mounts_on_one_place_the_later_is_seen(tmp_path: Path, mounts: Path) -> None:
    mounts.write_text(line("/", "ext4") + line(tmp_path, "ext4") + line(tmp_path, "nfs"))
    assert not disks.near(tmp_path)


def test_nothing_is_near_where_nobody_can_tell(tmp_path: Path, mounts: Path) -> None:
    mounts.unlink()
    assert not disks.near(tmp_path)


def test_this_machine_tells() -> None:
    assert disks.near(Path("/dev/shm"))
    assert not disks.near(Path("/proc"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, True),
        ({"rate": 0.5, "names": ["a", "b"], "empty": {}}, True),
        ("x" * disks.SMALL, False),
        ({"x" * disks.SMALL: 1}, False),
        ([{"a": ["x" * 1000]}] * 100, False),
        ([0] * disks.SMALL, False),
        ([[]] * disks.SMALL, False),
        (Values({"a": 1}, {"b": (ARTIFACT,) * 10}), True),
        (Values({"a": "x" * disks.SMALL}), False),
        ([Values(artifacts={"b": (ARTIFACT,) * 1000})], False),
    ],
)
def test_what_is_small(value: object, expected: bool) -> None:
    assert disks.small(value) is expected


async def test_a_call_is_made_here_or_in_a_thread() -> None:
    own = threading.get_ident()
    assert await disks.call(threading.get_ident, here=True) == own
    assert await disks.call(threading.get_ident, here=False) != own
