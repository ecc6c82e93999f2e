"""Uploaded pipeline packages: a YAML or JSON file, or an archive that holds one.

Archives are read in memory and never unpacked to disk; what comes out of them is bounded.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO

from .spec import SpecError

_MAX_MEMBERS = 1000
_SUFFIXES = (".yaml", ".yml", ".json")


def document(content: bytes, limit: int) -> bytes:
    """Give the text of the pipeline document in a package.

    The content decides what it is, not its name: a zip file, a tar file compressed by gzip, or
    the document itself.

    Raises:
        SpecError: the archive is damaged, has no single document, or it exceeds `limit` bytes.
    """
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _from_zip(content, limit)
    if content.startswith(b"\x1f\x8b"):
        return _from_tar(content, limit)
    if len(content) > limit:
        raise SpecError("", f"the pipeline has {len(content)} bytes; at most {limit} are read")
    return content


def _from_zip(content: bytes, limit: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            chosen = _choose([each.filename for each in members if not each.is_dir()])
            with archive.open(chosen) as stream:
                return _bounded(stream, limit)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SpecError("", f"the zip file cannot be read: {error}") from error


def _from_tar(content: bytes, limit: int) -> bytes:
    # A compressed archive is decompressed only as far as a package may go.
    bounded = io.BytesIO(_gunzip(content, 2 * limit + 10 * tarfile.RECORDSIZE))
    try:
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            names = []
            for member in archive:
                if member.isfile():
                    names.append(member.name)
                if len(names) > _MAX_MEMBERS:
                    raise SpecError("", f"the package holds more than {_MAX_MEMBERS} files")
            stream = archive.extractfile(_choose(names))
            if stream is None:
                raise SpecError("", "the package's document is not a file")
            return _bounded(stream, limit)
    except (tarfile.TarError, EOFError) as error:
        raise SpecError("", f"the tar file cannot be read: {error}") from error


def _gunzip(content: bytes, limit: int) -> bytes:
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        data = decompressor.decompress(content, limit + 1)
    except zlib.error as error:
        raise SpecError("", f"the package cannot be decompressed: {error}") from error
    if len(data) > limit:
        raise SpecError("", f"the package unpacks to more than {limit} bytes")
    return data


def _choose(names: list[str]) -> str:
    if len(names) > _MAX_MEMBERS:
        raise SpecError("", f"the package holds {len(names)} files; at most {_MAX_MEMBERS}")
    documents = [name for name in names if name.endswith(_SUFFIXES)]
    preferred = [name for name in documents if PurePosixPath(name).name == "pipeline.yaml"]
    for found in (preferred, documents):
        if len(found) == 1:
            return found[0]
    raise SpecError(
        "",
        f"the package holds {len(documents)} YAML files; it must hold one, or one pipeline.yaml",
    )


def _bounded(stream: IO[bytes], limit: int) -> bytes:
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise SpecError("", f"the pipeline in the package has more than {limit} bytes")
    return data
