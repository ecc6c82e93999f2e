"""What every root has: folders, links, accounts and the files of /etc that programs look for.

A root that persists gets a copy of its own. A fresh one lies over a copy that all of them share
(`shared`), as an overlay: a container's start and end then make and delete a few inodes on the
disk instead of sixty, which ext4 takes half a millisecond for each once many were deleted before.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import subprocess
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from sandbox import bubblewrap, tree
from sandbox.errors import SandboxError
from sandbox.images import store_root
from sandbox.spec import Spec
from sandbox.tree import Tree

logger = logging.getLogger(__name__)

USR_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Names at the top of the root that lead into /usr on a machine with a merged /usr."""
ETC_FOLDERS = ("ca-certificates", "crypto-policies", "fonts", "pki", "ssl")
"""Folders of /etc that programs look for."""
_FOLDERS = {
    **dict.fromkeys(("dev", "etc", "home", "media", "mnt", "opt", "proc", "run", "srv"), 0o755),
    **dict.fromkeys(("sys", "usr", "var", "var/cache", "var/lib", "var/log"), 0o755),
    "root": 0o700,
    **dict.fromkeys(("tmp", "run/lock", "var/tmp"), 0o1777),
}
# What a program needs of /etc to look up names, hosts, certificates and times.
_ETC_FILES = (
    *("debian_version", "gai.conf", "host.conf", "ld.so.cache", "ld.so.conf", "localtime"),
    *("mime.types", "nsswitch.conf", "os-release", "profile", "protocols", "services"),
    *("shells", "timezone"),
)
_ETC_PATHS = tuple(f"/etc/{name}" for name in _ETC_FILES)
_PASSWD, _GROUP = Path("/etc/passwd"), Path("/etc/group")
# In the name of the shared copies: what this module makes of the host's files.
_EDITION = "3"
_TRIAL_SECONDS = 20
# By the disks of a container and of the store: why no root lies over another there, or "".
_known: dict[tuple[int, int], str] = {}


def fill(top: Tree, spec: Spec) -> None:
    """Write it below a folder; safe to run again."""
    for folder, mode in _FOLDERS.items():
        top.folder(folder, mode)
    for name in USR_LINKS:
        host = Path("/", name)
        if host.is_symlink():
            top.link(name, os.readlink(host))
        elif host.is_dir():
            top.folder(name)
    top.link("var/run", "../run")
    top.link("var/lock", "../run/lock")
    top.link("etc/mtab", "../proc/self/mounts")
    users = accounts(_PASSWD, "root:x:0:0:root:/root:/bin/sh", spec.accounts)
    groups = accounts(_GROUP, "root:x:0:", spec.accounts)
    # Programs ask for the name of the user they run as, and many end without one.
    account = f"user{spec.user}:x:{spec.user}:{spec.group}::/root:/bin/sh"
    users = _with(users, spec.user, account)
    groups = _with(groups, spec.group, f"group{spec.group}:x:{spec.group}:")
    for name in spec.accounts:
        users += f"{name}:x:{spec.user}:{spec.group}::/:/usr/sbin/nologin\n".encode()
        groups += f"{name}:x:{spec.group}:\n".encode()
    top.file("etc/passwd", users)
    top.file("etc/group", groups)
    for name in _ETC_FILES:
        top.copy(Path("/etc", name), f"etc/{name}")


def accounts(source: Path, root: str, but: Collection[str] = ()) -> bytes:
    """The system's own accounts and nobody: people's names stay out, and those of `but`."""
    lines = [root]
    for line in read(source).decode(errors="replace").splitlines():
        fields = line.split(":")
        if len(fields) < 4 or not fields[2].isdigit() or fields[0] in ("root", *but):
            continue
        if int(fields[2]) < 1000 or fields[0] in ("nobody", "nogroup"):
            # The members of a group are people as well.
            lines.append(line if len(fields) > 4 else ":".join([*fields[:3], ""]))
    return ("\n".join(lines) + "\n").encode()


