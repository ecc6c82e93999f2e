"""Artifacts where they are kept: new ones in the object store if one is set, else on the storage.

What was on the storage before is read from there, and nothing is moved. A folder with artifacts in
a store that is set no more is neither listed nor written to, so that none is missed and none gets
a second one beside it; what of it is on the storage can be read. To MLflow it is one repository.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import posixpath
import re
from collections.abc import AsyncIterable, Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mlflow.entities import FileInfo
from mlflow.entities.multipart_upload import (
    CreateMultipartUploadResponse,
    MultipartUploadCredential,
    MultipartUploadPart,
)
from mlflow.entities.presigned_download import PresignedDownloadUrlResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    TEMPORARILY_UNAVAILABLE,
)
from mlflow.store.artifact.artifact_repo import (
    ArtifactRepository,
    MultipartDownloadMixin,
    MultipartUploadMixin,
)
from mlflow.tracing.utils.artifact_utils import TRACE_DATA_FILE_NAME

from toolkit_objects import MAX_PARTS, ObjectStore, ObjectStoreError, Writing

from .artifacts import ConfinedArtifactRepository
from .marks import Marks
from .surface import plain

logger = logging.getLogger(__name__)

PIECE = 8 << 20
"""Bytes of an upload that are in memory; with S3's 10,000 parts a file may have 78 GiB."""
_LONGEST_NAME = 255
"""Bytes of a file's or a folder's name, as on the storage."""


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Tell clients what the store said; they try again where that may help."""
    try:
        yield
    except ObjectStoreError as error:
        code = TEMPORARILY_UNAVAILABLE if error.transient else INTERNAL_ERROR
        raise MlflowException(str(error), error_code=code) from error


class KeptArtifactRepository(ConfinedArtifactRepository):
    """A folder of artifacts on the storage and in the object store.

    Args:
        artifact_uri: the folder on the storage, as a `file` URI.
        root: the folder on the storage that has all artifacts.
        marks: which stores have artifacts.
        objects: the store that is set, if one is.
    """

    def __init__(
        self,
        artifact_uri: str,
        root: Path,
        marks: Marks,
        objects: ObjectStore | None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(artifact_uri, *args, **kwargs)
        above = Path(self.artifact_dir).resolve().relative_to(root.resolve()).as_posix()
        self._above = "" if above == "." else above
        self._marks = marks
        self._objects = objects

    def _below(self, path: str | None) -> str:
        """Give an artifact's path from the root of all."""
        found = posixpath.normpath(posixpath.join(self._above, path or ""))
        found = "" if found == "." else found
        if found and not plain(found):
            raise MlflowException(
                f"Invalid path: {found[:200]!r}", error_code=INVALID_PARAMETER_VALUE
            )
        if any(len(name.encode()) > _LONGEST_NAME for name in found.split("/")):
            raise MlflowException(
                f"Invalid path: a name in it has more than {_LONGEST_NAME} bytes",
                error_code=INVALID_PARAMETER_VALUE,
            )
        return found

    def _reached(self, folder: str, code: int = INVALID_PARAMETER_VALUE) -> None:
        """See that all that a folder has can be reached."""
        if uri := self._marks.elsewhere(folder):
            raise _out_of_reach(folder, uri, code)

    def _size(self, below: str) -> int | None:
        """Give the size of an artifact in the store; None if it is not there."""
        if self._objects is None or not below:
            return None
        with told():
            return self._objects.size(below)

    # -- reading

    def get_local_path(self, artifact_path: str) -> str | None:  # type: ignore[override]  # as the base has it
        """Give where an artifact is on the storage; None if the store has it."""
        below = self._below(artifact_path)
        if self._size(below) is not None:
            return None
        try:
            found: str = super().get_local_path(artifact_path)
        except MlflowException:
            if uri := self._marks.elsewhere(posixpath.dirname(below)):
                raise _out_of_reach(below, uri) from None
            raise
        return found

    def download_artifacts(self, artifact_path: str, dst_path: str | None = None) -> str:
        """Copy artifacts from wherever they are; without `dst_path` to a folder of their own."""
        found: str = ArtifactRepository.download_artifacts(self, artifact_path, dst_path)
        return found

    def _is_directory(self, artifact_path: str) -> bool:
        return bool(self.list_artifacts(artifact_path))

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        below = self._below(remote_file_path)
        size = self._size(below)
        if self._objects is None or size is None:
            # Its own words if it is out of reach.
            self.get_local_path(remote_file_path)
            super()._download_file(remote_file_path, local_path)  # type: ignore[no-untyped-call]  # MLflow is untyped
            return
        with told(), Path(local_path).open("wb") as file:
            for chunk in self._objects.read(below, size):
                file.write(chunk)

    def download_trace_data(self) -> dict[str, Any]:
        """Read a trace."""
        if self._size(self._below(TRACE_DATA_FILE_NAME)) is None:
            self._reached(self._above)
            return super().download_trace_data()
        return ArtifactRepository.download_trace_data(self)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """List what is right below a path, on the storage and in the store."""
        below = self._below(path)
        self._reached(below)
        listed = super().list_artifacts(path)  # type: ignore[no-untyped-call]  # MLflow is untyped
        found = {info.path: info for info in listed}
        if self._objects is not None:
            with told():
                listing = self._objects.listing(below)
            at = functools.partial(posixpath.join, posixpath.normpath(path) if path else "")
            found |= {at(name): FileInfo(at(name), True, None) for name in listing.folders}
            sizes = listing.sizes.items()
            found |= {at(name): FileInfo(at(name), False, size) for name, size in sizes}
        return [found[each] for each in sorted(found)]

    # -- writing

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Keep a file."""
        below = self._claim(str(local_file), artifact_path)
        if self._objects is None:
            super().log_artifact(local_file, artifact_path)  # type: ignore[no-untyped-call]  # MLflow is untyped
            return
        with Path(local_file).open("rb") as file:
            self._write(self._objects, below, file)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Keep a folder's files."""
        for file in sorted(Path(local_dir).rglob("*")):
            if file.is_file():
                inner = file.parent.relative_to(local_dir).as_posix()
                to = posixpath.normpath(posixpath.join(artifact_path or "", inner))
                self.log_artifact(str(file), None if to == "." else to)

    def log_artifact_from_stream(
        self, stream: BinaryIO, artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """Keep what a stream gives."""
        below = self._claim(artifact_file_name, artifact_path)
        if self._objects is None:
            super().log_artifact_from_stream(stream, artifact_file_name, artifact_path)
        else:
            self._write(self._objects, below, stream)

    async def log_artifact_from_async_stream(
        self,
        chunks: AsyncIterable[bytes],
        artifact_file_name: str,
        artifact_path: str | None = None,
    ) -> None:
        """Keep what comes in chunks: sent on as it comes, so that no file waits for another."""
        below = await asyncio.to_thread(self._claim, artifact_file_name, artifact_path)
        if self._objects is None:
            await super().log_artifact_from_async_stream(chunks, artifact_file_name, artifact_path)
            return
        writing = Writing(self._objects, below)
        held = bytearray()
        with told():
            try:
                async for chunk in chunks:
                    held += chunk
                    while len(held) >= PIECE:
                        piece = bytes(held[:PIECE])
                        del held[:PIECE]
                        await asyncio.to_thread(writing.add, piece)
                await asyncio.to_thread(writing.finish, bytes(held))
            except BaseException:
                await asyncio.to_thread(_drop, writing)
                raise
        await asyncio.to_thread(self._replaced, below)

    def _claim(self, name: str, artifact_path: str | None) -> str:
        """Give where a new artifact goes, once it is noted who has it."""
        # Of a link's file the client's own path comes, Windows' too.
        below = self._below(posixpath.join(artifact_path or "", re.split(r"[\\/]", name)[-1]))
        folder = posixpath.dirname(below)
        # Nothing is wrong with what is sent: who has it is to send it again, once that may help.
        self._reached(folder, TEMPORARILY_UNAVAILABLE)
        if self._objects is not None:
            # Before anything is there: a killed server must not leave what nobody knows of.
            self._marks.mark(folder)
        return below

    def _write(self, objects: ObjectStore, below: str, file: BinaryIO) -> None:
        writing = Writing(objects, below)
        with told():
            try:
                piece = file.read(PIECE)
                while len(piece) == PIECE:
                    writing.add(piece)
                    piece = file.read(PIECE)
                writing.finish(piece)
            except BaseException:
                _drop(writing)
                raise
        self._replaced(below)

    def _replaced(self, below: str) -> None:
        """Delete what the storage had under the name of what is in the store now."""
        inner = posixpath.relpath(below, self._above) if self._above else below
        self._confined(inner)
        Path(self.artifact_dir, inner).unlink(missing_ok=True)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file or a folder on the storage and in the store that is set."""
        below = self._below(artifact_path)
        if self._objects is not None:
            if not below:
                raise MlflowException(
                    "Invalid path: it is the root of all artifacts",
                    error_code=INVALID_PARAMETER_VALUE,
                )
            with told():
                self._objects.remove(below)
                self._objects.delete(below)
            self._marks.forget(below)
        super().delete_artifacts(artifact_path)


class LinkedArtifactRepository(
    KeptArtifactRepository, MultipartUploadMixin, MultipartDownloadMixin
):
    """The same for clients that reach the store: files go straight there and back, by links."""

    def create_multipart_upload(
        self, local_file: str, num_parts: int = 1, artifact_path: str | None = None
    ) -> CreateMultipartUploadResponse:
        """Begin an upload; give a link for each part."""
        if not 0 < num_parts <= MAX_PARTS:
            raise MlflowException(
                f"num_parts is {num_parts}; write 1 to {MAX_PARTS}",
                error_code=INVALID_PARAMETER_VALUE,
            )
        objects, below = self._store, self._claim(local_file, artifact_path)
        with told():
            upload = objects.begin(below)
            links = [
                MultipartUploadCredential(url, number, headers)
                for number in range(1, num_parts + 1)
                for url, headers in [objects.writing_part(below, upload, number)]
            ]
        return CreateMultipartUploadResponse(upload, links)

    def complete_multipart_upload(
        self,
        local_file: str,
        upload_id: str,
        parts: list[MultipartUploadPart],
        artifact_path: str | None = None,
    ) -> None:
        """Make the artifact of its parts."""
        below = self._claim(local_file, artifact_path)
        with told():
            self._store.complete(
                below, upload_id, {part.part_number: part.etag or "" for part in parts}
            )
        self._replaced(below)

    def abort_multipart_upload(
        self, local_file: str, upload_id: str, artifact_path: str | None = None
    ) -> None:
        """Drop an upload."""
        with told():
            self._store.abort(self._claim(local_file, artifact_path), upload_id)

    def get_download_presigned_url(
        self, artifact_path: str, expiration: int = 300
    ) -> PresignedDownloadUrlResponse:
        """Give a link to an artifact, good for an hour; without a size the server is asked."""
        del expiration
        size = self._size(self._below(artifact_path))
        if size is None:
            self.get_local_path(artifact_path)
            return PresignedDownloadUrlResponse("", {})
        return PresignedDownloadUrlResponse(
            self._store.reading(self._below(artifact_path)), {}, size
        )

    @property
    def _store(self) -> ObjectStore:
        if self._objects is None:
            raise ValueError("links need a store")
        return self._objects


def _out_of_reach(below: str, uri: str, code: int = INVALID_PARAMETER_VALUE) -> MlflowException:
    return MlflowException(
        f"The artifacts of {below[:200]!r} are in the object store {uri}, which is not set: this "
        "server reaches them once it is set again",
        error_code=code,
    )


def _drop(writing: Writing) -> None:
    try:
        writing.abort()
    except ObjectStoreError as error:
        # What goes wrong already is what the client is told.
        logger.warning("parts of an upload stay: %s", error)


def repository(
    root: Path, marks: Marks, objects: ObjectStore | None, *, links: bool
) -> Callable[..., ArtifactRepository]:
    """Give what makes the repository of a folder below the root.

    Args:
        root: the folder on the storage that has all artifacts.
        marks: which stores have artifacts.
        objects: the store that is set, if one is.
        links: whether clients reach the store.
    """
    made = LinkedArtifactRepository if links and objects is not None else KeptArtifactRepository

    def of(artifact_uri: str, *args: Any, **kwargs: Any) -> ArtifactRepository:
        return made(artifact_uri, root, marks, objects, *args, **kwargs)

    return of
