"""The files of an attempt's outputs: what a launcher declares before it sends them.

Once the attempt has ended well the list stays beside its folder, `SALT.files.json`: the digests in
it are those that the producer computed, and whoever gets a file later compares with them.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

VOLUME: Final = "volume"
"""The store that is the volume of this service."""
MAX_FILES: Final = 100_000
MAX_SIZE: Final = 1 << 50
_MAX_PATH: Final = 4000
_MAX_PART: Final = 255
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# What the launcher and the engine themselves have in an attempt's folder.
_RESERVED: Final = frozenset({".started", ".error", "result.json"})


class ManifestError(ValueError):
    """What a launcher declared cannot be; the message names the file and why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder.

    Attributes:
        path: relative to the attempt's folder, or to the root where that is said.
        size: of a file, in bytes.
        sha256: of a file, in hexadecimal; "" if nobody has computed it.
        md5: of a file, in base64, for the stores that check it; "" likewise, and if it has parts.
        folder: True for a folder.
        parts: the MD5 of each part, likewise, of a file that goes in parts.
        upload: the object store's id for its parts, until they are one object.
    """

    path: str
    size: int = 0
    sha256: str = ""
    md5: str = ""
    folder: bool = False
    parts: tuple[str, ...] = ()
    upload: str = ""

    def moved(self, home: str) -> Entry:
        """Give the same file, its path relative to what the folder `home` is relative to."""
        return replace(self, path=f"{home}/{self.path}")


def checked_path(path: object) -> str:
    """Give a relative path that stays below what it is relative to.

    Raises:
        ManifestError: it does not.
    """
    if not isinstance(path, str) or not path or len(path) > _MAX_PATH or "\0" in path:
        raise ManifestError(f"no path: {str(path)[:80]!r}")
    for part in path.split("/"):
        if part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > _MAX_PART:
            raise ManifestError(f"a path must be relative and plain, not {path[:200]!r}")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(f"the name of a file is no text: {path[:80]!r}") from error
    return path


def parse(data: Any, part_size: Callable[[int], int] = lambda size: 0) -> tuple[Entry, ...]:
    """Read what a launcher declares.

    Args:
        data: what it sent.
        part_size: gives the size of the parts of a file of a size; 0 if it goes in one piece.

    Raises:
        ManifestError: it is not a list of files that can be.
    """
    listed = data.get("files") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        raise ManifestError("expected an object with a list of files")
    if len(listed) > MAX_FILES:
        raise ManifestError(f"{len(listed)} files; at most {MAX_FILES}: make an archive of them")
    found: dict[str, Entry] = {}
    for each in listed:
        entry = _entry(each, part_size)
        if entry.path in found:
            raise ManifestError(f"{entry.path[:200]!r} is listed twice")
        if entry.path.partition("/")[0] in _RESERVED:
            raise ManifestError(f"{entry.path[:200]!r} is not for outputs: choose another name")
        found[entry.path] = entry
    for path in found:
        above = path
        while above := above.rpartition("/")[0]:
            if above in found and not found[above].folder:
                raise ManifestError(f"{above[:200]!r} is a file and a folder")
    return tuple(found.values())


def _entry(data: Any, part_size: Callable[[int], int]) -> Entry:
    if not isinstance(data, dict):
        raise ManifestError("a file is not an object")
    path = checked_path(data.get("path"))
    if data.get("folder") is True:
        return Entry(path, folder=True)
    size, strong, weak = data.get("size"), data.get("sha256"), data.get("md5")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_SIZE:
        raise ManifestError(f"{path[:200]!r}: its size cannot be {str(size)[:40]}")
    if not isinstance(strong, str) or not _SHA256.fullmatch(strong):
        raise ManifestError(f"{path[:200]!r}: sha256 must be 64 hexadecimal digits")
    parts = _parts(path, data, part_size(size))
    return Entry(path, size, strong, "" if parts else _md5(path, weak), parts=parts)


def _parts(path: str, data: dict[str, Any], length: int) -> tuple[str, ...]:
    """Give the digests of a file's parts, () if it goes in one piece."""
    if not length:
        return ()
    wanted, listed = math.ceil(data["size"] / length), data.get("parts")
    if not isinstance(listed, list) or len(listed) != wanted:
        raise ManifestError(f"{path[:200]!r}: expected the md5 of {wanted} parts")
    return tuple(_md5(path, each) for each in listed)


def _md5(path: str, value: Any) -> str:
    try:
        if isinstance(value, str) and len(base64.b64decode(value, validate=True)) == 16:
            return value
    except binascii.Error as error:
        raise ManifestError(f"{path[:200]!r}: md5 is not base64") from error
    raise ManifestError(f"{path[:200]!r}: md5 must be 16 bytes in base64")


def dump(entries: Iterable[Entry], store: str) -> str:
    """Write entries as they are kept; `store` says where the content is.

    `VOLUME`, or the URI of an object store's place.
    """
    return json.dumps({"version": "1", "store": store, "files": [asdict(e) for e in entries]})


def load(text: str) -> tuple[str, tuple[Entry, ...]]:
    """Read what `dump` wrote."""
    data = json.loads(text)
    entries = ({**each, "parts": tuple(each.get("parts", ()))} for each in data["files"])
    return str(data["store"]), tuple(Entry(**each) for each in entries)
