"""Files that are either whole or not there."""

from __future__ import annotations

import json
import os
from typing import Any


def read_json(path: str) -> dict[str, Any]:
    """Read a JSON object."""
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a JSON object")
    return found


def write_json(path: str, data: dict[str, Any]) -> None:
    """Write a file that survives a crash at any moment: either the old or the new one is there.

    It has its name before the disk has it: so both are brought there at once, which takes half
    the time. If the machine loses its power in between, an empty file may be left.
    """
    temporary = path + ".new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        # Not by `dump`, which writes word by word, in Python.
        file.write(json.dumps(data))
        file.flush()
        os.replace(temporary, path)
        os.fsync(file.fileno())


def sync_folder(path: str) -> None:
    """Bring a folder's list of names to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str) -> None:
    """Bring every file below a path to the disk."""
    if os.path.islink(path):
        return
    if os.path.isfile(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return
    if os.path.isdir(path):
        for name in os.listdir(path):
            sync_tree(os.path.join(path, name))
        sync_folder(path)
