"""Charms, from a folder or a `.charm` file, in a content-addressed store ready to run.

A packed charm is unpacked as it is; it carries its packages for one minor version of Python. A
source folder (charmcraft.yaml, pyproject.toml, uv.lock) becomes what charmcraft would have made
of it, except that its packages are an environment for the interpreter at hand, built by uv
and shared by every charm with the same lock. Bytecode is compiled once, here.

Archives come from anywhere, so nothing but plain files and folders is taken out of one, nothing
outside the target is written, and its size is bounded before anything is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from minijuju import documents, golang, interpreters
from sandbox.errors import ImageError
from sandbox.images import ImageStore
from sandbox.spec import Image

MAX_BYTES = 2 * 1024**3
MAX_FILES = 100_000
MAX_NAME = 1024
_CHUNK = 1024 * 1024
_RECIPE = 2
"""Part of every key: raised when the same charm is unpacked in another way."""

_LEFT_OUT = {"__pycache__", "build", "dist", "node_modules", "tests", "venv"}
_METADATA_KEYS = (
    *("name", "summary", "description", "assumes", "charm-user", "containers", "resources"),
    *("provides", "requires", "peers", "storage", "devices", "extra-bindings", "subordinate"),
    "terms",
)
_DISPATCH = """\
#!/bin/sh
here=$(dirname "$(realpath "$0")")
export PYTHONPATH="$here/lib:$here/src"
exec "$here/venv/bin/python" "$here/src/charm.py"
"""


class ArchiveError(Exception):
    """A charm that cannot be used: what was given, what is wrong with it, what to do."""


@dataclass(frozen=True, slots=True)
class UnpackedCharm:
    """A charm in the store.

    Attributes:
        path: The unpacked folder; never written to again.
        digest: SHA-256 of what it was made of.
        environment: Reference of the environment that is its `venv`; None if it brings its own.
        python: The minor version its own packages are for (`3.12`); None if it has none.
    """

    path: Path
    digest: str
    environment: str | None
    python: str | None

    @classmethod
    def load(cls, path: Path) -> UnpackedCharm:
        """Read about a charm in the store, by the folder that `CharmStore.add` returned.

        Raises:
            ArchiveError: It is not in the store any more.
        """
        try:
            about = json.loads((path.parent / "unpacked.json").read_text())
        except FileNotFoundError:
            raise ArchiveError(f"{path} is no unpacked charm; refresh the application") from None
        return cls(path, about["digest"], about["environment"], about["python"])

    def interpreter(self) -> interpreters.Python:
        """The interpreter to run it on. Raises PythonError with the version it needs."""
        return interpreters.find(self.python) if self.python else interpreters.own()

    def image(self, images: ImageStore) -> Image | None:
        """The environment to mount as `venv`. Raises ArchiveError if it was deleted."""
        if self.environment is None:
            return None
        image = images.get(self.environment)
        if image is None:
            raise ArchiveError(
                f"the environment {self.environment} of the charm {self.path} is gone; "
                "refresh the application to build it again"
            )
        return image


class CharmStore:
    """Unpacked charms below `root`; several processes may use it at once."""

    def __init__(self, root: Path, images: ImageStore | None = None) -> None:
        self.root = root
        self.images = images or ImageStore()

    def add(
        self, path: Path, *, progress: Callable[[str], None] = lambda message: None
    ) -> UnpackedCharm:
        """Put a charm folder or `.charm` file into the store, or find it there. Blocking.

        Raises:
            ArchiveError: It is no charm, is damaged or unsafe, or its environment cannot be built.
            PythonError: This machine has no Python of the version it needs.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.root))
        try:
            folder = draft / "charm"
            environment = None
            if path.is_dir():
                digest = _copy(path, folder, source=_is_source(path))
                if _is_source(path):
                    environment = self._complete(path, folder, progress)
            else:
                digest = _unpack(path, folder)
            return self._keep(path, draft, digest, environment, progress)
        finally:
            if draft.exists():
                golang.remove_tree(draft)

    def _keep(
        self,
        path: Path,
        draft: Path,
        digest: str,
        environment: str | None,
        progress: Callable[[str], None],
    ) -> UnpackedCharm:
        """Give the draft its place, unless the same charm is there."""
        folder = draft / "charm"
        _check_runnable(path, folder)
        version = _packages_python(folder)
        about = {"digest": digest, "environment": environment, "python": version}
        key = hashlib.sha256(json.dumps([_RECIPE, about]).encode()).hexdigest()
        place = self.root / key
        if not place.is_dir():
            interpreter = interpreters.find(version) if version else interpreters.own()
            progress(f"compiling {path.name} for Python {interpreter.minor}")
            _settle_venv(folder, interpreter)
            _compile(folder, interpreter)
            (draft / "unpacked.json").write_text(json.dumps(about))
            try:
                draft.rename(place)
            except OSError:
                if not place.is_dir():
                    raise
                # Another process has put the same charm there in the meantime.
        return UnpackedCharm(place / "charm", digest, environment, version)

    def _complete(self, path: Path, folder: Path, progress: Callable[[str], None]) -> str | None:
        """Make of a copied source folder what charmcraft packs; its environment's reference."""
        try:
            craft = documents.load((path / "charmcraft.yaml").read_bytes(), "charmcraft.yaml")
        except documents.DocumentError as error:
            raise ArchiveError(f"{path}: {error}") from error
        if not isinstance(craft, dict):
            raise ArchiveError(f"{path / 'charmcraft.yaml'} is not a mapping")
        for name, document in packed_documents(craft).items():
            if not (folder / name).exists():
                (folder / name).write_text(yaml.safe_dump(document, sort_keys=False))
        environment = None
        if (path / "uv.lock").is_file():
            try:
                built = self.images.build(path, project=False, progress=progress)
                environment = built.reference
            except ImageError as error:
                raise ArchiveError(f"{path}: {error}") from error
        elif (path / "pyproject.toml").is_file() or (path / "requirements.txt").is_file():
            raise ArchiveError(
                f"{path} needs Python packages but has no uv.lock: make one (`uv lock`), or pack "
                "the charm and deploy the .charm file"
            )
        if environment and not (folder / "dispatch").exists():
            dispatch = folder / "dispatch"
            dispatch.write_text(_DISPATCH)
            dispatch.chmod(0o755)
        return environment


