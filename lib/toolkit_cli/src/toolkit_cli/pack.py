"""Write `charms/NAME/NAME.charm`, laid out as charmcraft's uv plugin does.

Inside: metadata.yaml, config.yaml, actions.yaml and manifest.yaml out of charmcraft.yaml; `src/`;
`dispatch`; and `venv/` with the packages of the charm's lock and the shared libraries. Wheels are
resolved for the interpreter at hand, or for a base and an architecture, whatever runs here.

The same input gives the same bytes: entries are sorted, times are fixed, and what installers
note about this machine is left out. The digest of the input is the zip's comment, so that an
unchanged charm is not packed again. Layout: https://canonical-charmcraft.readthedocs-hosted.com
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from uv import find_uv_bin

from minijuju.archive import packed_documents
from toolkit_cli.errors import ToolkitError

LAYOUT = 1  # raised when what is written changes for the same input
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
BASES = {"ubuntu@24.04": "3.12"}
PLATFORMS = {"amd64": "x86_64-manylinux_2_39", "arm64": "aarch64-manylinux_2_39"}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
DISPATCH = """\
#!/bin/sh
# Run the charm by the interpreter of the machine, on the packages that came with it.
set -e
here="$(dirname "$(realpath "$0")")"
python="$here/venv/bin/python"
if [ ! -e "$python" ]; then
    mkdir -p "$here/venv/bin"
    ln -s "$(command -v python3)" "$python"
fi
export PYTHONPATH="$here/lib:$here/src"
exec "$python" "$here/src/charm.py"
"""


@dataclass(frozen=True, slots=True)
class Target:
    """For which Python and machine the packages are.

    Attributes:
        python: `3.12`, say.
        architecture: `amd64` or `arm64`.
        base: the charm's base, or None for the interpreter at hand.
    """

    python: str
    architecture: str
    base: str | None = None

    @classmethod
    def here(cls) -> Target:
        """The interpreter that runs this."""
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return cls(version, MACHINES.get(platform.machine(), platform.machine()))

    @classmethod
    def of_base(cls, base: str, architecture: str | None) -> Target:
        """A base such as `ubuntu@24.04`; the architecture defaults to this machine's.

        Raises:
            ToolkitError: the base or the architecture is not known.
        """
        architecture = architecture or MACHINES.get(platform.machine(), platform.machine())
        if base not in BASES:
            raise ToolkitError(f"cannot pack for base {base!r}; known are: {', '.join(BASES)}")
        if architecture not in PLATFORMS:
            known = ", ".join(PLATFORMS)
            raise ToolkitError(
                f"cannot pack for architecture {architecture!r}; known are: {known}"
            )
        return cls(BASES[base], architecture, base)

    def install_options(self) -> list[str]:
        """What tells uv to take wheels for this target."""
        options = ["--python-version", self.python]
        if self.base:
            options += ["--python-platform", PLATFORMS[self.architecture]]
        return options


def pack(folder: Path, target: Target, *, progress: Callable[[str], None] | None = None) -> Path:
    """Pack the charm in `folder`; return the `.charm` file.

    Raises:
        ToolkitError: charmcraft.yaml, the lock or a source is missing or wrong, or uv failed.
    """
    tell = progress or (lambda _text: None)
    charmcraft = _charmcraft(folder)
    name = str(charmcraft["name"])
    archive = folder / f"{name}.charm"
    digest = input_digest(folder, target)
    if packed_digest(archive) == digest:
        tell("unchanged")
        return archive
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as temporary:
        tree = Path(temporary) / "tree"
        tree.mkdir()
        tell(f"installing packages for Python {target.python}, {target.architecture}")
        _install(folder, tree / "venv", target)
        tell("writing")
        _write_metadata(tree, charmcraft, target)
        shutil.copytree(folder / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
        dispatch = tree / "dispatch"
        dispatch.write_text(DISPATCH)
        dispatch.chmod(0o755)
        for extra, place in (("README.md", folder), ("LICENSE", folder.parent.parent)):
            if (place / extra).is_file():
                shutil.copyfile(place / extra, tree / extra)
        finished = Path(temporary) / archive.name
        _zip(tree, finished, comment=digest)
        finished.replace(archive)
    tell(f"{archive.stat().st_size / 1e6:.1f} MB")
    return archive


def packed_digest(archive: Path) -> str | None:
    """The digest of the input that an archive was made of; None if there is no whole archive."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.comment.decode()
    except (FileNotFoundError, zipfile.BadZipFile):
        return None


