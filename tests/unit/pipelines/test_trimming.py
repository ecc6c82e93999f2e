"""What goes when environments take more than they may."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from toolkit_pipelines.trimming import Trimming

BLOCK = 4096


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Environments of ten blocks each, `a` used longest ago, and as much in the cache."""
    made = tmp_path / "owner"
    for used, name in enumerate(("a", "b", "c", ".cache")):
        (made / name / "site").mkdir(parents=True)
        (made / name / "site" / "module.py").write_bytes(bytes(10 * BLOCK))
        os.utime(made / name, (used, used))
    return made


def trimming(
    folder: Path, blocks: int, *, offline: bool = False, building: tuple[str, ...] = ()
) -> Trimming:
    return Trimming(folder, blocks * BLOCK, keep_cache=offline, building=lambda: building)


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize(
    ("blocks", "kept"),
    [
        (0, [".cache", "a", "b", "c"]),
        (40, [".cache", "a", "b", "c"]),
        (39, [".cache", "b", "c"]),
        (20, [".cache", "c"]),
        (10, [".cache"]),
        (9, []),
    ],
)
async def test_those_used_longest_ago_go_and_then_the_cache(
    folder: Path, blocks: int, kept: list[str]
) -> None:
    await trimming(folder, blocks).trim()
    assert left(folder) == kept


async def test_what_is_in_use_stays_until_the_last_has_left(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bound = trimming(folder, 9)
    bound.use("pod-1", "a")
    bound.use("pod-2", "a")
    with caplog.at_level(logging.INFO):
        await bound.trim()
    assert left(folder) == ["a"]
    assert "removed environment b: 0.0 MiB" in caplog.text
    assert "more than the bound" in caplog.text
    bound.leave("pod-1")
    bound.leave("pod-3")
    await bound.trim()
    assert left(folder) == ["a"]
    bound.leave("pod-2")
    await bound.trim()
    assert left(folder) == []


async def test_what_is_being_built_stays_and_the_cache_with_it(folder: Path) -> None:
    await trimming(folder, 1, building=("b",)).trim()
    assert left(folder) == [".cache", "b"]


async def test_offline_the_cache_stays(folder: Path) -> None:
    await trimming(folder, 1, offline=True).trim()
    assert left(folder) == [".cache"]


async def test_a_use_that_begins_while_sizes_are_looked_up_is_heeded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = trimming(folder, 25)
    measure, loop = bound._measure, asyncio.get_running_loop()

    def measured():  # type: ignore[no-untyped-def]
        found = measure()
        loop.call_soon_threadsafe(bound.use, "pod", "a")
        return found

    monkeypatch.setattr(bound, "_measure", measured)
    await bound.trim()
    assert left(folder) == [".cache", "a"]


async def test_only_what_was_put_aside_is_cleared(folder: Path) -> None:
    for name in (".gone-d", ".gone-cache", ".build-e"):
        (folder / name / "site").mkdir(parents=True)
    await trimming(folder, 0).clear()
    assert left(folder) == [".build-e", ".cache", "a", "b", "c"]
    await trimming(folder.parent / "nobody", 1).clear()
    await trimming(folder.parent / "nobody", 1).trim()


async def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(100 * BLOCK))
    (folder / "a" / "link").symlink_to(tmp_path)
    (folder / "a" / "file").symlink_to(tmp_path / "large")
    os.utime(folder / "a", (0, 0))
    await trimming(folder, 42).trim()
    assert left(folder) == [".cache", "a", "b", "c"]
    await trimming(folder, 35).trim()
    assert left(folder) == [".cache", "b", "c"]
    assert (tmp_path / "large").exists()


async def test_sizes_are_remembered_by_what_there_is(folder: Path) -> None:
    bound = trimming(folder, 40)
    await bound.trim()
    # An environment never changes; one in its place is another one.
    (folder / "a" / "more").write_bytes(bytes(10 * BLOCK))
    await bound.trim()
    assert left(folder) == [".cache", "a", "b", "c"]
    (folder / "a").rename(folder.parent / "a")
    await bound.trim()
    (folder / "new").mkdir()
    (folder / "new" / "file").write_bytes(bytes(20 * BLOCK))
    await bound.trim()
    assert left(folder) == [".cache", "c", "new"]


async def test_what_cannot_be_removed_is_told_and_the_next_one_goes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name == "a":
            raise PermissionError(13, "no", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    await trimming(folder, 35).trim()
    assert left(folder) == [".cache", "a", "c"]
    assert "a cannot be removed" in caplog.text


async def test_nothing_goes_while_sizes_are_not_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bound = trimming(folder, 1)

    def broken() -> list[object]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(bound, "_measure", broken)
    await bound.trim()
    assert left(folder) == [".cache", "a", "b", "c"]
    assert "Input/output error" in caplog.text


@pytest.mark.parametrize("blocks", [0, 1000])
async def test_what_a_build_left_that_was_cut_goes_once_nothing_can_be_at_work(
    folder: Path, blocks: int, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1_000_000.0
    ages = {"old": 7201, "young": 7199, "building": 9000, "used": 9000}
    for key, age in ages.items():
        (folder / f".build-{key}" / "site").mkdir(parents=True)
        os.utime(folder / f".build-{key}", (now - age, now - age))
    bound = Trimming(
        folder,
        blocks * BLOCK,
        keep_cache=False,
        building=lambda: ("building",),
        clock=lambda: now,
    )
    bound.use("pod", "used")
    with caplog.at_level(logging.INFO):
        await bound.trim()
    stay = [".build-building", ".build-used", ".build-young", ".cache", "a", "b", "c"]
    assert left(folder) == stay
    assert "build of environment old that was cut" in caplog.text
