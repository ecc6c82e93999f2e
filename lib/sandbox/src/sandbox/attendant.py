"""A process of its own that serves its owner and outlives it: started, adopted, fed and ended.

Its folder holds what is wanted of it (a JSON document with a generation, read at its start and at
every SIGHUP), `applied.json` (its answer, with the generation that is in force), `process.json`
(which process it is, written by itself), a lock that it holds while it lives, and its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import process

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What an attendant is.

    Attributes:
        name: What it is called in messages; its log is `NAME.log`.
        command: The argument list; the folder is added to it.
        wanted: The name of the file with what is wanted.
        patience: Seconds within which it answers.
    """

    name: str
    command: Sequence[str]
    wanted: str
    patience: float


class Attendant:
    """The process in `folder`; one for each owner."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.folder = folder
        self.service = service
        self._lock = asyncio.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def identity(self) -> process.Identity | None:
        """The process that runs, whoever started it."""
        try:
            recorded = process.Identity(**json.loads((self.folder / "process.json").read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            # Cut off while it was written: it was just being started then.
            return None
        return recorded if recorded.alive() else None

    async def apply(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Have it do what is wanted, starting it if it does not run; its answer.

        Raises:
            OSError: it cannot be started, or does not answer.
        """
        async with self._lock:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            generation = time.time_ns()
            _replace(self.folder / self.service.wanted, {"generation": generation, **wanted})
            running = self.identity
            name = self.service.name
            if running and running.signal(signal.SIGHUP):
                answer = await self._answer(generation)
                if answer is not None:
                    return answer
                logger.warning("the %s ended; starting it again: %s", name, self._evidence())
            starting = asyncio.ensure_future(asyncio.to_thread(self._start))
            try:
                await asyncio.shield(starting)
            except asyncio.CancelledError:
                # The thread goes on: what it starts has to be known to who ends it.
                await starting
                raise
            answer = await self._answer(generation)
            if answer is None:
                raise OSError(f"the {name} ended at once: {self._evidence()}")
            return answer

    async def ended(self) -> None:
        """Wait until the process that runs has ended, however that came; none has ended."""
        running = self.identity
        if running is None:
            return
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(running.pid)
            try:
                # Looked at again with the process in hand: its pid may be another's by now.
                if running.alive():
                    await process.readable(descriptor)
            finally:
                os.close(descriptor)
        if self._child:
            # Or it stays a zombie until the next start.
            self._child.poll()

    async def stop(self) -> None:
        """End it, and with it what it does."""
        async with self._lock:
            if running := self.identity:
                await asyncio.to_thread(running.end)
            if self._child:
                # One that was just being started has not said who it is.
                self._child.terminate()
                await asyncio.to_thread(self._child.wait)
                self._child = None
            (self.folder / "process.json").unlink(missing_ok=True)

    def _start(self) -> None:
        """Start it; it says itself who it is, and ends if there is one already."""
        if self._child:
            self._child.wait()  # it ended: reap it
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        log = os.open(self.folder / f"{self.service.name}.log", flags, 0o600)
        try:
            self._child = subprocess.Popen(
                [*self.service.command, str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env={"PATH": os.defpath},
            )
        finally:
            os.close(log)

    async def _answer(self, generation: int) -> dict[str, Any] | None:
        """Wait until what is wanted is in force; None if the process ended instead."""
        patience = self.service.patience
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            # Who runs is asked first: one that answered and then ended has answered.
            starting = self._child is not None and self._child.poll() is None
            running = starting or self.identity is not None
            try:
                answer: dict[str, Any] = json.loads((self.folder / "applied.json").read_text())
            except FileNotFoundError:
                answer = {}
            if answer.get("generation") == generation:
                return answer
            if not running:
                return None
            await asyncio.sleep(0.01)
        raise OSError(
            f"the {self.service.name} did not answer in {patience:.0f} s: {self._evidence()}"
        )

    def _evidence(self) -> str:
        try:
            text = (self.folder / f"{self.service.name}.log").read_text(errors="replace").strip()
        except FileNotFoundError:
            return "it left no log"
        return text[-1000:] or "its log is empty"


def _replace(path: Path, document: Any) -> None:
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
    new.replace(path)
