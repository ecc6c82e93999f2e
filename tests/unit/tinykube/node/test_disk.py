from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tinykube.node import disk
from tinykube.node.clock import Clock
from tinykube.node.disk import Disk

MIB = 1 << 20


class Stopped(Clock):
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now


class Machine:
    """A disk whose free bytes a test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 1000 * MIB
        self.kept_back = 0
        self.running: list[str] = []
        self.told: list[tuple[str | None, str, str, str]] = []
        self.changes = 0
        self.clock = Stopped()
        monkeypatch.setattr(disk.os, "statvfs", self.statvfs)
        self.disk = Disk(
            folder,
            "n",
            lambda: self.running,
            lambda *event: self.told.append(event),
            self.changed,
            self.clock,
        )

    def statvfs(self, path: Path) -> SimpleNamespace:
        return SimpleNamespace(f_frsize=1, f_bavail=self.free, f_bfree=self.free + self.kept_back)

    def changed(self) -> None:
        self.changes += 1

    def look(self, free: int) -> None:
        self.free = free
        self.disk.look()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_pressure_comes_and_goes(machine: Machine) -> None:
    for free in (disk.LEAST, disk.LEAST - 1, disk.LEAST - 2):
        machine.look(free)
    assert machine.disk.pressed
    machine.look(disk.LEAST)

    assert not machine.disk.pressed
    assert machine.changes == 2
    reasons = [reason for uid, _, reason, _ in machine.told if uid is None]
    assert reasons == ["NodeHasDiskPressure", "NodeHasNoDiskPressure"]


def test_who_ran_on_a_full_disk_is_told_once_there_is_room(machine: Machine) -> None:
    machine.running = ["b", "a"]
    machine.look(0)
    machine.running = ["b", "c"]
    machine.clock.now += 5
    machine.look(disk.FULL - 1)
    # Not yet: a few blocks are soon written.
    machine.look(disk.ROOM - 1)
    assert [event for event in machine.told if event[0]] == []

    machine.running = ["later"]
    machine.look(disk.ROOM)
    machine.look(disk.ROOM)

    told = [event for event in machine.told if event[0]]
    assert [uid for uid, *_ in told] == ["a", "b", "c"]
    assert {(type_, reason) for _, type_, reason, _ in told} == {("Warning", "DiskFull")}
    assert "full from 2023-11-14T22:13:20Z to 2023-11-14T22:13:25Z" in told[0][3]


def test_another_time_is_told_anew(machine: Machine) -> None:
    machine.running = ["a"]
    machine.look(0)
    machine.look(disk.ROOM)
    machine.running = ["b"]
    machine.look(0)
    machine.look(disk.ROOM)

    assert [uid for uid, *_ in machine.told if uid] == ["a", "b"]


@pytest.mark.parametrize(("user", "full"), [(0, False), (1000, True)])
def test_what_is_kept_back_is_the_administrators(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, user: int, full: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    machine.kept_back = 100 * MIB

    machine.look(0)

    assert machine.disk.pressed is full


async def test_a_full_disk_is_seen_though_no_log_can_grow(machine: Machine) -> None:
    """Whoever looks only as logs grow would not look while nothing can be written."""
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == len(frees):
            raise asyncio.CancelledError
        machine.free = frees[len(waited)]

    machine.running = ["a"]
    machine.clock.sleep = sleep  # type: ignore[method-assign]
    frees = [1000 * MIB, MIB, 0, 1000 * MIB]
    with pytest.raises(asyncio.CancelledError):
        await machine.disk.run()
    assert waited == [disk.PAUSE, disk.PRESSED_PAUSE, disk.PRESSED_PAUSE, disk.PAUSE]
    assert [event[2] for event in machine.told if event[0] == "a"] == ["DiskFull"]
