"""Where things are, and what the config file says."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.network import FIRST, LAST, NetworkError, Subnet
from tinykube import quantity
from tinykube.node.gpus.plan import Settings

DEFAULT_PORT = 16443
NODE_PODS = 250
_LOOK_SECONDS = 10.0
POD_PIDS = 4096
_KEYS = ("port", "capacity", "images", "hostPaths", "gpus", "podPidsLimit")


class ConfigError(Exception):
    """The config file is wrong; the message says where and how."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The data folder and the names in it."""

    root: Path

    @classmethod
    def default(cls) -> Folder:
        """The user's: `TINYKUBE_DATA`, else below `XDG_DATA_HOME`, else below ~/.local/share."""
        if named := os.environ.get("TINYKUBE_DATA"):
            return cls(Path(named).absolute())
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return cls(Path(base).absolute() / "tinykube")

    @property
    def config(self) -> Path:
        """The config file; it need not exist."""
        return self.root / "config.yaml"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def database(self) -> Path:
        """The store."""
        return self.root / "state.db"

    @property
    def backup(self) -> Path:
        """The last good copy of the store."""
        return self.root / "state.backup.db"

    @property
    def keys(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def volumes(self) -> Path:
        """Provisioned volumes."""
        return self.root / "volumes"

    @property
    def node(self) -> Path:
        """The node's own folder: pods, logs."""
        return self.root / "node"

    @property
    def proxy(self) -> Path:
        """The folder of the process that listens on services' addresses."""
        return self.root / "proxy"

    @property
    def network(self) -> Path:
        """Which part of loopback is ours."""
        return self.root / "network"

    @property
    def lock(self) -> Path:
        """Locked by the running daemon, whose pid it holds."""
        return self.root / "lock"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.root / "tinykube.log"

    def make(self) -> None:
        """Create the folder, for its owner alone.

        Raises:
            ConfigError: it belongs to someone else, or others may write to it.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.root.stat()
        if found.st_uid != os.geteuid():
            raise ConfigError(
                f"{self.root} belongs to user {found.st_uid}, not to you ({os.geteuid()}); "
                "choose another folder by TINYKUBE_DATA"
            )
        if found.st_mode & 0o077:
            # It holds keys; whoever made it with a wider mode did not know.
            self.root.chmod(0o700)


@dataclass(frozen=True, slots=True)
class Config:
    """The config file, checked; `images` is read by the node itself.

    Attributes:
        port: the API's port on 127.0.0.1.
        capacity: what the node offers, quantities by resource.
        folders: those that pods may mount as hostPath on a node of another control plane.
        gpus: how GPUs are offered.
        pod_pids: how many processes and threads each container of a pod may have; None: as many as
            it likes.
    """

    port: int = DEFAULT_PORT
    capacity: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    gpus: Settings = field(default_factory=Settings)
    pod_pids: int | None = POD_PIDS


def machine() -> dict[str, str]:
    """What this machine has: cores and memory that this process may use."""
    cores = len(os.sched_getaffinity(0))
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _memory_limit()
    memory = min(total, limit) if limit else total
    return {"cpu": str(cores), "memory": f"{memory // 1024}Ki", "pods": str(NODE_PODS)}


def _memory_limit() -> int | None:
    """The memory limit of our control group (v2), if it has one."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def read(path: Path) -> Config:
    """Read the config file; an absent one is empty.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config(capacity=machine())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    import yaml

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    return parse(data, str(path))


def parse(data: Any, path: str) -> Config:
    """Check what a config file holds. Raises ConfigError."""
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must be a mapping with the keys {', '.join(_KEYS)}")
    unknown = [str(key) for key in data if key not in _KEYS]
    if unknown:
        raise ConfigError(f"{path}: unknown key {unknown[0]!r}; the keys are {', '.join(_KEYS)}")
    port = data.get("port", DEFAULT_PORT)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise ConfigError(f"{path}: port is {port!r}; it must be a number from 0 to 65535")
    given = data.get("capacity") or {}
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: capacity must map resources to quantities")
    capacity = machine()
    for name, amount in given.items():
        try:
            if quantity.parse(amount) < 0:
                raise ValueError("it is negative")
        except ValueError as error:
            raise ConfigError(
                f"{path}: capacity.{name} is {amount!r}, no quantity such as 4 or 8Gi: {error}"
            ) from error
        capacity[str(name)] = str(amount)
    try:
        gpus = Settings.read(data.get("gpus"))
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    folders = _folders(data.get("hostPaths"), path)
    pids = data.get("podPidsLimit", POD_PIDS)
    if not isinstance(pids, int) or isinstance(pids, bool) or not (pids > 0 or pids == -1):
        raise ConfigError(
            f"{path}: podPidsLimit is {pids!r}; it must be a number above 0, or -1 for no limit"
        )
    return Config(port, capacity, folders, gpus, pids if pids > 0 else None)


def _folders(given: Any, path: str) -> tuple[Path, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not all(
        isinstance(item, str) and item.startswith("/") for item in given
    ):
        raise ConfigError(f"{path}: hostPaths must be a list of absolute paths")
    return tuple(map(Path, given))


async def changes(path: Path) -> AsyncIterator[Config | ConfigError]:
    """What the config file says, or what is wrong with it, each time it has changed."""
    # Only here: the quick commands read the config as well.
    import asyncio

    seen = _stamp(path)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        stamp = _stamp(path)
        if stamp == seen:
            continue
        seen = stamp
        try:
            yield read(path)
        except ConfigError as error:
            yield error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def subnet(folder: Folder) -> Subnet:
    """The part of loopback whose addresses pods and services have: chosen once, then kept.

    Raises:
        ConfigError: the file that says so is damaged, or every part has a listener.
    """
    try:
        return Subnet(int(folder.network.read_text(encoding="ascii")))
    except FileNotFoundError:
        pass
    except ValueError as error:
        raise ConfigError(
            f"{folder.network} must hold a number from {FIRST} to {LAST}, the second byte of our "
            "addresses; remove it to have one chosen anew, while no pod runs"
        ) from error
    try:
        chosen = Subnet.choose(folder.root)
    except NetworkError as error:
        raise ConfigError(str(error)) from error
    folder.network.write_text(f"{chosen.number}\n", encoding="ascii")
    return chosen
