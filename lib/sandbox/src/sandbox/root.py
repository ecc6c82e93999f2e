"""The private root of a container: one description, from which both kinds of start build it.

`prepare` makes the folders and files on the host; `plan` lists what is mounted over them, in
order. `sandbox.container` hands the plan to bubblewrap, `sandbox.warm` mounts it by itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import entrance, skeleton
from sandbox.errors import SandboxError
from sandbox.spec import Mount, Scratch, Spec
from sandbox.tree import Tree, fill

# Folders of /sys that programs read to learn about processors and devices.
_SYS = ("block", "bus", "class", "dev", "devices")
# Links into /usr, hundreds of them; with /usr read-only nothing could change them.
_ETC_FIXED = ("alternatives",)
# Where the kernel is set. It asks for the user, not for privileges: root's container without any
# could name a program for the host's kernel to run (/proc/sys/kernel/core_pattern).
_KERNEL_SETTINGS = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "mtrr")
_MARK = "etc/.complete"
_HOSTS = "/etc/hosts"
# What is written to it, and the kernel's own beside that.
_LAID_OVER = (("root", 0o755), ("work", 0o700))
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Bind:
    """`source` of the host appears at `target`; `device` lets device nodes work."""

    source: Path
    target: str
    read_only: bool = False
    device: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of the root, or a file with this content, which `lower` has not; owned by it."""

    path: str
    mode: int
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Overlay:
    """The root: `lower`, which stays as it is, with what is written to it in `upper`.

    `work` is the kernel's own, on the disk of `upper`. `places` are made by who starts it, each
    after the folders that it lies in: see `furnish`.
    """

    lower: Path
    upper: Path
    work: Path
    places: tuple[Place, ...] = ()
    target: str = "/"


@dataclass(frozen=True, slots=True)
class Proc:
    """A new proc file system for the container's PID namespace; `read_only` are entries of it."""

    target: str = "/proc"
    read_only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dev:
    """A new /dev with the harmless devices, pseudo terminals and /dev/shm.

    `shared_memory` is the bound of /dev/shm in bytes; None leaves it to the kernel (half of RAM).
    """

    shared_memory: int | None = None
    target: str = "/dev"


@dataclass(frozen=True, slots=True)
class Memory:
    """A new, empty file system in memory; `size` in bytes, None leaves it to the kernel."""

    target: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """Nothing can be written to the root itself from here on; mounts in it stay as they are."""

    target: str = "/"


Step = Bind | Overlay | Proc | Dev | Memory | Seal


@functools.cache
def base_prefix() -> str | None:
    """Where the interpreter of all environments is installed; None if that is in /usr."""
    return None if Path(sys.base_prefix).is_relative_to("/usr") else sys.base_prefix


def proc() -> Proc:
    """The container's /proc. Root's has no way to set the kernel; others' has none anyway.

    Theirs is left whole, since a container in the container could not have a /proc otherwise.
    """
    settings = _KERNEL_SETTINGS if os.getuid() == 0 else ()
    return Proc(read_only=tuple(name for name in settings if os.path.exists(f"/proc/{name}")))


def environment(spec: Spec) -> dict[str, str]:
    """The environment of the command: a container's usual PATH and HOME, the image's, the spec's.

    PWD is the working directory, as bubblewrap and a shell have it.
    """
    image = spec.image.env if spec.image else {}
    merged = {"PATH": _PATH, "HOME": "/root", **image, **spec.env, "PWD": spec.cwd}
    for name, value in merged.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise SandboxError(f"environment variable {name!r} has a name or value with NUL or =")
    return merged


