"""The addresses of pods: each has one of loopback, on which nobody else of this node listens."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sandbox import tree
from sandbox.network import NetworkError, Subnet

_FILE = "address"


class Addresses:
    """Gives pods addresses; each is written into the pod's folder, and stays with it.

    Args:
        pods: the folder that holds a folder for each pod.
        subnet: where the addresses are from; None to give all pods the node's own.
        node: the node's own address.
    """

    def __init__(self, pods: Path, subnet: Subnet | None, node: str) -> None:
        self._pods = pods
        self._subnet = subnet
        self._node = node
        self._given: dict[str, str] | None = None
        self._last = -1

    def of(self, uid: str) -> str:
        """The address of a pod whose folder is there. Raises NetworkError if none is left."""
        if self._subnet is None:
            return self._node
        given = self._known()
        if uid not in given:
            given[uid] = self._next(self._subnet, set(given.values()))
            file = f"{self._pods}/{uid}/{_FILE}"
            tree.fill(file, given[uid].encode("ascii"), 0o666)
            # The kernel's own times of files lag some milliseconds behind.
            moment = time.time_ns()
            os.utime(file, ns=(moment, moment))
        return given[uid]

    def lay_out(self, folder: Path) -> None:
        """Make the file of an address, empty, in the folder of a pod that is to come."""
        if self._subnet is not None:
            with open(folder / _FILE, "x"):
                pass

    def since(self, uid: str) -> float | None:
        """When a pod was given its address, in seconds since the epoch; None for the node's."""
        return None if self._subnet is None else os.stat(f"{self._pods}/{uid}/{_FILE}").st_mtime

    def release(self, uid: str) -> None:
        """A pod is gone, and its folder."""
        if self._given is not None:
            self._given.pop(uid, None)

    def _known(self) -> dict[str, str]:
        if self._given is None:
            self._given = {}
            for file in self._pods.glob(f"*/{_FILE}"):
                address = file.read_text(encoding="ascii").strip()
                # Cut off while it was written, or of another network: the pod gets one anew.
                if self._subnet is not None and self._subnet.runs(address):
                    self._given[file.parent.name] = address
        return self._given

    def _next(self, subnet: Subnet, used: set[str]) -> str:
        """The one after the last that was given: one given back rests as long as possible."""
        for step in range(1, subnet.size + 1):
            index = (self._last + step) % subnet.size
            address = subnet.nth(index)
            if address not in used:
                self._last = index
                return address
        raise NetworkError(f"all {subnet.size} addresses for pods are in use")
