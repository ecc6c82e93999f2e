"""The private root of a container: one description, from which both kinds of start build it.

`prepare` makes the folders and files on the host; `plan` lists what is mounted over them, in
order. `sandbox.container` hands the plan to bubblewrap, `sandbox.warm` mounts it by itself.
"""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import entrance
from sandbox.errors import SandboxError
from sandbox.spec import Mount, Scratch, Spec
from sandbox.tree import Tree

# Folders of /sys that programs read to learn about processors and devices.
_SYS = ("block", "bus", "class", "dev", "devices")
# Names at the top of the root that lead into /usr on a machine with a merged /usr.
_USR_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FOLDERS = {
    **dict.fromkeys(("dev", "etc", "home", "media", "mnt", "opt", "proc", "run", "srv"), 0o755),
    **dict.fromkeys(("sys", "usr", "var", "var/cache", "var/lib", "var/log"), 0o755),
    "root": 0o700,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
}
# What a program needs of /etc to look up names, hosts, certificates and times.
_ETC_FILES = (
    *("debian_version", "gai.conf", "host.conf", "ld.so.cache", "ld.so.conf", "localtime"),
    *("mime.types", "nsswitch.conf", "os-release", "profile", "protocols", "services"),
    *("shells", "timezone"),
)
# Links into /usr, hundreds of them; with /usr read-only nothing could change them.
_ETC_FIXED = ("alternatives",)
_ETC_FOLDERS = ("ca-certificates", "crypto-policies", "fonts", "pki", "ssl")
# Where the kernel is set. It asks for the user, not for privileges: root's container without any
# could name a program for the host's kernel to run (/proc/sys/kernel/core_pattern).
_KERNEL_SETTINGS = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "mtrr")
_MARK = "etc/.complete"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Bind:
    """`source` of the host appears at `target`; `device` lets device nodes work."""

    source: Path
    target: str
    read_only: bool = False
    device: bool = False


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


Step = Bind | Proc | Dev | Memory | Seal


def base_prefix() -> str | None:
    """Where the interpreter of all environments is installed; None if that is in /usr."""
    return None if Path(sys.base_prefix).is_relative_to("/usr") else sys.base_prefix


def proc() -> Proc:
    """The container's /proc. Root's has no way to set the kernel; others' has none anyway.

    Theirs is left whole, since a container in the container could not have a /proc otherwise.
    """
    settings = _KERNEL_SETTINGS if os.getuid() == 0 else ()
    return Proc(read_only=tuple(name for name in settings if Path("/proc", name).exists()))


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
    if first in _USR_LINKS and Path("/", first).is_symlink():
        path = posixpath.join("/usr", first, rest).rstrip("/")
    for link, real in (("/var/run", "/run"), ("/var/lock", "/run/lock")):
        if path == link or path.startswith(link + "/"):
            path = real + path[len(link) :]
    return path


def prepare(spec: Spec, directory: Path) -> tuple[Step, ...]:
    """Make the root of `spec` on the host and return the mounts that complete it.

    The first step binds the root itself. Fresh parts lie below `directory`. Raises SandboxError
    for a mount whose source is not there or whose target cannot be made.
    """
    persistent = spec.root is not None
    root = spec.root if spec.root is not None else directory / "root"
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    own = Tree(directory)
    for name, mode in (("etc", 0o755), ("tmp", 0o1777), ("run", 0o755), ("run/lock", 0o1777)):
        own.folder(name, mode)
    renew(spec, directory)
    tree = Tree(root)
    if not (root / _MARK).is_file():
        _fill(tree, spec, copy=persistent)
    steps = _plan(spec, directory, root, bind_etc=not persistent)
    _make_targets(steps, tree)
    _make_folder(spec.cwd, steps, tree)
    return tuple(steps)


def renew(spec: Spec, directory: Path) -> None:
    """Bring the names that a container knows up to date; running ones see it."""
    own = Tree(directory)
    own.renew("etc/hosts", _hosts(spec.hosts, spec.hostname))
    own.renew("etc/hostname", f"{spec.hostname}\n".encode())
    own.renew("etc/resolv.conf", _resolver(spec))


def _plan(spec: Spec, directory: Path, root: Path, *, bind_etc: bool) -> list[Step]:
    base = base_prefix()
    steps: list[Step] = [Bind(root, "/"), Bind(Path("/usr"), "/usr", read_only=True)]
    for name in _USR_LINKS:
        folder = Path("/", name)
        if folder.is_dir() and not folder.is_symlink():
            steps.append(Bind(folder, f"/{name}", read_only=True))
    steps += [proc(), Dev(shared_memory=spec.limits.memory)]
    for name in _SYS:
        if Path("/sys", name).is_dir():
            steps.append(Bind(Path("/sys", name), f"/sys/{name}", read_only=True))
    for name in (*_ETC_FIXED, *(_ETC_FOLDERS if bind_etc else ())):
        if Path("/etc", name).is_dir():
            steps.append(Bind(Path("/etc", name), f"/etc/{name}", read_only=True))
    sealed = spec.read_only_root
    steps += [Bind(directory / name, f"/{name}", read_only=sealed) for name in ("tmp", "run")]
    for name in ("hosts", "hostname", "resolv.conf"):
        steps.append(Bind(directory / "etc" / name, f"/etc/{name}"))
    if base is not None:
        steps.append(Bind(Path(base), base, read_only=True))
    if spec.image is not None:
        steps.append(Bind(spec.image.path, place(spec.image.prefix), read_only=True))
    steps += [_mount(mount) for mount in spec.mounts]
    return [*steps, Seal()] if sealed else steps


