"""A whole controller without processes: pods are objects, charm code is a Python callable."""

import asyncio
import contextlib
import hashlib
import inspect
import json
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from minijuju import facade, relations, sockets, units
from minijuju.archive import UnpackedCharm
from minijuju.controller import Controller
from minijuju.hooks import tools
from minijuju.text import to_bytes
from minijuju.workload import WorkloadEvent

PATIENCE = 20.0


class FakeCharms:
    """A charm store that copies and does not compile."""

    def __init__(self, root):
        self.root = root

    def add(self, path, *, progress=lambda message: None):
        digest = hashlib.sha256(
            b"".join(file.read_bytes() for file in sorted(path.iterdir()))
        ).hexdigest()
        place = self.root / digest
        if not place.exists():
            shutil.copytree(path, place / "charm")
            about = {"digest": digest, "environment": None, "python": None}
            (place / "unpacked.json").write_text(json.dumps(about))
        return UnpackedCharm(place / "charm", digest, None, None)


@dataclass
class Dispatch:
    """One run of charm code: its environment, and the hook commands."""

    unit: str
    env: dict
    address: Path
    say: object
    warm: bool = False

    @property
    def hook(self):
        return self.env["JUJU_DISPATCH_PATH"].rpartition("/")[2]

    async def tool(self, *argv, stdin=""):
        """Exit code, standard output, standard error of a hook command."""
        # At once, not in a thread: what is cancelled in between must not be lost.
        connection = sockets.connect(self.address)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            fields = [self.env["JUJU_CONTEXT_ID"], stdin, *argv]
            writer.write(len(fields).to_bytes(4, "big"))
            for text in fields:
                data = to_bytes(text)
                writer.write(len(data).to_bytes(4, "big") + data)
            await writer.drain()
            count = int.from_bytes(await reader.readexactly(4), "big")
            reply = []
            for _ in range(count):
                size = int.from_bytes(await reader.readexactly(4), "big")
                reply.append((await reader.readexactly(size)).decode())
        finally:
            writer.close()
        return int(reply[0]), reply[1], reply[2]

    async def ok(self, *argv, stdin=""):
        """Standard output of a hook command that must succeed, decoded if it is JSON."""
        code, output, error = await self.tool(*argv, stdin=stdin)
        assert code == 0, f"{argv}: {error}"
        return json.loads(output) if "--format=json" in argv else output

    async def no(self, *argv, stdin=""):
        """The error of a hook command that must fail."""
        code, output, error = await self.tool(*argv, stdin=stdin)
        assert code != 0, f"{argv} printed {output}"
        assert error.startswith("ERROR ")
        return error


class FakeRuntime:
    """A pod that is an entry in the world's table of pods, which outlives controllers."""

    def __init__(self, world, folder, spec):
        self.world = world
        self.folder = folder
        self.spec = spec
        self.hosts = dict(spec.hosts)
        self.queue = asyncio.Queue()

    @property
    def identity(self):
        return (self.spec.generation, str(self.spec.charm_path))

    def running(self):
        pod = self.world.pods.get(self.folder)
        return bool(pod and pod["identity"] == self.identity)

    async def start(self):
        if self.world.refuse:
            raise OSError(self.world.refuse)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.running():
            self.world.boots += 1
            self.world.pods[self.folder] = {
                "identity": self.identity,
                "boots": dict.fromkeys(self.spec.charm.containers, f"boot-{self.world.boots}"),
            }
        self.world.runtimes[self.spec.unit] = self
        for name, boot in self.world.pods[self.folder]["boots"].items():
            self.queue.put_nowait(WorkloadEvent("ready", name, boot_id=boot))

    async def stop(self, grace=10):
        self.world.pods.pop(self.folder, None)

    async def detach(self):
        pass

    async def remove(self):
        self.world.pods.pop(self.folder, None)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ready(self):
        return True

    def workload_events(self):
        return self.queue

    def set_hosts(self, hosts):
        self.hosts = dict(hosts)

    def set_processes(self, most):
        self.processes = most

    def handler(self, path):
        return "dispatch"

    async def dispatch(self, env, *, socket_folder, on_output, on_cold=None):
        address = socket_folder / tools.SOCKET_NAME
        run = Dispatch(self.spec.unit, dict(env), address, on_output, on_cold is not None)
        self.world.ran[self.spec.unit].append(run)
        return await self.world.charm(run)

    async def exec(self, argv, env, *, socket_folder, stdin=b""):
        run = Dispatch(self.spec.unit, dict(env), socket_folder / tools.SOCKET_NAME, None)
        code, output, error = await run.tool(*argv)
        return code, output, error

    def ssh_argv(self, container, command):
        if container not in (None, "charm", *self.spec.charm.containers):
            raise KeyError(container)
        return ["true", *command], {}


