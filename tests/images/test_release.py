"""What a tag publishes can be made: its workflow is sound, and locks fit both architectures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.images import find_uv

from ..kubernetes.programs import Program, provide
from . import bases
from .builder import ROOT
from .conftest import NAMES

ACTIONLINT = Program(
    "actionlint",
    "github.com/rhysd/actionlint/cmd/actionlint",
    modules=Path(__file__).parent / "go",
)


def test_workflows_are_sound_and_so_are_their_scripts(tell):
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shellcheck = shutil.which("shellcheck", path=beside)
    assert shellcheck, "shellcheck is in the group `lint`"
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
    done = subprocess.run(
        [provide(ACTIONLINT, progress=tell), f"-shellcheck={shellcheck}", *workflows],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", NAMES)
def test_every_locked_package_has_a_wheel_for_the_base(name, machine, tmp_path):
    """Nothing has to be compiled in an image, which has no compiler."""
    version = re.search(r"python:(\d\.\d+)-", bases.PYTHON)
    assert version
    exported = subprocess.run(
        [
            *(find_uv(), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-local"),
            *("--no-hashes", "--project", ROOT / "images" / name),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "==" in exported
    (tmp_path / "requirements.txt").write_text(exported)
    done = subprocess.run(
        [
            *(find_uv(), "pip", "install", "--dry-run", "--no-deps", "--only-binary=:all:"),
            *("--target", tmp_path / "target", "--requirements", tmp_path / "requirements.txt"),
            *("--python-version", version[1], "--python-platform", f"{machine}-unknown-linux-gnu"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
