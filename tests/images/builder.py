"""Buildah as an ordinary user, in a bubblewrap of its own: no root, no Docker, no daemon.

Inside it is root of a user namespace that has one single id, which is all that an ordinary user
gets from the kernel without an administrator; whoever starts this has no more rights in there,
root neither. So everything in an image belongs to root, and instructions run in a chroot.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from minijuju import golang
from sandbox import bubblewrap, tree
from sandbox.images import store_root

from . import debian

ROOT = Path(__file__).parents[2]
SHARED = PurePosixPath("/shared")
"""Where the builder sees the folder `Builder.shared`."""
PYTHON = PurePosixPath("/python")
"""Where it sees the files of the stand-in for Python's image."""
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

# Newer ones look for netavark before anything else, though a chroot has the network as it is.
_PACKAGES = ("buildah", "netavark")
# Python's image is Debian's with a Python, and Debian's has what apt needs, such as libstdc++.
_PYTHON = ("apt", "base-files", "ca-certificates", "coreutils", "dash", "python3")
# Raised when the same packages are unpacked in another way.
_RECIPE = 1
_SECONDS = 1800
_EVIDENCE = 4000
_POINTS = (
    *("dev", "proc", "python", "root", "run", "shared", "source", "storage", "sys", "tmp"),
    "var/tmp",
)
_FILES = ("certificates.crt", "etc/hosts", "etc/resolv.conf")
# The number of setgroups(2) and the kernel's name for the machine (linux/audit.h).
_SETGROUPS = {"x86_64": (116, 0xC000003E), "aarch64": (159, 0xC00000B7)}


class BuildError(Exception):
    """Buildah refused or failed; the message has the command and what it said."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What is fetched once and kept: buildah's root, and that of the stand-in for Python's image.

    Attributes:
        buildah, python: folders.
        cache: what builds keep for later ones (`RUN --mount=type=cache`).
    """

    buildah: Path
    python: Path
    cache: Path


def ensure(progress: Callable[[str], None] = lambda message: None) -> Tools:
    """Fetch what is missing, 75 to 95 MB; one process at a time, whole or not at all.

    Raises:
        debian.PackagesError: the packages cannot be had.
    """
    home = store_root() / "tools"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    recipe = repr((_RECIPE, _PACKAGES, _PYTHON)).encode()
    place = home / f"images-{debian.release()}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    cache = home / "images-cache"
    with golang.locked(home / "images.lock"):
        cache.mkdir(exist_ok=True)
        if not place.is_dir():
            draft = home / f".{place.name}"
            tree.remove(draft)
            draft.mkdir()
            for folder, packages in (("buildah", _PACKAGES), ("python", _PYTHON)):
                debian.unpack(
                    packages, draft / folder, scratch=draft / "scratch", progress=progress
                )
            _finish_builder(draft / "buildah")
            _finish_python(draft / "python")
            shutil.rmtree(draft / "scratch")
            draft.rename(place)
    return Tools(place / "buildah", place / "python", cache)


def _finish_builder(root: Path) -> None:
    """Do what packages' scripts and a running system would have done."""
    for name in _POINTS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\n")
    (root / "etc" / "containers").mkdir(exist_ok=True)
    policy = {"default": [{"type": "insecureAcceptAnything"}]}
    (root / "etc" / "containers" / "policy.json").write_text(json.dumps(policy))
    # uv trusts the certificates that it brings along, and a company's own are not among them.
    (root / "uv.toml").write_text("system-certs = true\n")


def _finish_python(root: Path) -> None:
    for name in ("dev", "proc", "root", "run", "sys", "tmp"):
        (root / name).mkdir(exist_ok=True)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\n")
    if not (root / "usr" / "bin" / "sh").exists():
        (root / "usr" / "bin" / "sh").symlink_to("dash")
    # Python's own image has it there.
    local = root / "usr" / "local" / "bin"
    local.mkdir(parents=True, exist_ok=True)
    (local / "python3").symlink_to("/usr/bin/python3")
    (local / "python").symlink_to("python3")


