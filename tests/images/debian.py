"""Packages of this machine's own Debian or Ubuntu, unpacked into a folder without root.

apt reads the machine's sources and keys and checks signatures as ever, but keeps its lists and
archives in a folder of the caller's, and believes that nothing is installed, so that a package
comes with everything it depends on. Nothing is installed and no package's script runs.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

_SECONDS = 600
_EVIDENCE = 2000
_MERGED = ("bin", "sbin", "lib", "lib64")


class PackagesError(Exception):
    """Packages could not be had; the message has what apt or dpkg said."""


def missing() -> str:
    """Say what this machine lacks for this; "" if nothing."""
    lacking = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    return f"this machine has no {' and no '.join(lacking)}" if lacking else ""


def release() -> str:
    """Name the release and the machine that packages are for, such as `debian-12-x86_64`."""
    found = platform.freedesktop_os_release()
    return f"{found['ID']}-{found.get('VERSION_ID', 'unstable')}-{platform.machine()}"


def unpack(
    packages: Sequence[str],
    root: Path,
    *,
    scratch: Path,
    progress: Callable[[str], None] = lambda message: None,
) -> None:
    """Unpack packages and what they depend on into the new folder `root`.

    Args:
        packages: their names.
        root: made here, with /bin, /sbin and /lib as links into /usr.
        scratch: a folder for apt's lists, which later calls use again, and its archives.
        progress: is told what goes on.

    Raises:
        PackagesError: apt cannot be reached or refuses, or an archive cannot be unpacked.
    """
    # Of its own: apt names the packages to fetch, and leaves out what it finds there already.
    cache = scratch / root.name
    for folder in (scratch / "lists" / "partial", cache / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (scratch / "status").touch()
    options = [
        f"Dir::State={scratch}",
        f"Dir::State::status={scratch / 'status'}",
        f"Dir::Cache={cache}",
        "APT::Install-Recommends=false",
        # Root's apt would download as a user who cannot enter these folders.
        "APT::Sandbox::User=root",
    ]
    apt = ["apt-get", "-qq", *(f"--option={option}" for option in options)]
    if not any((scratch / "lists").glob("*Packages*")):
        progress("reading the lists of Debian's packages")
        _run([*apt, "update", "--error-on=any"])
    listed = _run([*apt, "--print-uris", "install", *packages])
    # A line is 'URI' NAME SIZE HASH.
    files = {line.split()[1]: int(line.split()[2]) for line in listed.splitlines()}
    megabytes = sum(files.values()) / 1e6
    progress(f"fetching {', '.join(packages)}: {len(files)} packages, {megabytes:.0f} MB")
    _run([*apt, "--yes", "--download-only", "install", *packages])
    root.mkdir()
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in sorted(files):
        _run(["dpkg-deb", "--extract", str(cache / "archives" / name), str(root)])


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackagesError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = f"{done.stdout}\n{done.stderr}".strip()[-_EVIDENCE:]
        raise PackagesError(f"{' '.join(command)} failed ({done.returncode}): {said}")
    return done.stdout
