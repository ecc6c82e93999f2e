"""An attempt's files between this service and a step that does not mount its volume.

What is declared is noted among the attempt's documents (`documents`) until the result is there;
then a depot sees to the content (`volume`, `stored`), the list is written, and the record last. So
what a step sent is the same to the engine and everyone else. All calls block, and may raise
StoreError where the database has the documents.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

from toolkit_objects import ObjectStore

from .. import confined, manifest
from ..contents import Contents
from ..documents import Kind
from ..events import IN_WORKSPACE, Json
from ..manifest import VOLUME, Entry, ManifestError, checked_path
from ..root import MAX_RESULT, Attempt, PipelineRoot
from .errors import AbsentError, ConflictError
from .stored import StoreDepot
from .volume import Upload, VolumeDepot, address

_CLAIM: Final = re.compile(r"[A-Za-z0-9._-]{8,80}")


class Depot(Protocol):
    """Where outputs are kept.

    Attributes:
        kept: what the list of an attempt's files calls it.
    """

    kept: str

    def part_size(self, size: int) -> int:
        """Give the size of the parts that a file comes in; 0 if it comes whole."""
        ...

    def prepare(self, attempt: Attempt, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Make ready for what an attempt will send; give the entries as they are noted."""
        ...

    def place(self, attempt: Attempt, entry: Entry) -> dict[str, Any]:
        """Tell where a file goes: `{path, url, headers}`, or `{path, parts}` of the same."""
        ...

    def keep(self, attempt: Attempt, entries: Mapping[str, Entry]) -> None:
        """Make what came an attempt's outputs; ConflictError if something has not come."""
        ...

    def drop(self, attempt: Attempt, entries: Mapping[str, Entry]) -> None:
        """Remove what came and was never made outputs."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder of an input.

    Attributes:
        entry: what it is; its path is relative to the root.
        url: where a file's content is, maybe relative to the routes; "" for a folder.
    """

    entry: Entry
    url: str = ""


