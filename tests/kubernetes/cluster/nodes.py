"""Nodes of a control plane that run pods as processes: `tinykube node`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .plane import ControlPlane
from .processes import Process


class ProcessNode:
    """A node on the control plane `plane`; its pods end with `stop`."""

    def __init__(
        self, plane: ControlPlane, name: str, *, options: Sequence[str] = (), config: str = ""
    ) -> None:
        self.name = name
        self.folder = plane.folder / "nodes" / name
        self._plane = plane
        serving = plane.serving(name)
        self.folder.mkdir(mode=0o700, parents=True)
        (self.folder / "config.yaml").write_text(config)
        self._argv = [
            sys.executable,
            "-m",
            "tinykube",
            "node",
            f"--kubeconfig={plane.node(name)}",
            f"--name={name}",
            f"--data={self.folder}",
            "--port=0",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={plane.authority}",
            *options,
        ]
        self.process: Process
        self.start()

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.process.log

    def start(self) -> None:
        """Start its agent (again)."""
        self.process = self._plane.run(f"node-{self.name}", self._argv)

    def kill(self) -> None:
        """Kill the agent; its pods run on."""
        self.process.signal(signal.SIGKILL)

    def stop(self) -> None:
        """End the agent and every pod's processes."""
        # Only here: the tests that use no node need none of it.
        from tinykube import ending

        self.process.stop()
        ending.end_all(self.folder)
