"""Runs of a unit's charm code, one at a time, and the commit of what they asked for."""

from __future__ import annotations

import asyncio
import contextlib
import secrets as random_bytes
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from minijuju import execution, models, tasks, units
from minijuju.agent_pod import ERRORS, UnitPod, causes
from minijuju.errors import JujuError
from minijuju.hooks import environment
from minijuju.hooks.context import Context
from minijuju.hooks.server import HookServer
from minijuju.house import House
from minijuju.uniter import Hook, Local

MAX_OUTPUT = 1024 * 1024
"""How much of a task's output is kept, in characters of each stream."""
REFUSED = "committing requested changes failed"


@dataclass(slots=True)
class Outcome:
    """How a run of charm code ended.

    `error` is why it could not be run to its end, or why its writes could not be committed, which
    `refused` says alone.
    """

    code: int
    stdout: str = ""
    stderr: str = ""
    error: str = ""
    refused: str = ""


class CharmCode:
    """The charm code of one unit.

    Attributes:
        model, unit: whose: the model's uuid and the unit's name.
        pod: what it runs in.
        server: answers its hook commands.
        killed: whether the last run was killed by `kill`.
    """

    def __init__(
        self, house: House, model: str, unit: str, pod: UnitPod, changed: Callable[[], None]
    ) -> None:
        self.state = house.state
        self.model = model
        self.unit = unit
        self.pod = pod
        self.server = HookServer(house.hooks_folder(model, unit))
        self.killed = False
        self._house = house
        self._changed = changed
        self._running: asyncio.Task[Outcome] | None = None

    @property
    def busy(self) -> bool:
        """Whether charm code runs."""
        return self._running is not None

    def kill(self) -> bool:
        """Kill the charm code that runs; it counts as failed. False: none runs."""
        if self._running is None:
            return False
        self.killed = True
        self._running.cancel()
        return True

    def context(
        self,
        model: models.Model,
        local: Local,
        *,
        hook: Hook | None = None,
        task: tasks.Task | None = None,
    ) -> Context:
        """What a run of a hook or a task may see, and ask for."""
        what = hook.name if hook else (task.name if task else "")
        modules = {
            "operation": "juju.worker.uniter.operation",
            "juju-log": f"unit.{self.unit}.juju-log",
            "output": f"unit.{self.unit}.{what}",
        }

        def log(level: str, module: str, text: str) -> None:
            self._house.write_log(model, self.unit, level.upper(), modules[module], text)

        return Context(
            id=random_bytes.token_hex(16),
            state=self.state,
            vault=self._house.vault,
            model=model,
            unit=self.unit,
            charm=self.pod.charm,
            local=local,
            hook=hook,
            task=task,
            folder=self.server.folder,
            storage_base=self._house.storage_folder(self.model),
            log=log,
            access=self.pod.access,
        )

    async def run(self, context: Context) -> Outcome:
        """Run charm code to its end; killing it by `kill` makes it a failure."""
        self.killed = False
        self.server.context = context
        self._running = asyncio.ensure_future(self._run(context))
        try:
            return await self._running
        except asyncio.CancelledError:
            if not self.killed:
                raise
            context.log("ERROR", "operation", "killed")
            return Outcome(137)
        finally:
            if not self._running.done():
                self._running.cancel()
                await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
            self.server.context = None

    async def _run(self, context: Context) -> Outcome:
        runtime = self.pod.runtime
        if runtime is None:
            raise JujuError("no pod")
        task = context.task
        kept = {"stdout": "", "stderr": ""}

        def output(stream: str, line: str) -> None:
            if task is not None and len(kept[stream]) < MAX_OUTPUT:
                kept[stream] += line + "\n"
            context.log("WARNING" if stream == "stderr" else "DEBUG", "output", line)

        def cold(reason: str) -> None:
            context.log("WARNING", "operation", f"hooks start cold: {reason}")

        env = environment.variables(context)
        runtime.set_processes(context.model.processes)
        try:
            if task is not None and task.kind == "exec":
                async with asyncio.timeout(task.timeout):
                    code, out, err = await runtime.exec(
                        task.params["argv"], env, socket_folder=self.server.folder
                    )
                return Outcome(code, out[:MAX_OUTPUT], err[:MAX_OUTPUT])
            async with self._house.turns.turn():
                code = await runtime.dispatch(
                    env,
                    socket_folder=self.server.folder,
                    on_output=output,
                    on_cold=cold if context.model.setting("hook-warm-start") else None,
                )
        except TimeoutError:
            return Outcome(124, error="command timed out")
        except execution.CrowdedError as error:
            hint = "juju model-config unit-processes=N allows more"
            return Outcome(137, error=f"unit {self.unit} {error} ({hint})")
        except ERRORS as error:
            return Outcome(126, error="; ".join(causes(error)))
        return Outcome(code, kept["stdout"], kept["stderr"])

    # What comes of a run.

    def gone(self) -> bool:
        """Whether the unit was taken away by force while its code ran."""
        return units.find(self.state, self.model, self.unit) is None

    @contextlib.contextmanager
    def committing(self, context: Context, outcome: Outcome) -> Iterator[None]:
        """A transaction; what is refused in it turns the outcome into a failure."""
        try:
            with self.state.transaction():
                yield
        except (JujuError, sqlite3.IntegrityError) as error:
            outcome.code = 1
            outcome.error = f"{REFUSED}: {error}"
            outcome.refused = str(error)
            return
        if context.writes.ports or context.writes.charm_state:
            self._changed()

    def save(self, local: Local) -> None:
        """Write the unit's progress; in the caller's transaction."""
        units.save_local(self.state, self.model, self.unit, local)