def packed_documents(craft: dict[str, Any]) -> dict[str, Any]:
    """The files that charmcraft makes of a unified charmcraft.yaml, by name, parsed."""
    metadata = {key: craft[key] for key in _METADATA_KEYS if key in craft}
    if "title" in craft:
        metadata["display-name"] = craft["title"]
    found: dict[str, Any] = {"metadata.yaml": metadata}
    for part in ("config", "actions"):
        if craft.get(part):
            found[f"{part}.yaml"] = craft[part]
    if isinstance(base := craft.get("base"), str):
        name, _, channel = base.partition("@")
        found["manifest.yaml"] = {"bases": [{"name": name, "channel": channel}]}
    return found


def _is_source(path: Path) -> bool:
    return (path / "charmcraft.yaml").is_file() and not (path / "metadata.yaml").is_file()


def _check_runnable(path: Path, folder: Path) -> None:
    if not (folder / "metadata.yaml").is_file():
        raise ArchiveError(f"{path} is no charm: it has no metadata.yaml or charmcraft.yaml")
    dispatch = folder / "dispatch"
    if dispatch.is_file():
        if not os.access(dispatch, os.X_OK):
            raise ArchiveError(f"{path}: dispatch is not executable")
    elif not (folder / "hooks").is_dir():
        raise ArchiveError(f"{path} has nothing to run: no dispatch, no hooks and no uv.lock")


def _packages_python(folder: Path) -> str | None:
    """The minor version of Python that a packed charm's packages were installed for."""
    found = sorted(
        entry.name.removeprefix("python")
        for entry in folder.glob("venv/lib/python3.*")
        if entry.is_dir()
    )
    return found[-1] if found else None


def _settle_venv(folder: Path, interpreter: interpreters.Python) -> None:
    """Let the charm's virtual environment use this interpreter's library.

    It was packed for a machine whose Python is in /usr; another one would be taken for that.
    """
    config = folder / "venv" / "pyvenv.cfg"
    if not config.is_file():
        return
    lines = [
        f"home = {interpreter.executable.parent}"
        if line.partition("=")[0].strip() == "home"
        else line
        for line in config.read_text().splitlines()
    ]
    config.write_text("\n".join(lines) + "\n")


def _compile(folder: Path, interpreter: interpreters.Python) -> None:
    # Some packages ship files that no Python 3 compiles; they are compiled by nobody then. The
    # packages are the store's and never change: whether their files are still the same is not
    # checked. Of the rest each unit has a copy, which its charm may write to (any-charm does).
    # One process: with -j the others would outlive a controller that is killed, for ever.
    packages = folder / "venv"
    python = (str(interpreter.executable), "-I", "-m", "compileall", "-qq")
    own = ("-x", f"^{re.escape(str(packages))}/", str(folder))
    compiled: list[tuple[str, tuple[str, ...]]] = [("checked-hash", own)]
    if packages.is_dir():  # Those of a source folder are an image, compiled as it was built.
        compiled.append(("unchecked-hash", (str(packages),)))
    for mode, places in compiled:
        subprocess.run(
            [*python, "--invalidation-mode", mode, *places],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=1800,
            check=False,
        )