class Exchange:
    """The files of attempts, as their steps may have them.

    Args:
        root: the pipeline root.
        store: the object store that outputs are kept in; None keeps them on the volume.
    """

    def __init__(self, root: PipelineRoot, store: ObjectStore | None = None) -> None:
        self._root = root
        self._documents = root.documents
        self._contents = Contents(root, store)
        self._volume = VolumeDepot(root)
        self._depot: Depot = self._volume if store is None else StoreDepot(store)

    # -- the task

    def claim(self, attempt: Attempt, claim: str) -> Json:
        """Give the task to the one launcher that claims it, however often it asks.

        Raises:
            ConflictError: another launcher has claimed it.
        """
        if not _CLAIM.fullmatch(claim):
            raise ManifestError("a claim is 8 to 80 letters, digits, dots or dashes")
        if self._documents.claim(attempt.folder, claim) != claim:
            raise ConflictError("this attempt was started before; it does not run twice")
        return self._task(attempt)

    def _task(self, attempt: Attempt) -> Any:
        text = self._documents.read(attempt.folder, Kind.INPUT)
        if text is None:
            raise AbsentError("this attempt has no task (any more)")
        return json.loads(text)

    # -- inputs

    def inputs(self, attempt: Attempt) -> list[Source]:
        """Give the files of an attempt's inputs.

        Raises:
            ElsewhereError: one is in an object store that is not set any more.
        """
        found: list[Source] = []
        for below in self._input_paths(attempt):
            listing = self._contents.listed(below)
            for entry in listing.entries:
                if entry.folder:
                    found.append(Source(entry))
                elif listing.kept == VOLUME:
                    found.append(Source(entry, address(entry.path)))
                else:
                    found.append(Source(entry, self._contents.link(listing.kept, entry)))
        return found

    def input(self, attempt: Attempt, path: str) -> Source:
        """Give one file of an attempt's inputs, its link made anew.

        Raises:
            AbsentError: it is no file of this attempt's inputs.
        """
        self._among_inputs(attempt, path)
        listing = self._contents.listed(path)
        if len(listing.entries) != 1 or listing.entries[0].folder:
            raise AbsentError(f"{path[:200]!r} is no file")
        entry = listing.entries[0]
        if listing.kept == VOLUME:
            return Source(entry, address(path))
        return Source(entry, self._contents.link(listing.kept, entry))

    def _input_paths(self, attempt: Attempt) -> list[str]:
        """Give the places of the input artifacts that are below the root."""
        artifacts = self._task(attempt)["executor_input"]["inputs"]["artifacts"]
        found: dict[str, None] = {}
        for listed in artifacts.values():
            for each in listed["artifacts"]:
                if each["metadata"].get(IN_WORKSPACE) is True:
                    continue
                below = self._root.below(each["uri"])
                if below is not None:
                    found[checked_path(below)] = None
        return list(found)

    def _among_inputs(self, attempt: Attempt, path: str) -> None:
        checked_path(path)
        if not any(
            path == each or path.startswith(f"{each}/") for each in self._input_paths(attempt)
        ):
            raise AbsentError(f"{path[:200]!r} is not among the inputs of this attempt")

    def open(self, attempt: Attempt, path: str) -> tuple[ExitStack, int]:
        """Open a file of an input; the stack closes it.

        Raises:
            AbsentError: it is no file of this attempt's inputs.
        """
        self._among_inputs(attempt, path)
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

    def part_size(self, size: int) -> int:
        """Give the size of the parts that a file of a size comes in; 0 if it comes whole."""
        return self._depot.part_size(size)

    def declare(self, attempt: Attempt, entries: tuple[Entry, ...]) -> list[dict[str, Any]]:
        """Take note of what an attempt will send; give where each file goes (see `Depot.place`).

        Raises:
            ConflictError: its result is there already.
        """
        self._unfinished(attempt)
        earlier = self.declared(attempt)
        if {path: _bare(entry) for path, entry in earlier.items()} == {e.path: e for e in entries}:
            # Asked again, since the answer was lost.
            entries = tuple(earlier.values())
        noted = self._depot.prepare(attempt, entries)
        text = manifest.dump(noted, self._depot.kept)
        self._documents.write(attempt.folder, Kind.DECLARED, text)
        return [self._depot.place(attempt, entry) for entry in noted if not entry.folder]

    def place(self, attempt: Attempt, path: str) -> dict[str, Any]:
        """Give where one declared file goes, its links made anew.

        Raises:
            AbsentError: it was not declared.
            ConflictError: the attempt has ended.
        """
        self._unfinished(attempt)
        return self._depot.place(attempt, self._declared_file(attempt, path))

    def declared(self, attempt: Attempt) -> dict[str, Entry]:
        """Give what an attempt has declared, by path."""
        text = self._documents.read(attempt.folder, Kind.DECLARED)
        if text is None:
            return {}
        kept, entries = manifest.load(text)
        # Declared while outputs were kept elsewhere: it has to be declared again.
        return {e.path: e for e in entries} if kept == self._depot.kept else {}

    def _declared_file(self, attempt: Attempt, path: str) -> Entry:
        entry = self.declared(attempt).get(path)
        if entry is None or entry.folder:
            raise AbsentError(f"the file {path[:200]!r} was not declared")
        return entry

    @contextlib.contextmanager
    def receiving(self, attempt: Attempt, path: str) -> Iterator[Upload]:
        """Take in one declared file; it is there when the block has ended well, whole.

        Raises:
            AbsentError: it was not declared.
            ConflictError: the attempt has ended, or its outputs are kept elsewhere.
            DamagedError: the file is not what was declared.
        """
        self._unfinished(attempt)
        if self._depot is not self._volume:
            raise ConflictError("outputs are sent to the object store, not to this service")
        with self._volume.receiving(attempt, self._declared_file(attempt, path)) as upload:
            yield upload

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
        if self._documents.has(attempt.folder, Kind.RESULT):
            return
        text = json.dumps(result)
        if len(text) > MAX_RESULT:
            raise ManifestError(f"the record has more than {MAX_RESULT} bytes")
        if result["exit_code"] == 0:
            entries = self.declared(attempt)
            self._depot.keep(attempt, entries)
            if entries:
                sent = [dataclasses.replace(_bare(e), parts=()) for e in entries.values()]
                listed = manifest.dump(sent, self._depot.kept)
                self._documents.write(attempt.folder, Kind.LISTED, listed)
        self._documents.write(attempt.folder, Kind.RESULT, text)
        self.discard(attempt)

    def discard(self, attempt: Attempt) -> None:
        """Remove what an attempt sent and never committed.

        Raises:
            ObjectStoreError: the object store does not do it; it may be tried again.
        """
        if not self._documents.has(attempt.folder, Kind.LISTED):
            self._depot.drop(attempt, self.declared(attempt))
        self._documents.drop(attempt.folder)

    def _unfinished(self, attempt: Attempt) -> None:
        if self._documents.has(attempt.folder, Kind.RESULT):
            raise ConflictError("the result of this attempt is there already")


def _bare(entry: Entry) -> Entry:
    """Give an entry without what matters only while it is sent."""
    return dataclasses.replace(entry, upload="")
