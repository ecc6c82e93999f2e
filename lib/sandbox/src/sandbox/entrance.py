"""The way into a network namespace that `sandbox.isolation` keeps, for who starts a container."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.process import Identity
from sandbox.spec import Network

PROGRAM = "nsenter"
_PATIENCE = 10.0


def prefix(network: Network | None, patience: float = _PATIENCE) -> list[str]:
    """The words before a command that has it run in that network; none for the host's.

    The command keeps its user and gains nothing: it may make user namespaces inside that of the
    network, as it might on the host. Blocks while the network is being made again, for `patience`
    seconds at most. What is returned holds for a start that follows at once.

    Raises:
        SandboxError: there is no such network, or no program to enter it.
    """
    if network is None:
        return []
    program = shutil.which(PROGRAM)
    if program is None:
        raise SandboxError(f"{PROGRAM} is needed to enter a network; install util-linux")
    deadline = time.monotonic() + patience
    while (found := _find(network)) is None:
        if time.monotonic() > deadline:
            raise SandboxError(
                f"{network.member} has no network: nobody keeps one in {network.folder}"
            )
        time.sleep(0.02)
    keeper, namespace = found
    return [
        *(program, f"--user=/proc/{keeper}/ns/user", f"--net=/proc/{keeper}/fd/{namespace}"),
        *("--preserve-credentials", "--"),
    ]


def resolver(network: Network | None) -> str:
    """The address of the name server of a network; empty if it is the host's, or there is none."""
    if network is None:
        return ""
    try:
        answer = json.loads(Path(network.folder, "applied.json").read_text())
    except FileNotFoundError:
        return ""
    # The keeper that runs may be of an earlier version.
    found: str = answer.get("resolver", "")
    return found


def _find(network: Network) -> tuple[int, int] | None:
    """The process that holds the network, and its descriptor there; None if none does."""
    try:
        answer = json.loads(Path(network.folder, "applied.json").read_text())
    except FileNotFoundError:
        return None
    namespace = answer["namespaces"].get(network.member)
    keeper = Identity(**answer["switch"])
    return (keeper.pid, namespace) if namespace is not None and keeper.alive() else None