def place(target: str) -> str:
    """The path inside where a mount at `target` lands, links of the root resolved.

    Raises SandboxError for a path that is not absolute, is the root, or lies in /proc or /sys.
    """
    if not target.startswith("/") or "\0" in target:
        raise SandboxError(f"mount target {target!r} is not an absolute path")
    path = posixpath.normpath("/" + target.lstrip("/"))
    first, _, rest = path[1:].partition("/")
    if path == "/" or first in ("proc", "sys"):
        raise SandboxError(f"nothing can be mounted at {target}")
    if first in skeleton.USR_LINKS and os.path.islink(f"/{first}"):
        path = posixpath.join("/usr", first, rest).rstrip("/")
    for link, real in (("/var/run", "/run"), ("/var/lock", "/run/lock")):
        if path == link or path.startswith(link + "/"):
            path = real + path[len(link) :]
    return path


def prepare(spec: Spec, directory: Path) -> tuple[Step, ...]:
    """Make the root of `spec` on the host and return the mounts that complete it.

    The first step is the root itself. Fresh parts lie below `directory`. Raises SandboxError
    for a mount whose source is not there or whose target cannot be made.
    """
    layered = spec.root is None and skeleton.possible(directory)
    if layered:
        fill(f"{directory}/hosts", _hosts(spec.hosts, spec.hostname), 0o666)
    else:
        own = Tree(directory)
        for name, mode in (("etc", 0o755), ("tmp", 0o1777), ("run", 0o755), ("run/lock", 0o1777)):
            own.folder(name, mode)
        renew(spec, directory)
    usual = _usual(spec, directory, layered=layered)
    steps = [*usual, *_own(spec)]
    first = _layered(spec, directory, usual, steps) if layered else _copied(spec, directory, steps)
    return first, *steps, *([Seal()] if spec.read_only_root else [])


def lay_out(directory: Path) -> None:
    """Make what a root that lies over another has on the disk, empty, for `prepare` to find."""
    for name, mode in _LAID_OVER:
        os.mkdir(f"{directory}/{name}", mode)
    with open(f"{directory}/hosts", "xb"):
        pass


def furnish(steps: tuple[Step, ...]) -> None:
    """Make the places of a root on the disk, for who has no better way to show them.

    A warm start makes them in memory, where they cost nothing and end with the container.
    """
    if isinstance(first := steps[0], Overlay):
        tree = Tree(first.upper)
        for place in first.places:
            if place.content is None:
                tree.folder(place.path, place.mode)
            else:
                content = place.content.encode(errors="surrogateescape")
                tree.file(place.path, content, place.mode)


def _layered(spec: Spec, directory: Path, usual: list[Step], steps: list[Step]) -> Overlay:
    """A root of the container's own over the shared one."""
    targets = tuple((step.target, step.target != _HOSTS) for step in usual)
    lower = skeleton.shared(
        spec, targets, lambda tree: _make_targets(usual, MountPoints(tree.top))
    )
    for name, mode in _LAID_OVER:
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{directory}/{name}", mode)
    layer = Layer(lower)
    layer.write("etc/hostname", f"{spec.hostname}\n")
    layer.write("etc/resolv.conf", _resolver(spec).decode(errors="surrogateescape"))
    _make_targets(steps, layer, len(usual))
    _make_folder(spec.cwd, steps, layer)
    places = tuple(layer.places.values())
    return Overlay(lower, directory / "root", directory / "work", places)


def _copied(spec: Spec, directory: Path, steps: list[Step]) -> Bind:
    """A root of the container's own, or the one that it is told to keep."""
    if spec.root is None:
        first = _copy(spec, directory / "root")
    else:
        first = _copy(spec, spec.root, skeleton.ETC_FOLDERS)
    top = MountPoints(first.source)
    _make_targets(steps, top)
    _make_folder(spec.cwd, steps, top)
    return first


def _copy(spec: Spec, top: Path, etc: tuple[str, ...] = ()) -> Bind:
    """A root that has its own of all, these folders of /etc too; what is there stays."""
    top.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not (top / _MARK).is_file():
        tree = Tree(top)
        skeleton.fill(tree, spec)
        for name in etc:
            tree.copy(Path("/etc", name), f"etc/{name}")
        tree.file(_MARK)
    return Bind(top, "/")