def input_digest(folder: Path, target: Target) -> str:
    """SHA-256 over all that goes into the archive: sources, lock, local libraries, target."""
    digest = hashlib.sha256(f"{LAYOUT} {target} {DISPATCH}".encode())
    for part in [folder, *_local_libraries(folder)]:
        for file in _sources(part):
            digest.update(f"\0{part.name}/{file.relative_to(part)}\0".encode())
            digest.update(file.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def _charmcraft(folder: Path) -> dict[str, Any]:
    file = folder / "charmcraft.yaml"
    try:
        loaded = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        raise ToolkitError(f"{folder} is no charm: it has no charmcraft.yaml") from None
    except yaml.YAMLError as error:
        raise ToolkitError(f"{file} is not YAML: {error}") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("name"), str):
        raise ToolkitError(f"{file} has no name")
    for needed in ("uv.lock", "pyproject.toml", "src/charm.py"):
        if not (folder / needed).is_file():
            raise ToolkitError(f"{folder} has no {needed}")
    return loaded


def _local_libraries(folder: Path) -> list[Path]:
    """The folders of this repository that the charm's pyproject.toml names as path sources."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    sources = project.get("tool", {}).get("uv", {}).get("sources", {})
    paths = [
        source["path"]
        for source in sources.values()
        if isinstance(source, dict) and "path" in source
    ]
    return sorted((folder / path).resolve() for path in paths)


def _sources(folder: Path) -> Iterator[Path]:
    for name in ("charmcraft.yaml", "pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        if (folder / name).is_file():
            yield folder / name
    for file in sorted((folder / "src").rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file


def _install(folder: Path, venv: Path, target: Target) -> None:
    site = venv / "lib" / f"python{target.python}" / "site-packages"
    requirements = venv.parent.parent / "requirements.txt"
    _uv(
        "export", "--frozen", "--no-dev", "--no-emit-project", "--no-emit-local", "--quiet",
        "--project", str(folder), "--output-file", str(requirements),
    )  # fmt: skip
    common = [
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(site),
        "--python",
        sys.executable,
    ]
    _uv(
        *common, *target.install_options(), "--only-binary", ":all:", "--require-hashes",
        "--requirement", str(requirements),
    )  # fmt: skip
    for library in _local_libraries(folder):
        _uv(*common, *target.install_options(), str(library))
    shutil.rmtree(site / "bin", ignore_errors=True)
    (site / ".lock").unlink(missing_ok=True)
    for record in site.glob("*.dist-info/RECORD"):
        _forget_machine(record)
    lines = [
        "home = /usr/bin",
        "include-system-site-packages = false",
        f"version = {target.python}",
    ]
    (venv / "pyvenv.cfg").write_text("\n".join(lines) + "\n")


def _forget_machine(record: Path) -> None:
    """Take out of a package's record what its installer noted about this machine."""
    for name in ("direct_url.json", "uv_cache.json", "INSTALLER", "REQUESTED"):
        (record.parent / name).unlink(missing_ok=True)
    kept = [
        line
        for line in record.read_text().splitlines()
        if (record.parent.parent / line.split(",")[0]).exists() and not line.startswith("../")
    ]
    record.write_text("\n".join(sorted(kept)) + "\n")


def _write_metadata(tree: Path, charmcraft: dict[str, Any], target: Target) -> None:
    base = target.base or str(charmcraft.get("base") or next(iter(BASES)))
    distribution, _, channel = base.partition("@")
    manifest = {
        "charmcraft-version": "4.5.0",
        "bases": [
            {"name": distribution, "channel": channel, "architectures": [target.architecture]}
        ],
    }
    for name, document in {**packed_documents(charmcraft), "manifest.yaml": manifest}.items():
        (tree / name).write_text(yaml.safe_dump(document, sort_keys=False))


def _zip(tree: Path, archive: Path, *, comment: str) -> None:
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as opened:
        for file in files:
            info = zipfile.ZipInfo(str(file.relative_to(tree)), ZIP_EPOCH)
            mode = 0o755 if os.access(file, os.X_OK) else 0o644
            info.external_attr = (0o100000 | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(info, file.read_bytes())
        opened.comment = comment.encode()


def _uv(*arguments: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(
        [find_uv_bin(), *arguments], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        lines = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise ToolkitError(f"uv {arguments[0]} failed with exit code {done.returncode}:\n{lines}")
