"""The controller: keeps an agent for every unit, and takes down what is to go."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import sqlite3
import time
import uuid
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from minijuju import (
    applications,
    backup,
    execution,
    models,
    network,
    offers,
    relations,
    secret_readers,
    secrets,
    statuses,
    storages,
    tasks,
    unit_views,
    units,
)
from minijuju.agent import Agent
from minijuju.archive import CharmStore
from minijuju.charm import Charm
from minijuju.cluster import Access
from minijuju.errors import JujuError
from minijuju.hooks.unit import port_text
from minijuju.house import House, MakeRuntime, Runtime
from minijuju.presence import Presence
from minijuju.rpc_names import LOCK
from minijuju.runtime import UnitRuntime, UnitSpec
from minijuju.state import DATABASE, State
from minijuju.unit_networks import UnitNetworks
from minijuju.uniter import Life
from minijuju.vault import Vault
from sandbox import lock, tree
from sandbox.errors import SandboxError
from sandbox.images import ImageStore
from sandbox.limits import LimitKeeper
from sandbox.network import Subnet
from sandbox.proxy import Proxy, Route

logger = logging.getLogger(__name__)

PRUNE_EVERY = 3600.0
REHIRE = 5.0
"""Seconds until a unit whose agent a defect of ours has ended gets another one."""
_KERNEL_BOOT = Path("/proc/sys/kernel/random/boot_id")


class AlreadyRunningError(JujuError):
    """Another controller has this data folder."""


class Controller:
    """One controller on one data folder.

    Args:
        data: the folder; made if need be, private to its owner.
        make_runtime: makes a unit's processes; by default real ones.
        charms: where charms are unpacked; by default below `data`.
        balance: whether service addresses are served and units can have networks of their own;
            tests without processes do without.

    Attributes:
        over: set when the process shall end.
        backup_problem: why the last copy of the database could not be made; empty if it was.

    Raises:
        AlreadyRunningError: another one has the folder.
        StateError: the database cannot be used.
    """

    def __init__(
        self,
        data: Path,
        *,
        make_runtime: MakeRuntime | None = None,
        charms: CharmStore | None = None,
        balance: bool = True,
    ) -> None:
        self.data = data.absolute()
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(self.data)
        try:
            self.state = State(self.data / DATABASE)
            self.access = Access(self.data)
        except BaseException:
            os.close(self._lock)
            raise
        self._christen()
        self.images = ImageStore()
        self.limits = LimitKeeper()
        self.charms = charms or CharmStore(self.data / "charms", self.images)
        self.house = House(
            data=self.data,
            state=self.state,
            vault=Vault(self.data / "secrets.key"),
            images=self.images,
            make_runtime=make_runtime or self._unit_runtime,
        )
        self.presence = Presence(self.state, self.access, self.changes)
        self.agents: dict[tuple[str, str], Agent] = {}
        self.closing = False
        self.over = asyncio.Event()
        self.backup_problem = ""
        self._runs: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._dirty: set[str] = set()
        self._events: set[asyncio.Event] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._sweeping = False
        self._pruned = 0.0
        self._proxy = Proxy(self.data / "proxy") if balance else None
        self._networks = (
            UnitNetworks(
                self.data / "network",
                self.state,
                self.access,
                self.subnet,
                self.house.unit_folder,
            )
            if balance
            else None
        )
        self._routes: list[Route] = []
        self._served = asyncio.Event()
        self._refused: dict[str, str] = {}
        self._hosts: dict[str, dict[str, tuple[str, ...]]] = {}

    def _unit_runtime(self, folder: Path, spec: UnitSpec) -> Runtime:
        def tell(text: str) -> None:
            self.house.log(spec.model_uuid).write(spec.unit, "ERROR", "minijuju.pod", text)

        return UnitRuntime(
            folder,
            spec,
            images=self.images,
            limits=self.limits,
            changed=self._changed.set,
            tell=tell,
        )

    # Life.

    async def start(self) -> None:
        """Take up where the last controller of this folder left off."""
        self._rebooted()
        if killed := await asyncio.to_thread(execution.reap, self.data / "units"):
            logger.info("killed %d commands of the last controller", killed)
        self.state.listeners.append(self._note)
        await self._sweep()
        self._dirty.update(model.uuid for model in models.every(self.state))
        self._changed.set()
        self._keepers = [
            asyncio.create_task(self._keep(), name="keeper"),
            asyncio.create_task(self._back_up(), name="backups"),
            asyncio.create_task(self.limits.run(), name="limits"),
        ]
        if self._proxy is not None:
            watching = asyncio.create_task(self._watch_balancer(self._proxy), name="balancer")
            self._keepers.append(watching)
        if self._networks is not None:
            watched = self._networks.watch(self._changed.set)
            self._keepers.append(asyncio.create_task(watched, name="networks"))
        self._keepers += [
            asyncio.create_task(work, name=name) for name, work in self.presence.work().items()
        ]
        for keeper in self._keepers:
            keeper.add_done_callback(self._ended)

    def _ended(self, keeper: asyncio.Task[None]) -> None:
        """A keeper that ends while the controller lives is a defect: end, and be started anew."""
        if self.closing or keeper.cancelled():
            return
        logger.critical("%s ended", keeper.get_name(), exc_info=keeper.exception())
        self.over.set()

    def _rebooted(self) -> None:
        """Note that no pod survived if the machine was started since."""
        now = _KERNEL_BOOT.read_text().strip()
        with self.state.transaction():
            if self.state.meta("kernel-boot") not in ("", now):
                self.state.execute("UPDATE unit SET boot = ''")
            self.state.set_meta("kernel-boot", now)
            # Nobody knows of any pod until its agent has looked.
            self.state.execute(
                "UPDATE status SET status = 'allocating', message = ''"
                " WHERE kind = 'agent' AND status IN ('idle', 'executing')"
            )

    async def close(self, *, stop_pods: bool = False) -> None:
        """Let go of everything; a hook that runs is killed, and run again by the next controller.

        Args:
            stop_pods: end the pods and the balancer too.
        """
        self.closing = True
        work = [*self._keepers, *self._runs.values(), *self._background]
        for task in work:
            task.cancel()
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, Exception):
                logger.error("ended badly while closing", exc_info=result)
        if stop_pods:
            try:
                await self._stop_pods()
            except sqlite3.OperationalError as error:
                # The next controller sees for itself which pods run.
                logger.error("cannot write down that the pods have ended: %s", error)
        await self.access.close()
        for log in self.house.logs.values():
            log.close()
        self.state.close()
        try:
            await asyncio.to_thread(backup.write, self.data)
        except backup.BackupError as error:
            logger.error("%s; the copy before is kept", error)
        os.close(self._lock)

    async def _back_up(self) -> None:
        """Copy the database, now and then."""

        def tell(problem: str) -> None:
            self.backup_problem = problem

        def copy() -> None:
            backup.write(self.data)

        await backup.keep(copy, self.state.changes, tell)

    async def _stop_pods(self) -> None:
        async with asyncio.TaskGroup() as group:
            for model in models.every(self.state):
                for unit in units.every(self.state, model.uuid):
                    folder = self.house.unit_folder(model.uuid, unit.name)
                    if folder.is_dir():
                        group.create_task(self._stranger(folder).stop())
        if self._proxy is not None:
            await self._proxy.stop()
        if self._networks is not None:
            await self._networks.stop()
        with self.state.transaction():
            self.state.execute("UPDATE unit SET boot = ''")

    def _stranger(self, folder: Path) -> Runtime:
        """A handle on a pod of which only the folder is known."""
        spec = UnitSpec(
            model="",
            model_uuid="",
            application="none",
            unit="none/0",
            charm_path=folder,
            charm=Charm(name="none"),
            images={},
            storages=(),
            trusted=False,
            address="127.0.0.1",
            service_address="127.0.0.1",
        )
        return self.house.make_runtime(folder, spec)

    async def _sweep(self) -> None:
        """Remove what a controller that died in the middle of a removal has left."""
        known = {
            self.house.unit_folder(model.uuid, unit.name)
            for model in models.every(self.state)
            for unit in units.every(self.state, model.uuid)
        }
        for folder in (self.data / "units").glob("*/*"):
            if folder not in known:
                await self._stranger(folder).remove()
        await self._sweep_storage()

    async def _sweep_storage(self) -> None:
        """Delete the folders of storages that are no more."""
        kept = {
            storage.folder
            for model in models.every(self.state)
            for storage in storages.every(self.state, model.uuid)
        }
        for folder in (self.data / "storage").glob("*/*"):
            if folder not in kept:
                await asyncio.to_thread(tree.remove, folder)

    def _christen(self) -> None:
        """Give the controller its identity, once."""
        if self.state.meta("controller-uuid"):
            return
        with self.state.transaction():
            self.state.set_meta("controller-uuid", str(uuid.uuid4()))
            self.state.set_meta("created", str(time.time()))

    @property
    def created(self) -> float:
        """When the controller was made, in seconds of the epoch."""
        return float(self.state.meta("created"))

    # Change.

    def _note(self, model: str) -> None:
        self._dirty.add(model)
        self._changed.set()
        for event in self._events:
            event.set()

    @contextlib.contextmanager
    def changes(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever anything changes."""
        event = asyncio.Event()
        self._events.add(event)
        try:
            yield event
        finally:
            self._events.discard(event)

    async def _keep(self) -> None:
        """After every change: see that each unit has its agent, and take down what is to go."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PRUNE_EVERY):
                    await self._changed.wait()
            self._changed.clear()
            dirty, self._dirty = self._dirty, set()
            try:
                for model in dirty:
                    self._settle(model)
                if self._sweeping and not self._leaving():
                    await self._sweep_storage()
                    self._sweeping = False
                await self._serve()
                self._prune()
            except (sqlite3.OperationalError, OSError, SandboxError, JujuError) as error:
                logger.error("cannot keep the models up: %s", error)
                self._dirty |= dirty
                await asyncio.sleep(1)
                self._changed.set()

    def _settle(self, uuid: str) -> None:
        model = models.get(self.state, uuid)
        if model is not None:
            self._advance(model)
            model = models.get(self.state, uuid)
        present = set()
        if model is not None:
            for unit in units.every(self.state, uuid):
                key = (uuid, unit.name)
                present.add(key)
                if key not in self.agents:
                    self._hire(key)
        for key, agent in list(self.agents.items()):
            if key[0] == uuid:
                if key not in present:
                    agent.kill()
                agent.wake()
        if model is not None:
            self._name(model)

    def _leaving(self) -> bool:
        """Whether a pod is being ended that may still have storages mounted."""
        return any(units.find(self.state, *key) is None for key in self.agents)

    def _hire(self, key: tuple[str, str]) -> None:
        agent = Agent(
            self.house, *key, complete=self._complete, changed=self._changed.set, bury=self.destroy
        )
        self.agents[key] = agent
        run = asyncio.create_task(agent.run(), name=f"agent {key[1]}")
        self._runs[key] = run
        run.add_done_callback(lambda done: self._left(key, done))

    def _left(self, key: tuple[str, str], run: asyncio.Task[None]) -> None:
        if self.closing or run.cancelled():
            return
        error = run.exception()
        if error is None:
            self._dismiss(key)
            return
        # A defect of ours: say so, and hire another agent, a little later.
        logger.error("the agent of %s ended badly", key[1], exc_info=error)
        self._later(self._rehire(key, f"a defect of minijuju's, see controller.log: {error!r}"))

    async def _rehire(self, key: tuple[str, str], problem: str) -> None:
        try:
            if units.find(self.state, *key) is not None:
                self.house.log(key[0]).write(key[1], "ERROR", "minijuju.agent", problem)
                statuses.put(self.state, *key, "agent", "failed", problem)
        except (sqlite3.OperationalError, OSError) as failure:
            # A full disk, say: the unit gets its agent all the same.
            logger.error("cannot say that the agent of %s ended: %s", key[1], failure)
        await asyncio.sleep(REHIRE)
        self._dismiss(key)

    def _dismiss(self, key: tuple[str, str]) -> None:
        del self.agents[key]
        del self._runs[key]
        self._note(key[0])

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._background.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("%s", error, exc_info=error)

        task.add_done_callback(done)

    # What is to go goes: relations without anyone in scope, applications without units, models.

    def _advance(self, model: models.Model) -> None:
        with self.state.transaction():
            for relation in relations.every(self.state, model.uuid):
                gone = relation.life is not Life.ALIVE
                if gone and not relations.scope(self.state, relation):
                    relations.remove(self.state, relation)
            offers.sweep(self.state, model.uuid)
            for application in applications.every(self.state, model.uuid):
                if application.life is not Life.ALIVE:
                    self._end_application(model, application)
        if model.life is Life.ALIVE or applications.every(self.state, model.uuid):
            return
        if any(key[0] == model.uuid for key in self._runs):
            return
        with self.state.transaction():
            models.remove(self.state, model)
            self.presence.plan("model", model.name, model.uuid)
        log = self.house.logs.pop(model.uuid, None)
        if log is not None:
            log.close()
        for suffix in (".log", ".old"):
            (self.data / "logs" / f"{model.uuid}{suffix}").unlink(missing_ok=True)
        self._hosts.pop(model.uuid, None)
        self._sweeping = True

    def _end_application(self, model: models.Model, application: applications.Application) -> None:
        uuid, name = application.model, application.name
        if units.every(self.state, uuid, name):
            return
        joined = relations.every(self.state, uuid, name)
        if any(not relation.peer for relation in joined):
            return
        for relation in joined:
            relations.remove(self.state, relation)
        secrets.remove_owned(self.state, uuid, "application", name)
        for storage in storages.every(self.state, uuid):
            if storage.unit.startswith(f"~{name}/") and application.destroy_storage:
                self.destroy_storage(storage, storage.unit.removeprefix("~"))
        applications.remove(self.state, application)
        self.presence.plan("application", model.name, uuid, name)

    def destroy(self, unit: units.Unit) -> None:
        """Take a unit out of the model, whatever it does; call inside a transaction."""
        model = unit.model
        tasks.abandon(self.state, model, unit.name)
        secrets.remove_owned(self.state, model, "unit", unit.name)
        for storage in storages.every(self.state, model, unit.name):
            if unit.destroy_storage:
                self.destroy_storage(storage, unit.name)
            else:
                storages.detach(self.state, storage)
        units.remove(self.state, unit)
        secret_readers.discard_model(self.state, model)

    def destroy_storage(self, storage: storages.Storage, unit: str) -> None:
        """Forget a storage, and delete what is in it; call inside a transaction."""
        storages.remove(self.state, storage)
        found = models.get(self.state, storage.model)
        if found is not None:
            application = unit.partition("/")[0]
            self.presence.plan("claim", found.name, found.uuid, application, storage.name, unit)
        self._sweeping = True

    # Names, addresses and routes.

    def subnet(self) -> Subnet:
        """This controller's share of loopback, chosen once."""
        known = self.state.meta("subnet")
        if known:
            return Subnet(int(known))
        chosen = Subnet.choose(self.data)
        with self.state.transaction():
            self.state.set_meta("subnet", str(chosen.number))
        return chosen

    def addresses(self) -> set[str]:
        """Every address that is given out."""
        rows = self.state.rows("SELECT address FROM unit UNION SELECT address FROM application")
        return {row["address"] for row in rows}

    def _services(self, model: models.Model) -> list[network.Service]:
        return [
            network.Service(
                application.name,
                application.address,
                {
                    unit.name: unit.address
                    for unit in units.every(self.state, model.uuid, application.name)
                },
            )
            for application in applications.every(self.state, model.uuid)
        ]

    def _name(self, model: models.Model) -> None:
        """Tell every pod of the model the names there are."""
        hosts = network.hosts(model.name, self._services(model))
        if hosts == self._hosts.get(model.uuid):
            return
        self._hosts[model.uuid] = hosts
        for key, agent in self.agents.items():
            if key[0] == model.uuid and agent.pod.runtime is not None:
                agent.pod.runtime.set_hosts(hosts)

    async def _complete(self, spec: UnitSpec) -> UnitSpec:
        """A spec with the names there are, the way to Kubernetes and the unit's own network."""
        cluster = await self.access.prepare(spec)
        coming = unit_views.UnitView(spec.unit, spec.address, spec.generation, ready=False)
        await self.presence.show((spec.model_uuid, spec.application), coming)
        model = models.get(self.state, spec.model_uuid)
        hosts = network.hosts(spec.model, self._services(model)) if model else {}
        own = None
        if model is not None and model.isolated and self._networks is not None:
            own = await self._networks.join(spec)
        return dataclasses.replace(spec, hosts=hosts, cluster=cluster, network=own)

    async def _serve(self) -> None:
        """Bring the balancer and the units' networks to the ports that are open."""
        if self._proxy is None or self._networks is None:
            return
        wanted: list[Route] = []
        for model in models.every(self.state):
            for application in applications.every(self.state, model.uuid):
                up = [
                    unit
                    for unit in units.every(self.state, model.uuid, application.name)
                    if unit.boot and unit.life is Life.ALIVE
                ]
                ports = {
                    unit.name: sorted({port_text(port) for port in unit.ports}) for unit in up
                }
                # As endpoints of a Service: who is not ready gets no new connections. Where nobody
                # is, a client hears what the workload itself has to say.
                ready = [unit for unit in up if self._ready(model, unit)] or up
                addresses = {unit.name: unit.address for unit in ready}
                wanted += network.routes(application.address, ports, addresses)
        await self._balance(self._proxy, wanted)
        await self._networks.settle(wanted)

    def _ready(self, model: models.Model, unit: units.Unit) -> bool:
        agent = self.agents.get((model.uuid, unit.name))
        return agent is None or agent.pod.runtime is None or agent.pod.runtime.ready()

    async def _balance(self, balancer: Proxy, wanted: list[Route]) -> None:
        running = balancer.identity is not None
        if wanted == self._routes and (running or not wanted):
            return
        refused = await balancer.apply(wanted)
        self._routes = wanted
        self._served.set()
        for address, why in refused.items():
            if self._refused.get(address) != why:
                logger.warning("nobody can be served at %s: %s", address, why)
        self._refused = refused

    async def _watch_balancer(self, balancer: Proxy) -> None:
        """Have a balancer that ends started again."""
        while True:
            await self._served.wait()
            self._served.clear()
            await balancer.ended()
            logger.warning("the balancer ended; it is started again")
            await asyncio.sleep(1)
            self._changed.set()

    def _prune(self) -> None:
        if time.monotonic() - self._pruned < PRUNE_EVERY:
            return
        self._pruned = time.monotonic()
        with self.state.transaction():
            for model in models.every(self.state):
                statuses.prune(self.state, model.uuid, model.seconds("max-status-history-age"))
                tasks.prune(self.state, model.uuid, model.seconds("max-action-results-age"))


def _lock(data: Path) -> int:
    """Hold the folder; the kernel lets go when the process ends, however it ends.

    Raises:
        AlreadyRunningError: another controller holds it.
    """
    try:
        return lock.hold(data / LOCK)
    except lock.HeldError as error:
        raise AlreadyRunningError(
            f"another controller (process {error.pid}) works on {data}"
        ) from None
