"""Process images: environments built by uv from a folder with pyproject.toml and uv.lock.

Content-addressed: the same sources, lock, Python and machine give the same image, built once,
whoever asks. An image's folder appears under its name when it is whole, never before.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import uv

from sandbox import tree
from sandbox.errors import ImageError
from sandbox.spec import Image

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(r"process\.local/([a-z0-9][a-z0-9._-]{0,100})@sha256:([0-9a-f]{64})")
# Part of every digest: raised when the same input is built in another way.
_RECIPE = 2
_LEFT_OUT = {"__pycache__", "build", "dist", "node_modules", "tests", "Containerfile"}
_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What would make uv build another environment than the one asked for.
_FOREIGN = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_PROJECT", "UV_NO_SYNC")


def store_root() -> Path:
    """The folder of built images and tools: SANDBOX_STORE, else the user's cache."""
    if given := os.environ.get("SANDBOX_STORE"):
        return Path(given).absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "sandbox"


def find_uv() -> str:
    """The uv to build with: the one of the package `uv`, else PATH's. Raises ImageError."""
    try:
        return uv.find_uv_bin()
    except FileNotFoundError:
        found = shutil.which("uv")
    if found is None:
        raise ImageError("uv is needed to build images: pip install uv")
    return found


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image's pyproject.toml says of it.

    Attributes:
        name: the project's name.
        prefix, env, preload: the table `[tool.process-image]`; see `sandbox.spec.Image`.
    """

    name: str
    prefix: str
    env: dict[str, str]
    preload: tuple[str, ...]


def read_recipe(folder: Path) -> Recipe:
    """Read and check a folder's pyproject.toml. Raises ImageError with field and reason."""
    path = folder / "pyproject.toml"
    for needed in (path, folder / "uv.lock"):
        if not needed.is_file():
            raise ImageError(f"{folder} is no process image: it has no {needed.name}")
    try:
        data = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImageError(f"{path}: {error}") from error
    name = data.get("project", {}).get("name")
    if not isinstance(name, str):
        raise ImageError(f"{path}: project.name is missing")
    name = re.sub(r"[-_.]+", "-", name).lower()
    if not _REFERENCE.fullmatch(f"process.local/{name}@sha256:{'0' * 64}"):
        raise ImageError(f"{path}: project.name {name!r} cannot name an image")
    table = data.get("tool", {}).get("process-image", {})
    unknown = set(table) - {"prefix", "env", "preload"}
    if unknown:
        raise ImageError(f"{path}: tool.process-image has no option {sorted(unknown)}")
    prefix = table.get("prefix", "/opt/venv")
    if not isinstance(prefix, str) or not _plain_path(prefix):
        raise ImageError(
            f"{path}: tool.process-image.prefix {prefix!r} is not a plain absolute path"
        )
    env = table.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise ImageError(f"{path}: tool.process-image.env is not a table of strings")
    preload = table.get("preload", [])
    if not isinstance(preload, list) or not all(_is_module(module) for module in preload):
        raise ImageError(f"{path}: tool.process-image.preload is not a list of module names")
    env = {"PATH": f"{prefix}/bin:{_USUAL_PATH}", **env}
    return Recipe(name, prefix, env, tuple(preload))


def _plain_path(path: str) -> bool:
    pure = PurePosixPath(path)
    return pure.is_absolute() and ".." not in pure.parts and len(pure.parts) > 1


