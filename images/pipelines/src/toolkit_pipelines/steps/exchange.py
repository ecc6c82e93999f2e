"""An attempt's files between the volume of this service and a step that does not mount it.

What comes in is kept beside the attempt's folder, in `SALT.part/`, until the result is there; then
it is moved into the folder, `SALT.files.json` is written, and the record last. So the folder is
the same as that of a step with the volume, for the engine and everyone else. All calls block.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final

from .. import confined
from ..events import Json
from ..root import MAX_RESULT, Attempt, PipelineRoot
from . import manifest
from .manifest import Entry, ManifestError, checked_path

VOLUME: Final = "volume"
_SALT: Final = re.compile(r"[0-9a-f]{16}")
_CLAIM: Final = re.compile(r"[A-Za-z0-9._-]{8,80}")


class ConflictError(Exception):
    """It cannot be done as things stand; the message says what is in the way."""


class DamagedError(Exception):
    """A file is not what was declared: it may be sent again."""


class AbsentError(Exception):
    """There is no such file for this attempt."""


class Exchange:
    """The files of attempts, as their steps may have them."""

    def __init__(self, root: PipelineRoot) -> None:
        self._root = root

    # -- the task

    def claim(self, attempt: Attempt, claim: str) -> Json:
        """Give the task to the one launcher that claims it, however often it asks.

        Raises:
            ConflictError: another launcher has claimed it.
        """
        if not _CLAIM.fullmatch(claim):
            raise ManifestError("a claim is 8 to 80 letters, digits, dots or dashes")
        folder = self._root.folder / attempt.folder
        temporary = folder / f".claim-{uuid.uuid4().hex}"
        temporary.write_text(claim)
        try:
            # Whole or not there, and only if it is not there: a link is both.
            os.link(temporary, folder / ".started")
        except FileExistsError:
            if (folder / ".started").read_text() != claim:
                raise ConflictError(
                    "this attempt was started before; it does not run twice"
                ) from None
        finally:
            temporary.unlink()
        return self._task(attempt)

    def _task(self, attempt: Attempt) -> Any:
        return json.loads((self._root.folder / attempt.input).read_text())

    # -- inputs

    def inputs(self, attempt: Attempt) -> list[Entry]:
        """Give the files of an attempt's inputs; paths are relative to the root."""
        found: list[Entry] = []
        for below in self._input_paths(attempt):
            found += self._listed(below)
        return found

    def _input_paths(self, attempt: Attempt) -> list[str]:
        """Give the places of the input artifacts that are below the root."""
        artifacts = self._task(attempt)["executor_input"]["inputs"]["artifacts"]
        found: dict[str, None] = {}
        for listed in artifacts.values():
            for each in listed["artifacts"]:
                below = each["uri"].removeprefix(f"{self._root.uri}/")
                if below != each["uri"]:
                    found[checked_path(below)] = None
        return list(found)

    def _listed(self, below: str) -> list[Entry]:
        known = self._known(below)
        try:
            with confined.opened(self._root.folder, self._root.folder / below) as descriptor:
                if not confined.is_folder(descriptor):
                    size = os.fstat(descriptor).st_size
                    return [Entry(below, size, known.get(below, ""))]
                found = [Entry(below, folder=True)]
                found += [
                    Entry(f"{below}/{path}", folder=True) for path in confined.folders(descriptor)
                ]
                for path, file in confined.walk(descriptor):
                    whole = f"{below}/{path}"
                    found.append(Entry(whole, os.fstat(file).st_size, known.get(whole, "")))
                return found
        except confined.ConfinedError:
            # Declared, and never written: to the step it is absent too.
            return []

    def _known(self, below: str) -> dict[str, str]:
        """Give the digests that the producer of a file left, by path from the root."""
        parts = below.split("/")
        for number, part in enumerate(parts):
            if _SALT.fullmatch(part):
                home = "/".join(parts[: number + 1])
                path = self._root.folder / f"{home}.files.json"
                if path.is_file():
                    _, entries = manifest.load(path.read_text())
                    return {f"{home}/{e.path}": e.sha256 for e in entries if not e.folder}
        return {}

    def open(self, attempt: Attempt, path: str) -> tuple[ExitStack, int]:
        """Open a file of an input; the stack closes it.

        Raises:
            AbsentError: it is no file of this attempt's inputs.
        """
        checked_path(path)
        if not any(
            path == each or path.startswith(f"{each}/") for each in self._input_paths(attempt)
        ):
            raise AbsentError(f"{path[:200]!r} is not among the inputs of this attempt")
        stack = ExitStack()
        try:
            found = stack.enter_context(
                confined.opened(self._root.folder, self._root.folder / path)
            )
        except confined.ConfinedError as error:
            raise AbsentError(f"{path[:200]!r} cannot be read") from error
        if confined.is_folder(found):
            stack.close()
            raise AbsentError(f"{path[:200]!r} is a folder: ask for its files")
        return stack, found

    # -- outputs

    def declare(self, attempt: Attempt, entries: tuple[Entry, ...]) -> None:
        """Take note of what an attempt will send.

        Raises:
            ConflictError: its result is there already.
        """
        self._unfinished(attempt)
        staging = self._staging(attempt)
        (staging / "files").mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(staging / "declared.json", manifest.dump(entries, VOLUME))

    def declared(self, attempt: Attempt) -> dict[str, Entry]:
        """Give what an attempt has declared, by path."""
        try:
            text = (self._staging(attempt) / "declared.json").read_text()
        except FileNotFoundError:
            return {}
        return {entry.path: entry for entry in manifest.load(text)[1]}

    @contextlib.contextmanager
    def receiving(self, attempt: Attempt, path: str) -> Iterator[Upload]:
        """Take in one declared file; it is there when the block has ended well, whole.

        Raises:
            AbsentError: it was not declared.
            ConflictError: the attempt has ended.
            DamagedError: the file is not what was declared.
        """
        self._unfinished(attempt)
        entry = self.declared(attempt).get(path)
        if entry is None or entry.folder:
            raise AbsentError(f"the file {path[:200]!r} was not declared")
        staging = self._staging(attempt)
        temporary = staging / f".new-{uuid.uuid4().hex}"
        try:
            with temporary.open("xb") as file:
                upload = Upload(file, entry)
                yield upload
                upload.check()
                file.flush()
                os.fsync(file.fileno())
            target = staging / "files" / path
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    # -- the end

    def settle(self, attempt: Attempt, result: Any) -> None:
        """Keep the record of an attempt, and its outputs if it succeeded.

        Once it is there another one changes nothing.

        Raises:
            ManifestError: it is no record.
            ConflictError: a declared file has not come.
        """
        if not isinstance(result, dict) or not isinstance(result.get("exit_code"), int):
            raise ManifestError("a result is an object with an exit_code")
        folder = self._root.folder / attempt.folder
        if (folder / "result.json").exists():
            return
        text = json.dumps(result)
        if len(text) > MAX_RESULT:
            raise ManifestError(f"the record has more than {MAX_RESULT} bytes")
        if result["exit_code"] == 0:
            entries = self.declared(attempt)
            self._keep(attempt, entries)
            if entries:
                path = self._root.folder / f"{attempt.folder}.files.json"
                _write(path, manifest.dump(entries.values(), VOLUME))
        _write(folder / "result.json", text)
        self.discard(attempt)

    def discard(self, attempt: Attempt) -> None:
        """Remove what an attempt sent and never committed."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._staging(attempt))

    def _keep(self, attempt: Attempt, entries: dict[str, Entry]) -> None:
        staging, folder = self._staging(attempt) / "files", self._root.folder / attempt.folder
        missing = [
            path
            for path, entry in entries.items()
            # Moved already if this service was killed in the middle of it.
            if not entry.folder and not ((staging / path).exists() or (folder / path).exists())
        ]
        if missing:
            raise ConflictError(f"{len(missing)} declared files have not come: {missing[0][:200]}")
        for path, entry in entries.items():
            if entry.folder:
                (folder / path).mkdir(parents=True, exist_ok=True, mode=0o700)
            elif (staging / path).exists():
                (folder / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                (staging / path).replace(folder / path)

    def _unfinished(self, attempt: Attempt) -> None:
        if (self._root.folder / attempt.folder / "result.json").exists():
            raise ConflictError("the result of this attempt is there already")

    def _staging(self, attempt: Attempt) -> Path:
        return self._root.folder / f"{attempt.folder}.part"


class Upload:
    """A file that is coming in."""

    def __init__(self, file: BinaryIO, entry: Entry) -> None:
        self._file = file
        self._entry = entry
        self._size = 0
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; DamagedError if there are more than declared."""
        self._size += len(chunk)
        if self._size > self._entry.size:
            raise DamagedError(
                f"{self._entry.path[:200]}: more than the {self._entry.size} bytes declared"
            )
        self._digest.update(chunk)
        self._file.write(chunk)

    def check(self) -> None:
        """DamagedError if it is not what was declared."""
        found = self._digest.hexdigest()
        if self._size != self._entry.size or found != self._entry.sha256:
            raise DamagedError(
                f"{self._entry.path[:200]}: got {self._size} bytes with SHA-256 {found}, declared "
                f"were {self._entry.size} with {self._entry.sha256}"
            )


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
