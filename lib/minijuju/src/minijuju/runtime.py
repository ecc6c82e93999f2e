"""One unit's processes: its charm container and a Pebble for each workload container.

Everything lies below one folder, and everything there outlives the controller:

    pod.json          which pod this is; another one begins anew, as Kubernetes' does
    charm/            the charm's folder, writable (`.unit-state.db`)
    charm-root/       the charm container's `/`
    charm-container/  its own /etc, /tmp and /run
    python/           `python3` as the charm finds it on PATH
    containers/NAME/  see `supervisor.Supervisor`

Inside, all is where Juju puts it: the charm in /var/lib/juju/agents/unit-APP-N/charm, a
workload's socket in /charm/containers/NAME for the charm and in /charm/container for itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minijuju import archive, execution, pebble_api, programs, supervisor, warm, workload
from minijuju.charm import Charm, StorageMeta
from minijuju.hooks import tools
from sandbox import bubblewrap, entrance, root, tree
from sandbox.container import Container
from sandbox.images import ImageStore
from sandbox.limits import LimitKeeper
from sandbox.process import boot_id
from sandbox.spec import Image, Limits, Mount, Network, Spec

logger = logging.getLogger(__name__)

OnCold = Callable[[str], None]

PYTHON_FOLDER = "/var/lib/juju/python"
IDENTITY_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
FIRST_HTTP_PORT = 38813
"""Where the first container's Pebble tells its health; the next ones follow."""
OUTPUT_CHARACTERS = 4 * 1024 * 1024
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COLD_SECONDS = 300.0
"""How long hooks start cold after one that should have started warm could not."""
_SINGLE = frozenset({"update-status"})
"""Hooks that mostly come alone: no interpreter is started for one, but one that runs is used."""
_IMAGE_LAYERS = "share/pebble/layers"
"""Where a process image keeps its Pebble layers, below its environment."""
_IMAGE_FILES = "share/rootfs"
"""Where it keeps what a container has elsewhere than in its environment, a copy of its own."""
_ROCK_ACCOUNT = "_daemon_"
"""The user that every rock has, by whose name charms have services run; here there is but one."""
_IMAGE_ACCOUNTS = f"{_IMAGE_FILES}/etc/passwd"
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_NO_NAMES = frozenset({"root", "nobody"})
"""Users of an image that the one there is has no further names of: each has a number to itself."""


@dataclass(frozen=True, slots=True)
class StorageMount:
    """A storage of a unit: its id (`data/0`), its name and its folder on this machine."""

    id: str
    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """How a unit's containers reach Kubernetes: the API's address and the account's files.

    `identity` holds token, ca.crt and namespace; the token is renewed in place.
    """

    host: str
    port: int
    identity: Path


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """One unit as the controller wants it.

    Attributes:
        unit: Its name, `app/0`.
        charm_path: The unpacked folder in the charm store.
        images: The process image of each container that has one.
        storages: The storages attached to it.
        address: Its loopback address; `service_address` is the application's.
        generation: Raised by the controller for a new pod (refresh): everything but storage is
            begun anew, even for an identical charm.
        memory: What the workload containers may take, in bytes, by their names.
        processes: How many processes and threads each container may have; None: any number.
        hosts: Names by address, for /etc/hosts.
        cluster: None without Kubernetes.
        network: Its own, shared by its containers; None is the machine's.
    """

    model: str
    model_uuid: str
    application: str
    unit: str
    charm_path: Path
    charm: Charm
    images: Mapping[str, Image]
    storages: tuple[StorageMount, ...]
    trusted: bool
    address: str
    service_address: str
    generation: int = 0
    memory: Mapping[str, int] = field(default_factory=dict)
    processes: int | None = None
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cluster: ClusterAccess | None = None
    network: Network | None = None

    @property
    def tag(self) -> str:
        """Such as `unit-app-0`."""
        return "unit-" + self.pod

    @property
    def pod(self) -> str:
        """Such as `app-0`, which is also the containers' host name."""
        return self.unit.replace("/", "-")


