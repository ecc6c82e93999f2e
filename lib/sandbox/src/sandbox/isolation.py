"""Networks of their own for what runs here, without any right over the machine's.

A member (a pod, a unit) has a network namespace of its own, in which it binds what it likes, ports
below 1024 included. It keeps its address of 127/8: the other members reach it there over a bridge,
and the machine through a process that carries TCP (`sandbox.junction`), which outlives its owner.
From a member nothing of the machine can be reached but addresses of owners' subnets (members,
services, other owners') and the gates it is given; other machines by pasta, if at all
(`sandbox.egress`).
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import bubblewrap, egress, entrance, process
from sandbox.attendant import Attendant, Service
from sandbox.bubblewrap import Check
from sandbox.errors import SandboxError
from sandbox.network import FIRST, LAST, Subnet
from sandbox.proxy import Route

_SERVICE = Service(
    name="junction",
    command=(sys.executable, "-I", "-m", "sandbox.junction"),
    wanted="wanted.json",
    # A library is loaded, and each member takes some milliseconds.
    patience=60.0,
)


@dataclass(frozen=True, slots=True)
class Member:
    """What has a network of its own.

    Attributes:
        name: Its name in `Network.member`.
        address: Its address, of the owner's subnet.
        processes: The pid and the start in ticks since boot of processes of it that may run: by
            them its network is found again if its keeper was killed.
    """

    name: str
    address: str
    processes: tuple[tuple[int, int], ...] = ()


class Isolation:
    """The keeper of networks in `folder`; one for each owner."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._attendant = Attendant(folder, _SERVICE)

    @property
    def identity(self) -> process.Identity | None:
        """The running keeper, whoever started it."""
        return self._attendant.identity

    async def apply(
        self,
        subnet: Subnet,
        members: Sequence[Member],
        routes: Sequence[Route],
        gates: Sequence[tuple[str, int]],
        outward: str = "",
    ) -> dict[str, str]:
        """See that these members, and no others, have networks; start the keeper if need be.

        Args:
            subnet: The owner's.
            members: Who has a network.
            routes: What is balanced inside, on any port; the owner has the same balanced outside.
            gates: IPv4 addresses and ports of the machine that members reach there as well.
            outward: The program by which members reach other machines, as `sandbox.egress.find`
                gives it; without one they reach none.

        Returns:
            By name, why a member has none.

        Raises:
            OSError: the keeper cannot be started, or does not answer.
            SandboxError: there is no bubblewrap.
        """
        wanted: dict[str, Any] = {
            "bubblewrap": str(bubblewrap.find()),
            "gateway": subnet.gateway,
            "first": FIRST,
            "last": LAST,
            "members": [
                {
                    "name": member.name,
                    "address": member.address,
                    "processes": [list(one) for one in member.processes],
                }
                for member in members
            ],
            "routes": [route.document() for route in routes],
            "gates": [list(gate) for gate in gates],
            "egress": outward,
        }
        answer = await self._attendant.apply(wanted)
        failed: dict[str, str] = answer["failed"]
        return failed

    async def ended(self) -> None:
        """Wait until the keeper that runs has ended, however that came; none has ended."""
        await self._attendant.ended()

    async def stop(self) -> None:
        """End the keeper. What still runs in its networks is cut off from everything."""
        await self._attendant.stop()
        # One that was killed has left them.
        await asyncio.to_thread(egress.end, str(self.folder))
        (self.folder / "applied.json").unlink(missing_ok=True)


def check() -> Check:
    """Try it: make two members in a bridge of their own, and see that one hears the other."""
    if shutil.which(entrance.PROGRAM) is None:
        return Check(ok=False, found=f"no {entrance.PROGRAM}", remedy="Install util-linux.")
    try:
        program = bubblewrap.find()
    except SandboxError as error:
        return Check(ok=False, found="no bubblewrap", remedy=str(error))
    command = [sys.executable, "-I", "-m", "sandbox.junction", "--try", str(program)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Check(ok=False, found=f"networks cannot be tried: {error}", remedy="See above.")
    if run.returncode == 0:
        return Check(ok=True, found="each unit can have a network of its own")
    words = (run.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    made = bubblewrap.check()
    return Check(
        ok=False,
        found=f"no network can be made: {words}",
        remedy=made.remedy
        or "It needs user and network namespaces, links of the kinds `bridge` and `veth`, and a"
        " /proc/sys/net that can be written in a namespace of one's own.",
    )