class FakeReply:
    def progress(self, text):
        pass

    async def item(self, value):
        self.items = [*getattr(self, "items", []), value]


@dataclass
class World:
    """A data folder, the pods that live on it, and the controller at hand."""

    path: Path
    handlers: dict = field(default_factory=dict)
    ran: dict = field(default_factory=lambda: defaultdict(list))
    pods: dict = field(default_factory=dict)
    runtimes: dict = field(default_factory=dict)
    boots: int = 0
    refuse: str = ""
    controller: Controller | None = None
    api: facade.Facade | None = None

    SETUP: ClassVar = ["install", "leader-elected", "config-changed", "start"]

    def on(self, who, hook, handler):
        """Let `handler` be the code of a unit's or application's hook; `*` for any."""
        self.handlers[who, hook] = handler

    async def charm(self, run):
        for who in (run.unit, run.unit.partition("/")[0], "*"):
            for hook in (run.hook, "*"):
                handler = self.handlers.get((who, hook))
                if handler is not None:
                    result = handler(run)
                    if inspect.isawaitable(result):
                        result = await result
                    return result if isinstance(result, int) and result is not True else 0
        return 0

    async def start(self):
        self.controller = Controller(
            self.path / "data",
            make_runtime=lambda folder, spec: FakeRuntime(self, folder, spec),
            charms=FakeCharms(self.path / "charms"),
            balance=False,
        )
        self.api = facade.Facade(self.controller, asyncio.Event())
        await self.controller.start()

    async def stop(self, **options):
        controller, self.controller = self.controller, None
        if controller is not None:
            await controller.close(**options)
            # What was just being connected ends by itself.
            await asyncio.sleep(0.01)

    async def crash(self):
        """What kill -9 does to a controller: nothing is said, nothing is written any more."""
        await self.stop()

    async def call(self, method, **params):
        return await getattr(self.api, method)(FakeReply(), **params)

    def make_charm(self, name="app", **metadata):
        """A charm folder; `config`, `actions` and the rest are charmcraft.yaml's keys."""
        folder = self.path / "sources" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "charmcraft.yaml").write_text(yaml.safe_dump({"name": name, **metadata}))
        return folder

    def make_pair(self):
        """The folders of two charms that fit together: p provides what r requires."""
        provider = self.make_charm("p", provides={"out": {"interface": "i"}})
        requirer = self.make_charm("r", requires={"in": {"interface": "i"}})
        return provider, requirer

    async def deploy(self, name="app", charm=None, units=1, **options):
        if charm is None:
            charm = self.make_charm(name)
        await self.call(
            "deploy",
            model="m",
            application=name,
            charm=str(charm),
            num_units=units,
            **options,
        )

    @property
    def uuid(self):
        return self.controller.state.row("SELECT uuid FROM model WHERE name = 'm'")[0]

    def unit(self, name):
        return units.find(self.controller.state, self.uuid, name)

    def hooks(self, unit):
        """The names of what ran, in order."""
        return [run.hook for run in self.ran[unit]]

    def idle(self):
        state = self.controller.state
        rows = state.rows("SELECT name, local, life, model FROM unit")
        for row in rows:
            if row["life"] != "alive" or not json.loads(row["local"])["started"]:
                return False
            agent = self.controller.agents.get((row["model"], row["name"]))
            if agent is None or agent.busy or agent._wake.is_set():
                return False
        waiting = state.row("SELECT count(*) FROM status WHERE kind='agent' AND status<>'idle'")[0]
        dying = state.row("SELECT count(*) FROM relation WHERE life<>'alive'")[0]
        dying += state.row("SELECT count(*) FROM application WHERE life<>'alive'")[0]
        return not waiting and not dying and not self.controller._dirty

    async def until(self, holds, what="it"):
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    if holds():
                        return
                except (IndexError, KeyError, AttributeError):
                    pass
                await asyncio.sleep(0.005)

    async def settle(self):
        """Until every unit has nothing to do, seen twice."""
        for _ in range(2):
            await self.until(self.idle)
            await asyncio.sleep(0.02)
        await self.until(self.idle)

    def bag(self, relation, entity):
        return relations.bag(self.controller.state, self.uuid, relation, entity)

    def status(self, entity, kind="workload"):
        from minijuju import statuses

        found = statuses.get(self.controller.state, self.uuid, entity, kind)
        return (found.status, found.message) if found else None


@pytest.fixture
def world_class():
    return World


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path)
    await world.start()
    await world.call(
        "add_model", name="m", config={"hook-retry-base": "10ms", "hook-retry-max": "50ms"}
    )
    yield world
    with contextlib.suppress(asyncio.CancelledError):
        await world.stop()