def charm_folder(unit: str) -> str:
    """Where a unit's charm lies in its container, as JUJU_CHARM_DIR says."""
    return f"/var/lib/juju/agents/unit-{unit.replace('/', '-')}/charm"


def storage_location(meta: StorageMeta, storage_id: str) -> str:
    """Where a storage is mounted in the charm container, as `storage-get` says."""
    number = storage_id.rpartition("/")[2]
    if not meta.location:
        return f"/var/lib/juju/storage/{meta.name}/{number}"
    return f"{meta.location}/{number}" if meta.multiple else meta.location


class UnitRuntime:
    """The processes of one unit, below `folder`.

    Args:
        folder: The unit's own folder; made if need be.
        spec: What is wanted.
        binary: The Pebble to run; by default the one that is found or built.
        commands: The folder of the hook commands; likewise.
        images: Where charms' environments are.
        limits: Who holds the workload containers to their memory; None: nobody.
        changed: Called when `ready` gives another answer than before.
        tell: Takes what the unit's log is to say.
    """

    def __init__(
        self,
        folder: Path,
        spec: UnitSpec,
        *,
        binary: Path | None = None,
        commands: Path | None = None,
        images: ImageStore | None = None,
        limits: LimitKeeper | None = None,
        changed: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder = folder.absolute()
        self.spec = spec
        self._tell = tell
        self._changed = changed
        self._binary = binary
        self._commands = commands
        self._images = images or ImageStore()
        self._limits = limits
        self._events: asyncio.Queue[workload.WorkloadEvent] = asyncio.Queue()
        self._supervisors: dict[str, supervisor.Supervisor] = {}
        self._charm_mounts: tuple[Mount, ...] = ()
        self._hosts = dict(spec.hosts)
        self._lock = asyncio.Lock()
        self._warm: warm.WarmCharm | None = None
        self._cold_until = 0.0

    async def start(self) -> None:
        """Start what does not run and adopt what does; may be called again at any time.

        A pod of another generation or charm is ended and removed first, its storage apart.

        Raises:
            SandboxError, PebbleError, ArchiveError, PythonError: with what to do about it.
        """
        async with self._lock:
            recorded = self._recorded()
            if not recorded or recorded["identity"] != self._identity():
                await self._clear(grace=10)
            await asyncio.to_thread(self._prepare)
            for index, name in enumerate(self.spec.charm.containers):
                if name not in self._supervisors:
                    self._supervisors[name] = self._supervisor(name, index)
            async with asyncio.TaskGroup() as group:
                for watched in self._supervisors.values():
                    group.create_task(watched.start())

    def running(self) -> bool:
        """Whether this very pod runs, whoever started it.

        True while any of its Pebbles runs; a pod without workload containers runs from its start
        to the machine's next boot. Blocking, but only briefly.
        """
        recorded = self._recorded()
        if not recorded or recorded["identity"] != self._identity():
            return False
        if not self.spec.charm.containers:
            return bool(recorded["boot"] == boot_id())
        folders = [self.folder / "containers" / name for name in self.spec.charm.containers]
        found = [Container.adopt(folder / "run") for folder in folders]
        return any(container and container.exit() is None for container in found)

    async def stop(self, grace: float = 10) -> None:
        """End all Pebbles and with them their services; the folder stays as it is."""
        async with self._lock:
            await self._stop(grace)

    async def detach(self) -> None:
        """Let go of everything without ending it: the controller is about to end."""
        async with self._lock:
            await self._close_warm()
            for watched in self._supervisors.values():
                await watched.detach()
            self._supervisors = {}

    async def remove(self) -> None:
        """End everything and delete the folder; storage lies elsewhere and stays."""
        async with self._lock:
            await self._clear(grace=10)
            await asyncio.to_thread(tree.remove, self.folder)

    def ready(self) -> bool:
        """Whether all workload containers were ready when they were last probed."""
        return all(watched.ready for watched in self._supervisors.values())

    def workload_events(self) -> asyncio.Queue[workload.WorkloadEvent]:
        """What happens in the workload containers, from the start of this object on.

        `ready` comes for each Pebble that runs, also for an adopted one: compare its boot id.
        """
        return self._events

    def set_hosts(self, hosts: Mapping[str, tuple[str, ...]]) -> None:
        """Give every container other names by address; running ones have them at once."""
        self._hosts = dict(hosts)
        for watched in self._supervisors.values():
            watched.set_hosts(self._own_hosts())

    def set_processes(self, most: int) -> None:
        """Let the containers that start from now on have so many processes and threads."""
        if most == self.spec.processes:
            return
        self.spec = replace(self.spec, processes=most)
        for watched in self._supervisors.values():
            watched.set_processes(most)

    async def dispatch(
        self,
        env: Mapping[str, str],
        *,
        socket_folder: Path,
        on_output: execution.OnOutput,
        on_cold: OnCold | None = None,
    ) -> int:
        """Run the charm's `dispatch`, or without one the hook itself; return its exit code.

        A charm that has neither for this hook did what it wants to do: 0. Cancelling kills the
        hook. No process of it is left when this returns.

        Args:
            env: The JUJU_* environment.
            socket_folder: Holds the socket of the hook commands (see `hooks.tools`).
            on_output: Gets the name of the stream and each line.
            on_cold: None starts it cold; with it, it starts as a fork of an interpreter that has
                imported ops, and where that cannot be it is told once why.
        """
        folder = charm_folder(self.spec.unit)
        program = self.handler(env.get("JUJU_DISPATCH_PATH", ""))
        if not program:
            return 0
        spec = self._charm_spec((f"{folder}/{program}",), env, socket_folder)
        if on_cold is None:
            await self._close_warm()
        elif program == "dispatch":
            base = self._charm_spec(spec.command, {}, socket_folder)
            code = await self._dispatch_warm(spec, base, on_output, on_cold)
            if code is not None:
                return code
        return await execution.run(spec, self.folder / "charm-container", on_output)

    def handler(self, path: str) -> str:
        """The charm's program for `hooks/NAME` or `actions/NAME`; empty if it has none."""
        charm = self.folder / "charm"
        if (charm / "dispatch").is_file():
            return "dispatch"
        return path if path and os.access(charm / path, os.X_OK) else ""

    async def _dispatch_warm(
        self, spec: Spec, base: Spec, on_output: execution.OnOutput, on_cold: OnCold
    ) -> int | None:
        """Run the charm's `dispatch` warm; None: it has to be started cold, nothing has run.

        `base` is `spec` but for what differs from hook to hook.
        """
        now = asyncio.get_running_loop().time()
        if now < self._cold_until:
            return None
        directory = self.folder / "charm-container"
        try:
            # From here to its run nothing is waited for: one that is idle ends at any moment.
            if self._warm:
                root.renew(spec, directory)
            same = self._warm and replace(self._warm.spec, hosts=base.hosts) == base
            if self._warm and not (same and self._warm.alive):
                await self._close_warm()
            if self._warm is None:
                if spec.env.get("JUJU_HOOK_NAME") in _SINGLE:
                    return None
                text = (self.spec.charm_path / "dispatch").read_text(errors="replace")
                self._warm = await warm.WarmCharm.start(base, directory, text)
            return await self._warm.run(root.environment(spec), on_output)
        except warm.NoRoomError as error:
            logger.debug("%s: a hook starts cold: %s", self.spec.unit, error)
        except warm.NotWarmError as error:
            self._cold_until = now + _COLD_SECONDS
            on_cold(str(error))
        return None

    async def _close_warm(self) -> None:
        if self._warm:
            await self._warm.close()
            self._warm = None

    async def exec(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        socket_folder: Path,
        stdin: bytes = b"",
    ) -> tuple[int, str, str]:
        """Run a command in the charm container as `juju exec` does.

        Returns:
            Exit code, standard output, standard error, these two up to `OUTPUT_CHARACTERS`.
        """
        output: dict[execution.Stream, list[str]] = {"stdout": [], "stderr": []}
        room = dict.fromkeys(output, OUTPUT_CHARACTERS)

        def keep(stream: execution.Stream, text: str) -> None:
            output[stream].append(text[: room[stream]])
            room[stream] = max(0, room[stream] - len(text))

        spec = self._charm_spec(tuple(argv), env, socket_folder)
        code = await execution.run(
            spec, self.folder / "charm-container", keep, stdin=stdin, exact=True
        )
        return code, "".join(output["stdout"]), "".join(output["stderr"])

    def ssh_argv(
        self, container: str | None, command: Sequence[str]
    ) -> tuple[list[str], dict[str, str]]:
        """What a terminal runs to be in a container: argument list and environment.

        Args:
            container: A workload container (through its Pebble); None or `charm` is the charm's.
            command: What to run there; empty is a shell.

        Raises:
            KeyError: There is no such container.
            SandboxError: The unit's network is being made again.
        """
        terminal = {"TERM": os.environ.get("TERM", "dumb"), "PATH": _SYSTEM_PATH}
        inner = list(command) or ["/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"]
        if container in (None, "charm"):
            return self._in_charm(inner, terminal)
        if container not in self.spec.charm.containers:
            raise KeyError(container)
        # Pebble's client runs in the charm's container: the charm may put a link in the place of
        # the socket, which leads to nobody else's from there.
        words = ("/charm/bin/pebble", "exec", "--", *inner)
        terminal["PEBBLE_SOCKET"] = f"/charm/containers/{container}/{pebble_api.SOCKET}"
        return self._in_charm(words, terminal)

    def _in_charm(
        self, words: Sequence[str], terminal: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        spec = self._charm_spec(tuple(words), terminal, None)
        pebble = Mount(self._pebble(), "/charm/bin/pebble", read_only=True)
        spec = replace(spec, mounts=(*spec.mounts, pebble))
        options = execution.arguments(spec, self.folder / "charm-container", interactive=True)
        inside = entrance.prefix(self.spec.network, patience=0)
        return [*inside, str(bubblewrap.find()), *options, "--", *words], dict(terminal)

    # The pod.

    def _identity(self) -> dict[str, Any]:
        """What makes this pod another one when it changes."""
        spec = self.spec
        return {
            "generation": spec.generation,
            "charm": str(spec.charm_path),
            "images": {name: image.reference for name, image in sorted(spec.images.items())},
            "storages": [[storage.id, str(storage.folder)] for storage in spec.storages],
            "address": spec.address,
        }

    def _recorded(self) -> dict[str, Any] | None:
        """What pod.json says: the identity of the pod here, and in which boot it was started."""
        try:
            recorded: dict[str, Any] = json.loads((self.folder / "pod.json").read_text())
        except FileNotFoundError:
            return None
        return recorded

    async def _stop(self, grace: float) -> None:
        await self._close_warm()
        names = {path.name for path in (self.folder / "containers").glob("*") if path.is_dir()}
        async with asyncio.TaskGroup() as group:
            for name in names | self._supervisors.keys():
                # One that this object never started may run still: its owner died.
                watched = self._supervisors.get(name) or self._stranger(name)
                group.create_task(watched.stop(grace))
        self._supervisors = {}

    async def _clear(self, grace: float) -> None:
        (self.folder / "pod.json").unlink(missing_ok=True)
        await self._stop(grace)
        for name in ("charm", "charm-root", "charm-container", "python", "containers"):
            await asyncio.to_thread(tree.remove, self.folder / name)

    def _prepare(self) -> None:
        """Lay out the folder: everything that the containers mount."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unpacked = archive.UnpackedCharm.load(self.spec.charm_path)
        if self._recorded() is None:
            self._copy_charm(unpacked)
            self._copy_files()
        new = self.folder / "pod.json.new"
        new.write_text(json.dumps({"identity": self._identity(), "boot": boot_id()}))
        new.replace(self.folder / "pod.json")
        self._charm_mounts = self._mounts_of_charm(unpacked)
        self._pebble()
        self._hook_commands()
        containers = [Path("containers", name) for name in self.spec.charm.containers]
        needed = [container / part for container in containers for part in ("charm", "root")]
        for name in (Path("charm-root"), Path("charm-container"), *needed):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _copy_charm(self, unpacked: archive.UnpackedCharm) -> None:
        """Give the unit its own copy, without the packages: those are mounted."""
        draft, final = self.folder / "charm.new", self.folder / "charm"
        for stale in (draft, final):
            tree.remove(stale)
        packages = unpacked.path / "venv/lib"

        def left_out(parent: str, names: list[str]) -> list[str]:
            return [name for name in names if Path(parent, name) == packages]

        shutil.copytree(unpacked.path, draft, ignore=left_out)
        draft.rename(final)

    def _copy_files(self) -> None:
        """Give each workload container what its image has outside of its environment."""
        for name in self.spec.charm.containers:
            image = self.spec.images.get(name)
            if image and (files := image.path / _IMAGE_FILES).is_dir():
                root = self.folder / "containers" / name / "root"
                tree.remove(root)
                shutil.copytree(files, root, symlinks=True)

    def _mounts_of_charm(self, unpacked: archive.UnpackedCharm) -> tuple[Mount, ...]:
        spec, inside = self.spec, charm_folder(self.spec.unit)
        interpreter = unpacked.interpreter()
        links = self.folder / "python"
        links.mkdir(mode=0o700, exist_ok=True)
        for name in ("python", "python3", f"python{interpreter.minor}"):
            link = links / name
            if not link.is_symlink() or link.readlink() != interpreter.executable:
                link.unlink(missing_ok=True)
                link.symlink_to(interpreter.executable)
        mounts = [
            Mount(self.folder / "charm", inside),
            Mount(links, PYTHON_FOLDER, read_only=True),
        ]
        if interpreter.mounted:
            mounts.append(Mount(interpreter.mounted, str(interpreter.mounted), read_only=True))
        if image := unpacked.image(self._images):
            mounts.append(Mount(image.path, f"{inside}/venv", read_only=True))
        elif (unpacked.path / "venv/lib").is_dir():
            mounts.append(Mount(unpacked.path / "venv/lib", f"{inside}/venv/lib", read_only=True))
        for name in spec.charm.containers:
            folder = self.folder / "containers" / name / "charm"
            mounts.append(Mount(folder, f"/charm/containers/{name}"))
        for storage in spec.storages:
            meta = spec.charm.storage[storage.name]
            location = storage_location(meta, storage.id)
            mounts.append(Mount(storage.folder, location, read_only=meta.read_only))
        return (*mounts, *self._cluster_mounts())

    def _cluster_mounts(self) -> tuple[Mount, ...]:
        cluster = self.spec.cluster
        return (Mount(cluster.identity, IDENTITY_FOLDER, read_only=True),) if cluster else ()

    def _cluster_env(self) -> dict[str, str]:
        cluster = self.spec.cluster
        if not cluster:
            return {}
        return {
            "KUBERNETES_SERVICE_HOST": cluster.host,
            "KUBERNETES_SERVICE_PORT": str(cluster.port),
        }

    def _own_hosts(self) -> dict[str, tuple[str, ...]]:
        """The names, with the unit's own host name at its own address."""
        own = self._hosts.get(self.spec.address, ())
        rest = tuple(name for name in own if name != self.spec.pod)
        return {**self._hosts, self.spec.address: (self.spec.pod, *rest)}

    def _charm_spec(
        self, command: tuple[str, ...], env: Mapping[str, str], socket_folder: Path | None
    ) -> Spec:
        mounts = self._charm_mounts
        path = f"{PYTHON_FOLDER}:{_SYSTEM_PATH}"
        if socket_folder:
            commands = f"{tools.TOOLS_FOLDER}/{self.spec.tag}"
            mounts = (
                *mounts,
                Mount(socket_folder, tools.HOOKS_FOLDER, read_only=True),
                Mount(self._hook_commands(), commands, read_only=True),
            )
            path = f"{commands}:{path}"
        return Spec(
            command=command,
            env={"LANG": "C.UTF-8", **env, **self._cluster_env(), "PATH": path},
            cwd=charm_folder(self.spec.unit),
            root=self.folder / "charm-root",
            mounts=mounts,
            hosts=self._own_hosts(),
            hostname=self.spec.pod,
            limits=Limits(processes=self.spec.processes),
            network=self.spec.network,
        )

    # The workload containers.

    def _pebble(self) -> Path:
        if self._binary is None:
            self._binary = programs.ensure()
        return self._binary

    def _hook_commands(self) -> Path:
        if self._commands is None:
            self._commands = tools.ensure()
        return self._commands

    def _supervisor(self, name: str, index: int) -> supervisor.Supervisor:
        folder = self.folder / "containers" / name
        return supervisor.Supervisor(
            name,
            folder,
            self._workload_spec(name, folder),
            self._events.put_nowait,
            http=(self.spec.address, FIRST_HTTP_PORT + index),
            limits=self._limits,
            changed=self._changed,
            tell=self._tell,
        )

    def _stranger(self, name: str) -> supervisor.Supervisor:
        """A handle to end a container of an earlier pod, perhaps not in the charm any more."""
        return supervisor.Supervisor(
            name,
            self.folder / "containers" / name,
            Spec(command=()),
            self._events.put_nowait,
            http=(self.spec.address, 0),
        )

    def _workload_spec(self, name: str, folder: Path) -> Spec:
        spec = self.spec
        image = spec.images.get(name)
        mounts = [
            Mount(self._pebble(), "/charm/bin/pebble", read_only=True),
            Mount(folder / "charm", "/charm/container"),
        ]
        env = {
            "PEBBLE": "/charm/container/pebble",
            "PEBBLE_SOCKET": f"/charm/container/{pebble_api.SOCKET}",
            "JUJU_CONTAINER_NAME": name,
            **self._cluster_env(),
        }
        if image and (layers := image.path / _IMAGE_LAYERS).is_dir():
            mounts.append(Mount(layers, "/var/lib/pebble/default/layers", read_only=True))
            env["PEBBLE_COPY_ONCE"] = "/var/lib/pebble/default"
        for storage_name, location in spec.charm.containers[name].mounts:
            meta = spec.charm.storage[storage_name]
            for storage in spec.storages:
                if storage.name == storage_name:
                    number = storage.id.rpartition("/")[2]
                    target = f"{location}/{number}" if meta.multiple else location
                    mounts.append(Mount(storage.folder, target, read_only=meta.read_only))
        return Spec(
            command=("/charm/bin/pebble", "run", "--create-dirs", "--hold", "--verbose"),
            env=env,
            image=image,
            root=folder / "root",
            # As Juju's pods run it: as the user that charmcraft.yaml names for the container.
            user=spec.charm.containers[name].uid,
            group=spec.charm.containers[name].gid,
            accounts=_accounts(image),
            mounts=(*mounts, *self._cluster_mounts()),
            hosts=self._own_hosts(),
            hostname=spec.pod,
            limits=Limits(memory=spec.memory.get(name), processes=spec.processes),
            output=folder / "pebble.log",
            network=spec.network,
        )


def _accounts(image: Image | None) -> tuple[str, ...]:
    """The further names of a container's one user: a rock's, and those of its image's users."""
    names = [_ROCK_ACCOUNT]
    if image and (listed := image.path / _IMAGE_ACCOUNTS).is_file():
        for line in listed.read_text(errors="replace").splitlines():
            name = line.partition(":")[0]
            if _ACCOUNT.fullmatch(name) and name not in _NO_NAMES:
                names.append(name)
    return tuple(dict.fromkeys(names))
