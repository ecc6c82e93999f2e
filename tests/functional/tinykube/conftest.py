"""A tinykube daemon of its own for a test: everything it starts ends with the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import lightkube
import pytest


class Tinykube:
    """The daemon on a data folder, by its own commands."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.clients: list[lightkube.Client] = []
        self.environment = {**os.environ, "TINYKUBE_DATA": str(data)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tinykube", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self) -> None:
        done = self.run("start")
        assert done.returncode == 0, done.stderr

    @property
    def pid(self) -> int:
        return int((self.data / "lock").read_text())

    def kill(self) -> None:
        pid = self.pid
        descriptor = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            self.wait(lambda: not Path(f"/proc/{pid}").exists() or self.dead(pid))
        finally:
            os.close(descriptor)

    @staticmethod
    def dead(pid: int) -> bool:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    @staticmethod
    def wait(until, seconds: float = 30.0):
        """What `until` gives, once it is true."""
        end = time.monotonic() + seconds
        while not (found := until()):
            assert time.monotonic() < end, "it did not come true in time"
            time.sleep(0.02)
        return found

    def client(self) -> lightkube.Client:
        config = lightkube.KubeConfig.from_file(self.data / "kubeconfig")
        self.clients.append(lightkube.Client(config, field_manager="test"))
        return self.clients[-1]


@pytest.fixture
def tinykube(tmp_path) -> Iterator[Tinykube]:
    data = tmp_path / "k"
    data.mkdir(mode=0o700)
    (data / "config.yaml").write_text("port: 0\n")
    made = Tinykube(data)
    yield made
    for client in made.clients:
        client.close()
    done = made.run("stop", "--pods")
    assert done.returncode == 0, done.stderr