def _mount(mount: Mount | Scratch) -> Bind | Memory:
    if isinstance(mount, Scratch):
        return Memory(place(mount.target), mount.size)
    if not mount.source.exists():
        raise SandboxError(f"{mount.source}, to be mounted at {mount.target}, does not exist")
    return Bind(
        mount.source.absolute(),
        place(mount.target),
        mount.read_only,
        mount.source.is_char_device(),
    )


def _fill(tree: Tree, spec: Spec, *, copy: bool) -> None:
    """Write the parts of the root that every container has; safe to run again."""
    for folder, mode in _FOLDERS.items():
        tree.folder(folder, mode)
    for name in _USR_LINKS:
        host = Path("/", name)
        if host.is_symlink():
            tree.link(name, os.readlink(host))
        elif host.is_dir():
            tree.folder(name)
    tree.link("var/run", "../run")
    tree.link("var/lock", "../run/lock")
    tree.link("etc/mtab", "../proc/self/mounts")
    users = _accounts(Path("/etc/passwd"), "root:x:0:0:root:/root:/bin/sh")
    groups = _accounts(Path("/etc/group"), "root:x:0:")
    # Programs ask for the name of the user they run as, and many end without one.
    account = f"user{spec.user}:x:{spec.user}:{spec.group}::/root:/bin/sh"
    users = _with(users, spec.user, account)
    groups = _with(groups, spec.group, f"group{spec.group}:x:{spec.group}:")
    for name in spec.accounts:
        users += f"{name}:x:{spec.user}:{spec.group}::/:/usr/sbin/nologin\n".encode()
        groups += f"{name}:x:{spec.group}:\n".encode()
    tree.file("etc/passwd", users)
    tree.file("etc/group", groups)
    for name in _ETC_FILES:
        tree.copy(Path("/etc", name), f"etc/{name}")
    for name in _ETC_FOLDERS if copy else ():
        tree.copy(Path("/etc", name), f"etc/{name}")
    tree.file(_MARK)


def _accounts(source: Path, root: str) -> bytes:
    """The system's own accounts and nobody: people's names stay out of containers."""
    lines = [root]
    for line in _read(source).decode(errors="replace").splitlines():
        fields = line.split(":")
        if len(fields) < 4 or not fields[2].isdigit() or fields[0] == "root":
            continue
        if int(fields[2]) < 1000 or fields[0] in ("nobody", "nogroup"):
            # The members of a group are people as well.
            lines.append(line if len(fields) > 4 else ":".join([*fields[:3], ""]))
    return ("\n".join(lines) + "\n").encode()


def _with(accounts: bytes, number: int, line: str) -> bytes:
    """The accounts, with a line for `number` if it has none."""
    known = {row.split(b":")[2] for row in accounts.splitlines()}
    return accounts if str(number).encode() in known else accounts + f"{line}\n".encode()


def _hosts(hosts: Mapping[str, tuple[str, ...]], hostname: str) -> bytes:
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    if hostname != "localhost" and not any(hostname in names for names in hosts.values()):
        lines.append(f"127.0.1.1 {hostname}")
    lines += [f"{address} {' '.join(names)}" for address, names in hosts.items()]
    return ("\n".join(lines) + "\n").encode()


def _resolver(spec: Spec) -> bytes:
    """The host's resolv.conf, or with its network's own name server."""
    host = _read(Path("/etc/resolv.conf"))
    address = entrance.resolver(spec.network)
    if not address:
        return host
    kept = [line for line in host.splitlines() if line.split()[:1] != [b"nameserver"]]
    return b"\n".join([f"nameserver {address}".encode(), *kept, b""])


def rewrite_hosts(directory: Path, hosts: Mapping[str, tuple[str, ...]], hostname: str) -> None:
    """Rewrite a running container's hosts file in place: a mount shows the file, not its name."""
    with (directory / "etc" / "hosts").open("r+b") as stream:
        stream.write(_hosts(hosts, hostname))
        stream.truncate()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _covering(path: str, steps: list[Step]) -> Step | None:
    """The last step, the root apart, whose mount holds `path`."""
    for step in reversed(steps):
        if step.target != "/" and (path == step.target or path.startswith(step.target + "/")):
            return step
    return None


def _make_targets(steps: list[Step], tree: Tree) -> None:
    """Make the folder or file that each mount goes over, in the root or in an earlier mount."""
    for index, step in enumerate(steps):
        if step.target == "/":
            continue  # The root itself, and its seal.
        is_folder = not isinstance(step, Bind) or step.source.is_dir()
        under = _covering(posixpath.dirname(step.target), steps[:index])
        if under is None:
            _make(tree, step.target, is_folder)
        elif isinstance(under, Bind) and not _exists(under, step.target, is_folder):
            if under.read_only:
                raise SandboxError(
                    f"nothing can be mounted at {step.target}: {under.target} is read-only there"
                    " and has no such place"
                )
            _make(Tree(under.source), step.target[len(under.target) :], is_folder)


def _exists(under: Bind, target: str, is_folder: bool) -> bool:
    path = under.source / target[len(under.target) :].lstrip("/")
    return path.is_dir() if is_folder else path.is_file()


def _make(tree: Tree, target: str, is_folder: bool) -> None:
    if not is_folder:
        tree.touch(target)
    else:
        tree.folder(target)


def _make_folder(cwd: str, steps: list[Step], tree: Tree) -> None:
    """Make the working directory where it lies in the root itself, as container engines do."""
    if not cwd.startswith("/") or "\0" in cwd:
        raise SandboxError(f"working directory {cwd!r} is not an absolute path")
    path = posixpath.normpath("/" + cwd.lstrip("/"))
    first = path[1:].partition("/")[0]
    own = not path.startswith(("/var/run", "/var/lock")) and first not in _USR_LINKS
    if path != "/" and own and _covering(path, steps) is None:
        tree.folder(path)