# Folders.


def _copy(top: Path, target: Path, *, source: bool) -> str:
    """Copy a charm folder to `target`; return a SHA-256 over names, modes and contents.

    Links to files of the same charm are copied as files; any other link, and whatever is neither
    file nor folder, is refused.
    """
    top = top.resolve()
    target.mkdir(mode=0o700)
    whole = hashlib.sha256()
    count = size = 0
    for path in _walk(top, source=source):
        name = path.relative_to(top)
        real = path.resolve()
        if not real.is_relative_to(top) or not real.is_file():
            raise ArchiveError(f"{path} is neither a file of this charm nor a folder")
        count, size = count + 1, size + real.stat().st_size
        if count > MAX_FILES or size > MAX_BYTES:
            raise ArchiveError(
                f"{top} has more than {MAX_FILES} files or {MAX_BYTES} bytes: is it a charm?"
            )
        executable = bool(real.stat().st_mode & 0o100)
        place = target / name
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(real, place)
        place.chmod(0o755 if executable else 0o644)
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(json.dumps([str(name), executable, digest]).encode() + b"\n")
    return whole.hexdigest()


def _walk(top: Path, *, source: bool) -> Iterator[Path]:
    """The files of a charm folder in a stable order; of a source folder, what is packed of it."""
    for parent, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if _counts(name, source=source))
        for name in folders:
            if Path(parent, name).is_symlink():
                raise ArchiveError(f"{Path(parent, name)} is a link; a charm holds plain folders")
        yield from (Path(parent, name) for name in sorted(files) if _counts(name, source=source))


def _counts(name: str, *, source: bool) -> bool:
    if not source:
        return name not in (".git", "__pycache__")
    return not (
        name.startswith(".") or name in _LEFT_OUT or name.endswith((".charm", ".egg-info"))
    )


# Archives.


def _unpack(path: Path, target: Path) -> str:
    """Unpack a `.charm` file to `target`; return its SHA-256."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            with zipfile.ZipFile(file) as archive:
                entries = _checked(path, archive.infolist())
                target.mkdir(mode=0o700)
                for entry in entries:
                    _extract(archive, entry, target)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        # RuntimeError: encrypted. NotImplementedError: a method of compression unknown here.
        raise ArchiveError(f"{path} is no readable charm archive: {error}") from error
    except OSError as error:
        raise ArchiveError(f"{path} cannot be unpacked: {error}") from error
    return digest


def _checked(path: Path, entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """Refuse an archive before anything of it is written."""
    if len(entries) > MAX_FILES:
        raise ArchiveError(f"{path} holds {len(entries)} entries; at most {MAX_FILES} are taken")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES:
        raise ArchiveError(f"{path} would unpack to {total} bytes; at most {MAX_BYTES} are taken")
    seen = set()
    for entry in entries:
        # What the archive says, before zipfile cut it at a NUL or turned its slashes.
        name = entry.orig_filename
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not _safe(name):
            raise ArchiveError(f"{path}: the entry {name!r} has an unsafe name")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (
            kind and stat.S_ISDIR(kind) != entry.is_dir()
        ):
            raise ArchiveError(f"{path}: the entry {name!r} is neither a file nor a folder")
        plain = name.rstrip("/")
        if plain in seen:
            raise ArchiveError(f"{path}: the entry {name!r} is there twice")
        seen.add(plain)
    return entries


def _safe(name: str) -> bool:
    parts = name.removesuffix("/").split("/")
    return (
        0 < len(name.encode(errors="surrogatepass")) <= MAX_NAME
        and "\\" not in name
        and all(ord(letter) >= 32 and letter != "\x7f" for letter in name)
        and all(part not in ("", ".", "..") and len(part) <= 255 for part in parts)
    )


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    place = target / PurePosixPath(entry.orig_filename)
    mode = (entry.external_attr >> 16) & 0o777
    if entry.is_dir():
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        return
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(place, flags, (mode or 0o644) | 0o600)
    with archive.open(entry) as source, os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
        os.fchmod(file.fileno(), (mode or 0o644) | 0o600)