def renew(spec: Spec, directory: Path) -> None:
    """Bring the names that a container with a root of its own knows up to date.

    Running ones see it.
    """
    own = Tree(directory)
    own.renew("etc/hosts", _hosts(spec.hosts, spec.hostname))
    own.renew("etc/hostname", f"{spec.hostname}\n".encode())
    own.renew("etc/resolv.conf", _resolver(spec))


def _usual(spec: Spec, directory: Path, *, layered: bool) -> list[Step]:
    """What every container has mounted."""
    base = base_prefix()
    tops = [f"/{name}" for name in skeleton.USR_LINKS]
    steps: list[Step] = [_shown("/usr")]
    steps += [_shown(top) for top in tops if os.path.isdir(top) and not os.path.islink(top)]
    steps += [proc(), Dev(shared_memory=spec.limits.memory)]
    # A root that persists has its own.
    etc = (*_ETC_FIXED, *(skeleton.ETC_FOLDERS if spec.root is None else ()))
    folders = [*(f"/sys/{name}" for name in _SYS), *(f"/etc/{name}" for name in etc)]
    steps += [_shown(folder) for folder in folders if os.path.isdir(folder)]
    if layered:
        steps.append(Bind(directory / "hosts", _HOSTS))
    else:
        sealed = spec.read_only_root
        steps += [Bind(directory / name, f"/{name}", read_only=sealed) for name in ("tmp", "run")]
        for name in ("hosts", "hostname", "resolv.conf"):
            steps.append(Bind(directory / "etc" / name, f"/etc/{name}"))
    if base is not None:
        steps.append(_shown(base))
    return steps


@functools.cache
def _shown(folder: str) -> Bind:
    """A folder of the host at its own place."""
    return Bind(Path(folder), folder, read_only=True)


def _own(spec: Spec) -> list[Step]:
    """What this one has mounted besides."""
    steps: list[Step] = []
    if spec.image is not None:
        steps.append(Bind(spec.image.path, place(spec.image.prefix), read_only=True))
    return [*steps, *(_mount(mount) for mount in spec.mounts)]


def _mount(mount: Mount | Scratch) -> Bind | Memory:
    if isinstance(mount, Scratch):
        return Memory(place(mount.target), mount.size)
    try:
        mode = os.stat(mount.source).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        why = f"{mount.source}, to be mounted at {mount.target}, does not exist"
        raise SandboxError(why) from None
    device = stat.S_ISCHR(mode)
    return Bind(mount.source.absolute(), place(mount.target), mount.read_only, device)


def _hosts(hosts: Mapping[str, tuple[str, ...]], hostname: str) -> bytes:
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    if hostname != "localhost" and not any(hostname in names for names in hosts.values()):
        lines.append(f"127.0.1.1 {hostname}")
    lines += [f"{address} {' '.join(names)}" for address, names in hosts.items()]
    return ("\n".join(lines) + "\n").encode()


def _resolver(spec: Spec) -> bytes:
    """The host's resolv.conf, or with its network's own name server."""
    host = skeleton.read(Path("/etc/resolv.conf"))
    address = entrance.resolver(spec.network)
    if not address:
        return host
    kept = [line for line in host.splitlines() if line.split()[:1] != [b"nameserver"]]
    return b"\n".join([f"nameserver {address}".encode(), *kept, b""])


def rewrite_hosts(directory: Path, hosts: Mapping[str, tuple[str, ...]], hostname: str) -> None:
    """Rewrite a running container's hosts file in place: a mount shows the file, not its name."""
    path = directory / "hosts"
    if not path.exists():
        path = directory / "etc" / "hosts"
    with path.open("r+b") as stream:
        stream.write(_hosts(hosts, hostname))
        stream.truncate()


