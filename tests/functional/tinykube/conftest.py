"""A tinykube daemon of its own for a test: everything it starts ends with the test."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import lightkube
import pytest

from ..waiting import PATIENCE, pause


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
            timeout=PATIENCE,
            check=False,
        )

    def start(self) -> None:
        done = self.run("start")
        assert done.returncode == 0, done.stderr

    @property
    def pid(self) -> int:
        return int((self.data / "lock").read_text())

    def kill(self) -> None:
        descriptor = os.pidfd_open(self.pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            assert select.select([descriptor], [], [], PATIENCE)[0], "it does not die"
        finally:
            os.close(descriptor)

    @staticmethod
    def wait(until, seconds: float = PATIENCE):
        """What `until` gives, once it is true."""
        begun = time.monotonic()
        while not (found := until()):
            waited = time.monotonic() - begun
            assert waited < seconds, "it did not come true in time"
            time.sleep(pause(waited))
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