def _is_module(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


class ImageStore:
    """The images built on this machine; several processes may use one store at once.

    Args:
        root: the store's folder; by default SANDBOX_STORE or the user's cache.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or store_root()).absolute()

    def build(
        self,
        folder: Path,
        *,
        project: bool = True,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Image:
        """Build the image of `folder`, or find it built already. Blocks.

        Args:
            folder: has pyproject.toml and uv.lock, and `[tool.process-image]` if it is to differ
                from the defaults.
            project: False for an environment of what the project depends on, without the project
                itself: its sources may change then, and the image stays the same.
            progress: gets uv's lines as they come.

        Raises:
            ImageError: the folder is not an image's, or uv failed; has uv's last lines.
        """
        folder = folder.resolve()
        recipe = read_recipe(folder)
        digest = _digest(folder, project=project)
        reference = f"process.local/{recipe.name}@sha256:{digest}"
        place = self._place(recipe.name, digest)
        if not place.is_dir():
            with self._lock(recipe.name, digest, progress) as lock:
                if not place.is_dir():
                    progress(f"building image {recipe.name}")
                    self._build(folder, recipe, digest, lock, progress, project=project)
        image = self.get(reference)
        if image is None:
            raise ImageError(f"{reference} was taken away while it was being built")
        return image

    def get(self, reference: str) -> Image | None:
        """The built image of a reference `process.local/NAME@sha256:HEX`; None if not built."""
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            return None
        place = self._place(match[1], match[2])
        try:
            data = json.loads((place / "image.json").read_text())
        except FileNotFoundError:
            return None
        return Image(reference, place / "env", data["prefix"], data["env"], tuple(data["preload"]))

    def images(self) -> list[Image]:
        """Every built image."""
        found = (self.root / "images").glob("*/*/image.json")
        references = (
            f"process.local/{p.parent.parent.name}@sha256:{p.parent.name}" for p in found
        )
        images = (self.get(reference) for reference in sorted(references))
        return [image for image in images if image is not None]

    def prune(self, keep: Collection[str]) -> list[str]:
        """Delete the images whose reference is not in `keep`; the references deleted.

        The caller names what its deployments still use: a store does not know them.
        """
        gone = []
        for image in self.images():
            match = _REFERENCE.fullmatch(image.reference)
            if image.reference in keep or match is None:
                continue
            with self._lock(match[1], match[2], lambda _: None):
                place = self._place(match[1], match[2])
                # Renamed first, so that a deletion cut in the middle leaves no half image.
                doomed = place.with_name(f".{place.name}.gone")
                tree.remove(doomed)
                place.rename(doomed)
                tree.remove(doomed)
            gone.append(image.reference)
        return gone

    def _place(self, name: str, digest: str) -> Path:
        return self.root / "images" / name / digest

    @contextlib.contextmanager
    def _lock(self, name: str, digest: str, progress: Callable[[str], None]) -> Iterator[int]:
        """Hold the lock of one image; yields its descriptor."""
        parent = self.root / "images" / name
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(parent / f".{digest}.lock", flags, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress(f"waiting for another build of image {name}")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _build(
        self,
        folder: Path,
        recipe: Recipe,
        digest: str,
        lock: int,
        progress: Callable[[str], None],
        *,
        project: bool,
    ) -> None:
        """Build into a draft beside the image's place and rename it. The lock is held."""
        place = self._place(recipe.name, digest)
        for stale in place.parent.glob(f".{digest}.draft-*"):
            tree.remove(stale)
        draft = Path(tempfile.mkdtemp(prefix=f".{digest}.draft-", dir=place.parent))
        try:
            environment = draft / "env"
            python = _interpreter()
            run = _Uv(lock, progress)
            # Or uv would take a wheel that it built of earlier sources from its cache.
            refresh = [f"--refresh-package={name}" for name, _ in _local_packages(folder)]
            run("venv", "--relocatable", "--python", python, str(environment), cwd=folder)
            run(
                *("sync", "--frozen", "--no-dev", "--no-editable", "--compile-bytecode"),
                *("--python", python, *refresh, *([] if project else ["--no-install-project"])),
                cwd=folder,
                environment=environment,
            )
            _compile(environment / "share", lock)
            data = {"prefix": recipe.prefix, "env": recipe.env, "preload": recipe.preload}
            (draft / "image.json").write_text(json.dumps(data))
            draft.rename(place)
        finally:
            tree.remove(draft)


def _compile(data: Path, lock: int) -> None:
    """Compile the modules that an image carries as data, as uv does with those of packages.

    One that is not for this Python stays as it is. The image's lock is inherited, as by uv.
    """
    if data.is_dir():
        python = str(data.parent / "bin/python")
        command = [python, "-I", "-m", "compileall", "-q", "-q", str(data)]
        subprocess.run(command, stdin=subprocess.DEVNULL, pass_fds=(lock,), check=False)


class _Uv:
    """Runs uv. It inherits the image's lock, so that no second build starts while it runs on."""

    def __init__(self, lock: int, progress: Callable[[str], None]) -> None:
        self._lock = lock
        self._progress = progress

    def __call__(self, *arguments: str, cwd: Path, environment: Path | None = None) -> None:
        env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        env |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
        # An index that falters for a moment fails no build (uv's own default is 3).
        env.setdefault("UV_HTTP_RETRIES", "8")
        if environment is not None:
            env["UV_PROJECT_ENVIRONMENT"] = str(environment)
        last: deque[str] = deque(maxlen=30)
        process = subprocess.Popen(
            [find_uv(), *arguments],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(self._lock,),
            text=True,
            errors="replace",
        )
        with process:
            try:
                for line in process.stdout or ():
                    last.append(line.rstrip())
                    self._progress(line.rstrip())
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise ImageError(
                f"uv {arguments[0]} failed in {cwd} (exit code {process.returncode}):\n"
                + "\n".join(last)
            )


def _interpreter() -> str:
    """The Python that runs this, outside of any environment: containers see it at this path."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in (version, "python3"):
        candidate = Path(sys.base_prefix, "bin", name)
        if os.access(candidate, os.X_OK):
            return str(candidate)
    raise ImageError(f"no {version} in {sys.base_prefix}/bin")


def _digest(folder: Path, *, project: bool = True) -> str:
    """The name of what would be built: sources, lock, local dependencies, Python and machine."""
    whole = hashlib.sha256()

    def add(*values: object) -> None:
        whole.update(json.dumps([str(value) for value in values]).encode() + b"\n")

    add(_RECIPE, project, platform.machine(), platform.libc_ver(), sys.version, sys.base_prefix)
    for number, source in enumerate([folder, *_local_dependencies(folder)]):
        files = _files(source)
        if source == folder and not project:
            files = [folder / "pyproject.toml", folder / "uv.lock"]
        for path in files:
            # By number, not by name: where the sources lie is not part of what they are.
            name = path.relative_to(source) if path != source else path.name
            add(number, name, path.stat().st_mode & 0o100, _hash(path))
    return whole.hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(source: Path) -> list[Path]:
    """The files of a project that can end up in what is built of it, in a stable order."""
    if source.is_file():
        return [source]
    found = []
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if _counts(name)]
        found += [Path(folder, name) for name in names if _counts(name)]
    return sorted(path for path in found if path.is_file())


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in _LEFT_OUT and not name.endswith(".egg-info")


def _local_dependencies(folder: Path) -> list[Path]:
    """Where the packages lie that the folder's lock takes from this machine, itself apart."""
    return sorted({place for _, place in _local_packages(folder) if place != folder}, key=str)


def _local_packages(folder: Path) -> list[tuple[str, Path]]:
    """Name and place of each package that uv.lock takes from the machine itself."""
    path = folder / "uv.lock"
    try:
        lock: dict[str, Any] = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImageError(f"{path}: {error}") from error
    found = []
    for package in lock.get("package", []):
        for kind in ("directory", "editable", "path", "virtual"):
            where = package.get("source", {}).get(kind)
            if not isinstance(where, str) or where.startswith(("http:", "https:")):
                continue
            local = (folder / where).resolve()
            if not local.exists():
                raise ImageError(f"{path}: {package.get('name')} is not at {local}")
            found.append((package["name"], local))
    return found