class MountPoints:
    """Where mounts of a root, or of a mount in it, land: in a folder of the host."""

    def __init__(self, top: Path) -> None:
        self._tree = Tree(top)

    def make(self, target: str, *, folder: bool) -> None:
        """Make a folder or file to mount on, unless there is one."""
        if folder:
            self._tree.folder(target)
        else:
            self._tree.touch(target)


class Layer:
    """What a root needs besides the folder that it lies over, of which all stays as it is.

    Attributes:
        places: what is to be made, by path, in this order.
    """

    def __init__(self, lower: Path) -> None:
        self._lower = str(lower)
        self.places: dict[str, Place] = {}

    def make(self, target: str, *, folder: bool) -> None:
        """Note a folder or file to mount on, unless there is one."""
        path = target.strip("/")
        if path in self.places or self._below(path, folder=folder):
            return
        if folder:
            self._enter(path)
        else:
            self.write(path, "")

    def write(self, path: str, content: str) -> None:
        """Note a file of this content."""
        self._enter(posixpath.dirname(path))
        self.places[path] = Place(path, 0o644, content)

    def _below(self, path: str, *, folder: bool) -> bool:
        """True if it is there already, and no link is on the way: that would lead out of it."""
        parent = posixpath.dirname(path)
        if parent and not self._below(parent, folder=True):
            return False
        mode = _mode(self._lower, path)
        return mode is not None and (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode))

    def _enter(self, path: str) -> None:
        """Note a folder and those on the way to it, with the rights that they have below."""
        names = path.split("/") if path else []
        below = True
        for end in range(1, len(names) + 1):
            folder = "/".join(names[:end])
            mode = _mode(self._lower, folder) if below else None
            below = mode is not None and stat.S_ISDIR(mode)
            if folder not in self.places:
                rights = stat.S_IMODE(mode) if mode is not None and below else 0o755
                self.places[folder] = Place(folder, rights)


@functools.lru_cache(maxsize=1024)
def _mode(lower: str, path: str) -> int | None:
    """Kind and rights of what lies in a shared root, of which all stays; None if nothing does."""
    try:
        return os.lstat(os.path.join(lower, path)).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_folder(step: Step) -> bool:
    return not isinstance(step, Bind) or os.path.isdir(step.source)


def _covering(path: str, steps: list[Step]) -> Step | None:
    """The last step, the root apart, whose mount holds `path`."""
    for step in reversed(steps):
        if step.target != "/" and (path == step.target or path.startswith(step.target + "/")):
            return step
    return None


def _make_targets(steps: list[Step], top: MountPoints | Layer, made: int = 0) -> None:
    """Make the folder or file that each mount goes over, in the root or in an earlier mount.

    For the first `made` steps they are there.
    """
    for index, step in list(enumerate(steps))[made:]:
        under = _covering(posixpath.dirname(step.target), steps[:index])
        folder = _is_folder(step)
        if under is None:
            top.make(step.target, folder=folder)
        elif isinstance(under, Bind) and not _exists(under, step.target, folder):
            if under.read_only:
                raise SandboxError(
                    f"nothing can be mounted at {step.target}: {under.target} is read-only there"
                    " and has no such place"
                )
            MountPoints(under.source).make(step.target[len(under.target) :], folder=folder)


def _exists(under: Bind, target: str, is_folder: bool) -> bool:
    path = os.path.join(under.source, target[len(under.target) :].lstrip("/"))
    return os.path.isdir(path) if is_folder else os.path.isfile(path)


def _make_folder(cwd: str, steps: list[Step], top: MountPoints | Layer) -> None:
    """Make the working directory where it lies in the root itself, as container engines do."""
    if not cwd.startswith("/") or "\0" in cwd:
        raise SandboxError(f"working directory {cwd!r} is not an absolute path")
    path = posixpath.normpath("/" + cwd.lstrip("/"))
    first = path[1:].partition("/")[0]
    own = not path.startswith(("/var/run", "/var/lock")) and first not in skeleton.USR_LINKS
    if path != "/" and own and _covering(path, steps) is None:
        top.make(path, folder=True)
