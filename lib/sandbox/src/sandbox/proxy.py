"""Service addresses: starts, adopts, feeds and ends the process that balances.

The balancer (`balancer.py`) is a process of its own, so that connections survive its owner's
death. Its folder holds `routes.json`, `applied.json`, `process.json` and its log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import process

logger = logging.getLogger(__name__)

PROGRAM = Path(__file__).with_name("balancer.py")
_ANSWER_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Route:
    """`listen`:`port` goes to one of the `targets` in turn. TCP only.

    Attributes:
        listen: A service's address.
        port: A port of it.
        targets: The addresses and ports that serve it; with none, clients are cut off.
    """

    listen: str
    port: int
    targets: tuple[tuple[str, int], ...]


class Proxy:
    """The balancer in `folder`; one for each owner."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = asyncio.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def identity(self) -> process.Identity | None:
        """The running balancer, whoever started it."""
        try:
            recorded = process.Identity(**json.loads((self.folder / "process.json").read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            # Cut off while it was written: the balancer was just being started then.
            return None
        return recorded if recorded.alive() else None

    async def apply(self, wanted: Sequence[Route]) -> dict[str, str]:
        """Bring the balancer to these routes, starting it if it does not run.

        Returns:
            By "address:port", why a route could not be listened on. It is tried again until it
            can, or until the route is gone.

        Raises:
            OSError: the balancer cannot be started, or does not answer.
        """
        async with self._lock:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            generation = time.time_ns()
            document = {
                "generation": generation,
                "routes": [
                    {
                        "listen": route.listen,
                        "port": route.port,
                        "targets": [list(target) for target in route.targets],
                    }
                    for route in wanted
                ],
            }
            _replace(self.folder / "routes.json", document)
            running = self.identity
            if running and running.signal(signal.SIGHUP):
                answer = await self._answer(generation)
                if answer is not None:
                    return answer
                logger.warning("the balancer ended; starting it again: %s", self._evidence())
            await asyncio.to_thread(self._start)
            answer = await self._answer(generation)
            if answer is None:
                raise OSError(f"the balancer ended at once: {self._evidence()}")
            return answer

    async def stop(self) -> None:
        """End the balancer, and with it the service addresses."""
        async with self._lock:
            if running := self.identity:
                await asyncio.to_thread(running.end)
            if self._child:
                self._child.wait()
                self._child = None
            (self.folder / "process.json").unlink(missing_ok=True)

    def _start(self) -> None:
        """Start a balancer; it says itself who it is, and ends if there is one already."""
        if self._child:
            self._child.wait()  # it ended: reap it
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        log = os.open(self.folder / "balancer.log", flags, 0o600)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROGRAM), str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env={"PATH": os.defpath},
            )
        finally:
            os.close(log)

    async def _answer(self, generation: int) -> dict[str, str] | None:
        """Wait until the routes are in force; None if the balancer ended instead."""
        deadline = time.monotonic() + _ANSWER_TIMEOUT
        while time.monotonic() < deadline:
            # Who runs is asked first: one that answered and then ended has answered.
            starting = self._child is not None and self._child.poll() is None
            running = starting or self.identity is not None
            try:
                answer = json.loads((self.folder / "applied.json").read_text())
            except FileNotFoundError:
                answer = {}
            if answer.get("generation") == generation:
                failed: dict[str, str] = answer["failed"]
                return failed
            if not running:
                return None
            await asyncio.sleep(0.01)
        raise OSError(
            f"the balancer did not answer in {_ANSWER_TIMEOUT:.0f} s: {self._evidence()}"
        )

    def _evidence(self) -> str:
        try:
            text = (self.folder / "balancer.log").read_text(errors="replace").strip()
        except FileNotFoundError:
            return "it left no log"
        return text[-1000:] or "its log is empty"


def _replace(path: Path, document: Any) -> None:
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
    new.replace(path)
