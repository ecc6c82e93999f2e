"""One tinykube daemon for all of these tests; other people's clients talk to it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory) -> Iterator[Path]:
    data = tmp_path_factory.mktemp("k")
    (data / "config.yaml").write_text("port: 0\n")
    environment = {**os.environ, "TINYKUBE_DATA": str(data)}

    def run(*arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tinykube", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    run("start")
    yield data / "kubeconfig"
    run("stop", "--pods")


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"x{uuid.uuid4().hex[:8]}"
