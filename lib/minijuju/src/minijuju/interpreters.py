"""Interpreters on this machine: a packed charm carries packages for one version of Python."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uv

_PROBE = """
import json, sys
print(json.dumps([list(sys.version_info[:3]), sys.base_prefix]))
"""


class PythonError(Exception):
    """No interpreter of a version; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter: where it is, its version and the folder that holds its library."""

    executable: Path
    version: tuple[int, int, int]
    prefix: Path

    @property
    def minor(self) -> str:
        """Such as `3.12`."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def mounted(self) -> Path | None:
        """The folder that a sandbox must mount for it to run; None where /usr holds it."""
        return None if self.prefix.is_relative_to("/usr") else self.prefix


def own() -> Python:
    """The interpreter that this process runs on, outside any virtual environment."""
    # Known without a process: every controller that starts asks, for several units at once.
    return Python(Path(sys.executable).resolve(), sys.version_info[:3], Path(sys.base_prefix))


@functools.cache
def find(minor: str) -> Python:
    """Find an interpreter of a minor version, such as `3.12`.

    Looked for on PATH, then among pyenv's, then among uv's; the first that runs is taken.

    Raises:
        PythonError: There is none.
    """
    seen = set()
    for candidate in _candidates(minor):
        path = candidate.resolve()
        if path in seen or not os.access(path, os.X_OK):
            continue
        seen.add(path)
        found = own() if path == own().executable else _probe(path)
        if found and found.minor == minor:
            return found
    raise PythonError(
        f"the charm carries packages for Python {minor}, and this machine has no Python {minor} "
        f"(looked on PATH, in {_pyenv()} and among uv's). Install one (`uv python install "
        f"{minor}`, pyenv or your system's packages), or deploy the charm from its source folder."
    )


def _candidates(minor: str) -> Iterator[Path]:
    if sys.version_info[:2] == tuple(int(part) for part in minor.split(".")):
        yield Path(sys.executable)
    for name in (f"python{minor}", "python3"):
        if (found := shutil.which(name)) and not _is_shim(Path(found)):
            yield Path(found)
    if os.access(_pyenv(), os.R_OK | os.X_OK):
        yield from sorted(_pyenv().glob(f"{minor}.*/bin/python{minor}"), reverse=True)
    yield from _managed_by_uv(minor)


def _is_shim(path: Path) -> bool:
    """Whether this is a script that looks for an interpreter at each start, as pyenv's are."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _pyenv() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"


def _managed_by_uv(minor: str) -> list[Path]:
    done = subprocess.run(
        [
            *(uv.find_uv_bin(), "python", "find", "--no-python-downloads", "--no-project"),
            *("--no-config", "--managed-python", minor),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd="/",
    )
    return [Path(done.stdout.strip())] if done.returncode == 0 and done.stdout.strip() else []


def _probe(executable: Path) -> Python | None:
    try:
        done = subprocess.run(
            [str(executable), "-I", "-S", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    version, prefix = json.loads(done.stdout)
    return Python(executable, (version[0], version[1], version[2]), Path(prefix))
