"""What the parts of the controller share: state, logs, stores, and how a unit's pod is made."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from minijuju import models
from minijuju.charm import Charm
from minijuju.execution import OnOutput
from minijuju.logs import LEVELS, Log
from minijuju.runtime import OnCold, UnitSpec
from minijuju.state import State
from minijuju.turns import Turns
from minijuju.vault import Vault
from minijuju.workload import WorkloadEvent
from sandbox.images import ImageStore


class Runtime(Protocol):
    """A unit's processes, as `runtime.UnitRuntime` keeps them."""

    async def start(self) -> None:
        """Start or adopt the pod."""

    async def stop(self, grace: float = 10) -> None:
        """End the pod."""

    async def detach(self) -> None:
        """Let go of the pod without ending it."""

    async def remove(self) -> None:
        """End the pod and delete its folder."""

    def running(self) -> bool:
        """Whether a pod of this folder runs, whoever started it."""

    def ready(self) -> bool:
        """Whether the workload is to be given new connections."""

    def workload_events(self) -> asyncio.Queue[WorkloadEvent]:
        """What the workload containers report."""

    def set_hosts(self, hosts: Mapping[str, tuple[str, ...]]) -> None:
        """Other names by address."""

    def set_processes(self, most: int) -> None:
        """How many processes each container may have that starts from now on."""

    def handler(self, path: str) -> str:
        """The charm's program for a hook or an action; empty if it has none."""

    async def dispatch(
        self,
        env: Mapping[str, str],
        *,
        socket_folder: Path,
        on_output: OnOutput,
        on_cold: OnCold | None = None,
    ) -> int:
        """Run the charm's code; cancelling kills it."""

    async def exec(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        socket_folder: Path,
        stdin: bytes = b"",
    ) -> tuple[int, str, str]:
        """Run a command line in the charm container."""

    def ssh_argv(
        self, container: str | None, command: Sequence[str]
    ) -> tuple[list[str], dict[str, str]]:
        """What a terminal runs to be in a container."""


logger = logging.getLogger(__name__)

MakeRuntime = Callable[[Path, UnitSpec], Runtime]


@functools.lru_cache(maxsize=32)
def load_charm(path: str) -> Charm:
    """The charm in an unpacked, immutable folder."""
    return Charm.load(Path(path), accepted=True)


@dataclass(slots=True)
class House:
    """Shared by the controller, its agents and the facade."""

    data: Path
    state: State
    vault: Vault
    images: ImageStore
    make_runtime: MakeRuntime
    logs: dict[str, Log] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)

    def log(self, model: str) -> Log:
        """The log of a model."""
        if model not in self.logs:
            folder = self.data / "logs"
            folder.mkdir(mode=0o700, exist_ok=True)
            self.logs[model] = Log(folder / f"{model}.log")
        return self.logs[model]

    def write_log(
        self, model: models.Model, entity: str, level: str, module: str, text: str
    ) -> None:
        """Log, if the model's logging-config wants lines of that level."""
        wanted = threshold(str(model.setting("logging-config")), "unit" if "/" in entity else "")
        if LEVELS.index(level if level in LEVELS else "INFO") >= LEVELS.index(wanted):
            try:
                self.log(model.uuid).write(entity, level, module, text)
            except OSError as error:
                # A full disk must not fail the hook whose words are lost.
                logger.error("cannot write the log of %s: %s", model.name, error)

    def unit_folder(self, model: str, unit: str) -> Path:
        """Where a unit's pod lies."""
        return self.data / "units" / model[:8] / unit.replace("/", "-")

    def hooks_folder(self, model: str, unit: str) -> Path:
        """Where a unit's hook commands and their socket lie."""
        return self.data / "hooks" / model[:8] / unit.replace("/", "-")

    def storage_folder(self, model: str) -> Path:
        """Where a model's storages lie."""
        return self.data / "storage" / model[:8]


@functools.lru_cache(maxsize=32)
def threshold(config: str, module: str) -> str:
    """The lowest level that `<root>=INFO;unit=DEBUG` lets through for a module."""
    levels = {"<root>": "INFO"}
    for part in config.split(";"):
        name, _, level = part.partition("=")
        if level.strip().upper() in LEVELS:
            levels[name.strip()] = level.strip().upper()
    return levels.get(module, levels["<root>"])