class Builder:
    """A builder with a storage of its own.

    Attributes:
        shared: a folder that it sees at `SHARED`.
    """

    def __init__(self, tools: Tools, folder: Path) -> None:
        self._tools = tools
        self._storage = folder / "storage"
        self.shared = folder / "shared"
        self._containers: dict[str, str] = {}
        for made in (self._storage, self.shared):
            made.mkdir()
        self._driver = "overlay"
        try:
            self("info")
        except BuildError:
            # No overlay in a user namespace here, or none on this file system: copies will do.
            self._driver = "vfs"

    def remove(self) -> None:
        """Delete all images and containers."""
        tree.remove(self._storage)

    def build(self, file: str, name: str, context: str = ".", *, seconds: float = _SECONDS) -> str:
        """Build a Containerfile as it stands, and give what was printed.

        Args:
            file: the Containerfile; relative paths are below the repository's root.
            name: the image's name.
            context: the folder that it copies from.
            seconds: how long it may take.
        """
        volumes = (
            f"/certificates.crt:{BUNDLE}:ro",
            "/uv.toml:/etc/uv/uv.toml:ro",
        )
        return self(
            *("build", "--pull=never", f"--file={file}", f"--tag={name}"),
            *(f"--volume={volume}" for volume in volumes),
            context,
            seconds=seconds,
        )

    def config(self, image: str) -> dict[str, Any]:
        """Give an image's configuration, as the OCI image specification has it."""
        found: dict[str, Any] = json.loads(self("inspect", "--type=image", image))
        config: dict[str, Any] = found["OCIv1"]["config"]
        return config

    def _container(self, image: str) -> str:
        # One for each image: without overlays every container is a copy of all files.
        if image not in self._containers:
            self._containers[image] = self("from", "--pull=never", image, seconds=_SECONDS).strip()
        return self._containers[image]

    @contextlib.contextmanager
    def running(
        self,
        image: str,
        *arguments: str,
        entrypoint: Sequence[str] | None = None,
        volumes: Mapping[str, PurePosixPath] | None = None,
        stdin: IO[str] | None = None,
        stdout: IO[str] | int,
    ) -> Iterator[subprocess.Popen[str]]:
        """Start an image's entry point, and kill it with all its processes at the end.

        Args:
            image: its name.
            arguments: for the entry point, in place of its own.
            entrypoint: in place of the image's.
            volumes: what the container shall see, by its path there: paths that the builder sees.
            stdin: nothing if not given.
            stdout: where it prints.
        """
        config = self.config(image)
        own = entrypoint is None and not arguments
        program = config.get("Entrypoint", []) if entrypoint is None else entrypoint
        started = [*program, *(config.get("Cmd", []) if own else arguments)]
        given = [f"--volume={outer}:{inner}" for inner, outer in (volumes or {}).items()]
        command = ["run", *given, self._container(image), "--", *started]
        with self._process(
            command, stdin=stdin or subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def __call__(self, *arguments: str, seconds: float = 120) -> str:
        """Run buildah and give what it printed on standard output.

        Raises:
            BuildError: it failed or took too long.
        """
        with self._process(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                output, errors = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise BuildError(
                    f"buildah {' '.join(arguments)} took more than {seconds:.0f} s"
                ) from None
        if process.returncode:
            said = f"{output}\n{errors}".strip()[-_EVIDENCE:]
            raise BuildError(f"buildah {' '.join(arguments)} failed: {said}")
        return output

    def _process(self, arguments: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        certificates = os.environ.get("SSL_CERT_FILE") or BUNDLE
        bound = {
            "--bind": {
                self._storage: "/storage",
                self.shared: SHARED,
                self._tools.cache: "/var/tmp",
            },
            "--ro-bind": {
                ROOT: "/source",
                self._tools.python: PYTHON,
                "/sys": "/sys",
                "/etc/hosts": "/etc/hosts",
                "/etc/resolv.conf": "/etc/resolv.conf",
                certificates: "/certificates.crt",
            },
        }
        filter_ = _filter()
        command = [
            *(str(bubblewrap.find()), "--die-with-parent", "--clearenv"),
            *("--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL"),
            *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--seccomp", str(filter_)),
            *("--ro-bind", str(self._tools.buildah), "/"),
            *("--proc", "/proc", "--dev", "/dev"),
            *("--tmpfs", "/tmp", "--tmpfs", "/root", "--tmpfs", "/run"),
            *(
                word
                for kind, pairs in bound.items()
                for outer, inner in pairs.items()
                for word in (kind, str(outer), str(inner))
            ),
            *("--setenv", "PATH", "/usr/sbin:/usr/bin", "--setenv", "HOME", "/root"),
            *("--setenv", "BUILDAH_ISOLATION", "chroot"),
            # Its user namespace is made already.
            *("--setenv", "_CONTAINERS_USERNS_CONFIGURED", "done"),
            *("--chdir", "/source", "--", "buildah", f"--storage-driver={self._driver}"),
            *("--root=/storage/graph", "--runroot=/storage/run"),
            *arguments,
        ]
        try:
            return subprocess.Popen(
                command,
                **{"stdin": subprocess.DEVNULL, **options},
                pass_fds=(filter_,),
                start_new_session=True,
                text=True,
                errors="replace",
            )
        finally:
            os.close(filter_)


def _filter() -> int:
    """Give a descriptor of a seccomp filter by which setgroups(2) does nothing and succeeds.

    Buildah sets the groups of each process that it starts, to the group that it has already. The
    kernel refuses the call as such to those without subordinate ids.
    """
    number, machine = _SETGROUPS[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06
    allow, error = 0x7FFF0000, 0x00050000
    program = [
        (load, 0, 0, 4),
        (equal, 0, 3, machine),
        (load, 0, 0, 0),
        (equal, 0, 1, number),
        (give, 0, 0, error),
        (give, 0, 0, allow),
    ]
    descriptor = os.memfd_create("setgroups", os.MFD_CLOEXEC)
    os.write(descriptor, b"".join(struct.pack("HBBI", *line) for line in program))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
