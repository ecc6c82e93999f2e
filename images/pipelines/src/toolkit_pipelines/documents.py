"""The documents of attempts: what the engine, steps and readers have to know of them, as text.

They lie beside the files of runs on the volume, where a step that mounts it and its launcher find
and write them. Where neither files nor the database are on a volume of this service they are in
the database (`store.documents`): so whichever service leads next finds all that it has to know,
and who has lost the database can write none.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from . import confined, disks
from .store.interface import StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_DOCUMENT: Final = 32 * 1024 * 1024
"""Bytes of a document that a step has written and that is read."""
_PAUSE: Final = 1.0
"""Seconds until a database that does not answer is asked again."""


class Kind(enum.StrEnum):
    """What a document is; its home is the attempt's folder, or the run's for a workspace."""

    INPUT = "input"
    """The task, for its launcher; or which claim is deleted."""
    CLAIM = "claim"
    """A launcher has begun the attempt; where it asked for it, its claim."""
    DECLARED = "declared"
    """The list of what a step without the volume will send."""
    LISTED = "listed"
    """The list of what it has sent, once the attempt has ended well."""
    RESULT = "result"
    """How the attempt ended. Written last, so that all else is there for good."""
    WORKSPACE = "workspace"
    """The run's workspace has been made."""


class DocumentError(OSError):
    """A document cannot be read."""


class Documents(Protocol):
    """Where documents are; homes are paths from the pipeline root. All calls block.

    Besides what is said, each may raise OSError (a disk) or StoreError (a database).
    """

    def path(self, home: str, kind: Kind) -> Path | None:
        """Give the file that one is in, or would be; None if it is in none."""
        ...

    def near(self, home: str, kind: Kind) -> bool:
        """Tell whether a call for one takes no time worth a thread; blocks never itself."""
        ...

    def has(self, home: str, kind: Kind) -> bool:
        """Tell whether there is one."""
        ...

    def read(self, home: str, kind: Kind) -> str | None:
        """Give one; None if there is none. DocumentError if a step made something else of it."""
        ...

    def write(self, home: str, kind: Kind, text: str) -> None:
        """Write one, whole or not at all, in the place of one that is there."""
        ...

    def claim(self, home: str, text: str) -> str:
        """Write a claim unless there is one; give the one that is there now."""
        ...

    def drop(self, home: str) -> None:
        """Remove what was declared, if anything was."""
        ...

    def folders(self, run_id: str) -> list[str]:
        """Give the folders of a run that documents know of, relative to the root."""
        ...


class VolumeDocuments:
    """Documents on the volume.

    Args:
        folder: the pipeline root.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, home: str, kind: Kind) -> Path:
        """See `Documents`."""
        return self._folder / _PATHS[kind].format(home)

    def near(self, home: str, kind: Kind) -> bool:
        """See `Documents`: what is small, on a disk of this machine."""
        if not disks.near(self._folder):
            return False
        try:
            return os.lstat(self.path(home, kind)).st_size <= disks.SMALL
        except OSError:
            # There is none yet.
            return True

    def has(self, home: str, kind: Kind) -> bool:
        """See `Documents`."""
        return os.path.lexists(self.path(home, kind))

    def read(self, home: str, kind: Kind) -> str | None:
        """See `Documents`. A step may have put anything in the place of those in its folder."""
        path = self.path(home, kind)
        if not os.path.lexists(path):
            return None
        if kind not in _OF_STEPS:
            return path.read_text()
        with (
            confined.opened(self._folder, path) as descriptor,
            confined.stream(descriptor) as file,
        ):
            content = file.read(MAX_DOCUMENT + 1)
        if len(content) > MAX_DOCUMENT:
            raise DocumentError(f"it has more than {MAX_DOCUMENT} bytes")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise DocumentError(f"it is no text: {error}") from error

    def write(self, home: str, kind: Kind, text: str) -> None:
        """See `Documents`. What a step waits for comes first: an input is not synchronised."""
        path = self.path(home, kind)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if kind is Kind.INPUT:
            # The folder that its step is to write to.
            (self._folder / home).mkdir(exist_ok=True, mode=0o700)
        _write(path, text, durable=kind is not Kind.INPUT)

    def claim(self, home: str, text: str) -> str:
        """See `Documents`."""
        path = self.path(home, Kind.CLAIM)
        temporary = path.with_name(f".claim-{uuid.uuid4().hex}")
        temporary.write_text(text)
        try:
            # Whole or not there, and only if it is not there: a link is both.
            os.link(temporary, path)
        except FileExistsError:
            return path.read_text()
        finally:
            temporary.unlink()
        return text

    def drop(self, home: str) -> None:
        """See `Documents`. What has come of it goes along."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path(home, Kind.DECLARED).parent)

    def folders(self, run_id: str) -> list[str]:
        """None: folders are looked for on the volume (`PipelineRoot.run_folders`)."""
        del run_id
        return []


_PATHS: Final = {
    Kind.INPUT: "{}.json",
    Kind.CLAIM: "{}/.started",
    Kind.DECLARED: "{}.part/declared.json",
    Kind.LISTED: "{}.files.json",
    Kind.RESULT: "{}/result.json",
    Kind.WORKSPACE: "{}/workspace.json",
}
_OF_STEPS: Final = (Kind.CLAIM, Kind.RESULT)


async def lasting(what: str, call: Callable[[], T], *, here: bool = False) -> T:
    """Make a call, again until the database answers; it must be safe to make twice.

    Args:
        what: what it is for, for the log.
        call: it.
        here: make it on the loop: it takes no time worth a thread.
    """
    while True:
        try:
            return await disks.call(call, here=here)
        except StoreError as error:
            log.warning("%s: %s; trying again", what, error)
            await asyncio.sleep(_PAUSE)


def _write(path: Path, text: str, *, durable: bool) -> None:
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
