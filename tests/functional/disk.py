"""A small disk for a test: a tmpfs in a mount namespace of its own, and a file that fills it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import bubblewrap

_INSIDE = "TOOLKIT_TEST_SMALL_DISK"

inside = pytest.mark.skipif(
    _INSIDE not in os.environ, reason="another test of this file runs it on a small disk"
)


def folder() -> Path:
    """The small disk, in a test that `run` runs."""
    return Path(os.environ[_INSIDE])


def run(test: str, tmp_path: Path, size: int, seconds: int) -> None:
    """Run a test, `FILE::NAME`, where `folder()` is a tmpfs of so many bytes."""
    disk = tmp_path / "d"
    disk.mkdir()
    command = [str(bubblewrap.find()), "--dev-bind", "/", "/", "--size", str(size)]
    command += ["--tmpfs", str(disk), "--"]
    possible = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if possible.returncode:
        pytest.skip(f"no small disk can be mounted here: {possible.stderr.strip()}")
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *pytest_, f"--basetemp={tmp_path / 'inner'}", test],
        env={**os.environ, _INSIDE: str(disk)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "1 passed" in done.stdout


class Ballast:
    """A file that takes all there is."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ballast"

    def fill(self) -> None:
        """Take all that is free by now."""
        with self.path.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def remove(self) -> None:
        """Give it back."""
        self.path.unlink()
