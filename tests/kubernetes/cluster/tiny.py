"""A tinykube beside the real control plane, asked in the same way."""

from __future__ import annotations

import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Self

import lightkube

from .processes import Process


class Tinykube:
    """A daemon on a folder of its own; use it as a context.

    Attributes:
        url: the API server.
        kubeconfig: the administrator's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = {"TINYKUBE_DATA": str(folder)}
        (folder / "config.yaml").write_text("port: 0\n")
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tinykube", "serve"]
        self.process = Process("tinykube", command, self.folder / "output", self._environment)
        try:
            self.process.wait_until(self._ready)
        except BaseException:
            self.process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        stop = [sys.executable, "-m", "tinykube", "stop", "--pods"]
        command = ["env", f"TINYKUBE_DATA={self.folder}", *stop]
        subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
        self.process.stop()

    @property
    def url(self) -> str:
        """Where it serves; the port is ephemeral."""
        return lightkube.KubeConfig.from_file(self.kubeconfig).get().cluster.server

    def client(self) -> lightkube.Client:
        """A client of the administrator; the caller closes it."""
        config = lightkube.KubeConfig.from_file(self.kubeconfig)
        return lightkube.Client(config, field_manager="test")

    def _ready(self) -> bool:
        if not self.kubeconfig.exists():
            return False
        authority = ssl.create_default_context(cafile=str(self.folder / "pki/ca.crt"))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=authority)
        )
        try:
            with opener.open(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
