"""The two daemons under the charms and the workloads: minijuju and tinykube."""

from __future__ import annotations

import os
from pathlib import Path

from minijuju import daemon as juju_daemon
from minijuju.client import Client, data_folder
from minijuju.errors import JujuError
from minijuju.rpc_names import SOCKET
from minijuju.shim import shim_folder
from tinykube import daemon as kube_daemon
from tinykube.config import ConfigError, Folder
from tinykube.daemon import DaemonError
from toolkit_cli.errors import ToolkitError


class Juju:
    """minijuju's controller of this user."""

    def __init__(self) -> None:
        self.folder = data_folder()
        self.client = Client(self.folder, start=False)

    def running(self) -> bool:
        """Whether a controller answers."""
        return self.client.running()

    def known(self) -> bool:
        """Whether there is a deployment's state, running or not."""
        return any(self.folder.glob("*.db"))

    def start(self, kubeconfig: Path) -> bool:
        """Start the controller; False if it runs already.

        Raises:
            ToolkitError: it would not start; the message has its last words.
        """
        if self.running():
            return False
        os.environ["MINIJUJU_KUBECONFIG"] = str(kubeconfig)
        try:
            juju_daemon.start(self.folder)
        except JujuError as error:
            raise ToolkitError(f"minijuju did not start: {error}") from error
        return True

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
        try:
            if not running:
                juju_daemon.start(self.folder)
            self.client.call("shutdown")
        except JujuError as error:
            raise ToolkitError(f"minijuju did not stop: {error}") from error
        return running

    def shim(self) -> Path:
        """The folder that holds the command line under the name `juju`."""
        return shim_folder(self.folder)

    @property
    def socket(self) -> Path:
        """Where the controller answers."""
        return self.folder / SOCKET


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
        return kube_daemon.running(self.folder)

    def start(self) -> bool:
        """Start the daemon; False if it runs already.

        Raises:
            ToolkitError: it would not start; the message says why.
        """
        if self.running():
            return False
        try:
            kube_daemon.start(self.folder)
        except (ConfigError, DaemonError) as error:
            raise ToolkitError(f"tinykube did not start: {error}") from error
        return True

    def stop(self) -> bool:
        """End the daemon and every pod's processes; False if none ran.

        Raises:
            ToolkitError: something would not end.
        """
        if not self.folder.root.exists():
            return False
        running = self.running()
        try:
            kube_daemon.stop(self.folder, pods=True)
        except DaemonError as error:
            raise ToolkitError(f"tinykube did not stop: {error}") from error
        return running
