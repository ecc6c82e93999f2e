"""The two daemons under the charms and the workloads: minijuju and tinykube."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from minijuju import daemon as juju_daemon
from minijuju.client import Client, data_folder
from minijuju.errors import JujuError
from minijuju.shim import shim_folder
from tinykube.config import Folder
from toolkit_cli.errors import ToolkitError


class Juju:
    """minijuju's controller of this user."""

    def __init__(self) -> None:
        self.folder = data_folder()
        self._client = Client(self.folder, start=False)

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the controller.

        Raises:
            ToolkitError: what the controller said.
        """
        try:
            return self._client.call(method, **params)
        except JujuError as error:
            raise ToolkitError(f"minijuju {method}: {error}") from error

    def running(self) -> bool:
        """Whether a controller answers."""
        return self._client.running()

    def known(self) -> bool:
        """Whether there is a deployment's state, running or not."""
        return (self.folder / "state.db").exists()

    def start(self, kubeconfig: Path) -> bool:
        """Start the controller; False if it runs already.

        Raises:
            ToolkitError: it would not start; the message has its last words.
        """
        if self.running():
            return False
        os.environ["MINIJUJU_KUBECONFIG"] = str(kubeconfig)
        self._start()
        return True

    def _start(self) -> None:
        try:
            juju_daemon.start(self.folder)
        except JujuError as error:
            raise ToolkitError(f"minijuju did not start: {error}") from error

    def stop(self) -> bool:
        """End the controller and all units' processes; False if none ran.

        A controller that was killed may have left its units running: it is started once more
        so that it ends them.

        Raises:
            ToolkitError: something would not end.
        """
        if not self.known():
            return False
        running = self.running()
        if not running:
            self._start()
        self.call("shutdown")
        return running

    def shim(self) -> Path:
        """The folder that holds the command line under the name `juju`."""
        return shim_folder(self.folder)


class Kube:
    """tinykube's daemon of this user."""

    def __init__(self) -> None:
        self.folder = Folder.default()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder.kubeconfig

    def running(self) -> bool:
        """Whether the daemon runs."""
        return bool(json.loads(_tinykube("status", "--json", accept=(0, 3)))["running"])

    def start(self) -> bool:
        """Start the daemon; False if it runs already.

        Raises:
            ToolkitError: it would not start; the message says why.
        """
        if self.running():
            return False
        _tinykube("start")
        return True

    def stop(self) -> bool:
        """End the daemon and every pod's processes; False if none ran.

        Raises:
            ToolkitError: something would not end.
        """
        if not self.folder.root.exists():
            return False
        running = self.running()
        _tinykube("stop", "--pods")
        return running


def _tinykube(*arguments: str, accept: tuple[int, ...] = (0,)) -> str:
    """Run one of tinykube's own commands; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "tinykube", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode not in accept:
        raise ToolkitError(done.stderr.strip() or f"tinykube {arguments[0]}: {done.returncode}")
    return done.stdout