def _with(listed: bytes, number: int, line: str) -> bytes:
    """The accounts, with a line for `number` if it has none."""
    known = {row.split(b":")[2] for row in listed.splitlines()}
    return listed if str(number).encode() in known else listed + f"{line}\n".encode()


def read(path: Path) -> bytes:
    """The content of a file; nothing if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


# -- the shared copies ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kind:
    """What two specs must have in common to share a copy."""

    user: int
    group: int
    accounts: tuple[str, ...]
    targets: tuple[tuple[str, bool], ...]


def possible(directory: Path) -> bool:
    """Whether the root of a container in this folder may lie over a shared copy."""
    return _plain(directory) and overlays(directory)


def shared(
    spec: Spec, targets: tuple[tuple[str, bool], ...], make: Callable[[Tree], None]
) -> Path:
    """Give a folder with it that nobody writes to, made if there is none.

    Args:
        spec: the container's.
        targets: what else is in it, for its name: paths, and whether each is a folder.
        make: makes those, in a tree.
    """
    kind = _Kind(spec.user, spec.group, spec.accounts, targets)
    place = store_root() / "skeletons" / _digest(kind, _host())
    if not os.path.isdir(place):
        _build(place, spec, make)
    return place


def _build(place: Path, spec: Spec, make: Callable[[Tree], None]) -> None:
    """Write it beside its place and move it there: it is whole, or not there."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=place.parent))
    try:
        draft.chmod(0o755)
        fill(Tree(draft), spec)
        make(Tree(draft))
        with contextlib.suppress(OSError):  # Another has made the same meanwhile.
            draft.rename(place)
        if not place.is_dir():
            raise SandboxError(f"{place} cannot be made")
    finally:
        tree.remove(draft)


@functools.lru_cache(maxsize=256)
def _digest(kind: _Kind, host: tuple[object, ...]) -> str:
    return hashlib.sha256(repr((_EDITION, kind, host)).encode()).hexdigest()[:32]


def _host() -> tuple[object, ...]:
    """What of the host it is made of, as it is now."""
    tops = [f"/{name}" for name in USR_LINKS]
    links = [os.readlink(top) for top in tops if os.path.islink(top)]
    return (*links, _seen(_PASSWD), _seen(_GROUP), *map(_seen, _ETC_PATHS))


def _seen(path: Path | str) -> tuple[int, ...]:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _plain(path: Path) -> bool:
    """Whether a path means itself among the options of a mount."""
    paths = f"{path}{store_root()}"
    return not any(letter in paths for letter in ",:\\")


def overlays(directory: Path) -> bool:
    """Whether a root may lie over another here; tried once for each disk.

    It takes Linux 5.11, bubblewrap 0.11, and a disk that is no overlay itself.
    """
    store = store_root()
    if not os.path.isdir(store):
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
    disks = os.stat(directory).st_dev, os.stat(store).st_dev
    if disks not in _known:
        objection = _known[disks] = _try(store, directory)
        if objection:
            logger.info("%s: each root is a copy, not an overlay: %s", directory, objection)
    return not _known[disks]


def _try(store: Path, directory: Path) -> str:
    """Change a file that lies below, as a container would; what is in the way, or ""."""
    with (
        tempfile.TemporaryDirectory(prefix=".trial-", dir=store) as low,
        tempfile.TemporaryDirectory(prefix=".trial-", dir=directory) as high,
    ):
        Path(low, "file").write_text("low")
        upper, work = Path(high, "upper"), Path(high, "work")
        upper.mkdir()
        work.mkdir()
        command = [
            *(str(bubblewrap.find()), "--unshare-user", "--bind", "/", "/"),
            *("--overlay-src", low, "--overlay", str(upper), str(work), "/mnt"),
            *("--", "/bin/sh", "-c", "echo high >> /mnt/file && rm /mnt/file"),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TRIAL_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        finally:
            # The kernel's own folder in it, which nobody may read.
            tree.remove(work)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
