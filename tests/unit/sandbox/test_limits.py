from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sandbox import limits


def test_what_cannot_be_looked_into_counts_by_what_all_may_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Path.read_text

    def refuse(self: Path, *arguments: str, **options: str) -> str:
        if self.name == "smaps_rollup":
            raise PermissionError(13, "Permission denied")
        return read(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)

    assert limits.proportional([os.getpid()]) > 1 << 20


@pytest.mark.parametrize(
    ("most", "found"), [(2, True), (3, False), (100, False)], ids=["full", "not full", "far"]
)
def test_a_container_is_full_by_its_own_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, found: bool
) -> None:
    load = tmp_path / "loadavg"
    load.write_text("0.20 0.18 0.12 1/280 11206\n")
    monkeypatch.setattr(limits, "_LOAD", load)
    with subprocess.Popen(["sh", "-c", "read x; :"], stdin=subprocess.PIPE) as one:
        with subprocess.Popen(["sh", "-c", "read x; :"], stdin=subprocess.PIPE) as other:
            assert limits.crowded(lambda: [one.pid, other.pid], most) is found
            other.kill()
        one.kill()


def test_nobody_is_looked_at_while_the_machine_has_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = tmp_path / "loadavg"
    load.write_text("0.20 0.18 0.12 1/280 11206\n")
    monkeypatch.setattr(limits, "_LOAD", load)

    def roots() -> list[int]:
        raise AssertionError

    assert not limits.crowded(roots, 4096)
