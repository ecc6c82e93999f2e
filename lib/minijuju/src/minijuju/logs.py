"""A model's log: lines of JSON in a file that is bounded, and what follows it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MAX_LINE = 16 * 1024
MAX_FILE = 8 * 1024 * 1024
_CUT = " [cut]"


def clean(text: str) -> str:
    """One line that is safe to print: control characters are escaped, the length is bounded."""
    shown = text[: MAX_LINE + 1]
    if not shown.isprintable():
        shown = "".join(
            char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode()
            for char in shown
        )
    return shown if len(shown) <= MAX_LINE else shown[: MAX_LINE - len(_CUT)] + _CUT


class Log:
    """The log of one model: the file `path` and the one before it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.old = path.with_suffix(".old")
        self.added = asyncio.Event()
        self._file = -1
        self._size = 0

    def write(self, entity: str, level: str, module: str, text: str) -> None:
        """Add `text` from `entity` (`app/0`, `controller`), a record for each line."""
        level = level.upper() if level.upper() in LEVELS else "INFO"
        records = [
            json.dumps(
                {
                    "timestamp": time.time(),
                    "entity": entity,
                    "level": level,
                    "module": module,
                    "message": clean(line),
                }
            )
            for line in text.split("\n")
        ]
        data = ("\n".join(records) + "\n").encode()
        if self._file < 0 or self._size + len(data) > MAX_FILE:
            self._open()
        os.write(self._file, data)
        self._size += len(data)
        self.added.set()
        self.added = asyncio.Event()

    def _open(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.path.replace(self.old)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._file).st_size

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def read(self, end: tuple[int, int] | None = None) -> list[dict[str, Any]]:
        """Every record there is, oldest first; a line cut by a crash is left out.

        With what `end` gave, those before it: `follow` has the others.
        """
        records: list[dict[str, Any]] = []
        for path in (self.old, self.path):
            try:
                with path.open("rb") as file:
                    identity, data = os.fstat(file.fileno()).st_ino, file.read()
            except FileNotFoundError:
                continue
            last = end is not None and end[0] == identity
            records += _records(data[: end[1]] if end and last else data)
            if last:
                break
        return records

    def end(self) -> tuple[int, int]:
        """Where the log ends now, for `follow`."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_ino, found.st_size

    async def follow(self, start: tuple[int, int]) -> AsyncIterator[dict[str, Any]]:
        """Every record from `start` on, which `end` gave."""
        identity, position = start
        while True:
            added = self.added
            now, _ = self.end()
            if now != identity:
                identity, position = now, 0
            if identity:
                with self.path.open("rb") as file:
                    file.seek(position)
                    for line in file:
                        position += len(line)
                        for record in _records(line):
                            yield record
            await added.wait()


def _records(data: bytes) -> Iterator[dict[str, Any]]:
    """The records in lines; what was cut is none."""
    for line in data.splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def of_modules(record: dict[str, Any], include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a record's module is one of those included or below it, and of none excluded."""
    module = f"{record['module']}."

    def any_of(names: Sequence[str]) -> bool:
        return any(module.startswith(f"{name}.") for name in names)

    return (not include or any_of(include)) and not any_of(exclude)


def matches(
    record: dict[str, Any], *, level: str, include: Sequence[str], exclude: Sequence[str]
) -> bool:
    """Whether a record is wanted: of at least `level`, of the entities asked for.

    Entities are named as `app/0`, `unit-app-0`, `app` or a pattern of these.
    """
    if level and LEVELS.index(record["level"]) < LEVELS.index(level.upper()):
        return False
    entity = str(record["entity"])
    names = (entity, f"unit-{entity.replace('/', '-')}", entity.partition("/")[0])

    def any_of(patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)

    return (not include or any_of(include)) and not any_of(exclude)
