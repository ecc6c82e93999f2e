"""The note in a workload's folder that says which database has its data.

A database is known by its identity, a text that it keeps in a table: not by its name or place, so
that a restored copy is the same, and an empty one never is.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from .login import Login

FILE: Final = "postgresql.json"
"""The note's name; charms look for it too."""


class NoteError(Exception):
    """The data are elsewhere, or nobody knows where; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a note says.

    Attributes:
        database: where the data are, in words.
        identity: what the database that has them is known by.
    """

    database: str
    identity: str

    @classmethod
    def read(cls, folder: Path) -> Note | None:
        """Read a folder's note; None if it has none.

        Raises:
            NoteError: there is one, and it cannot be read.
        """
        path = folder / FILE
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(data["database"]), str(data["identity"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoteError(f"{path} cannot be read: {error}") from error

    def write(self, folder: Path) -> None:
        """Write it down: it is there whole, or not at all."""
        path, text = folder / FILE, json.dumps(asdict(self))
        with contextlib.suppress(FileNotFoundError):
            if path.read_text(encoding="utf-8") == text:
                return
        partial = path.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)


def check_absent(folder: Path, remedy: str) -> None:
    """See that a folder's data may be on the folder itself.

    Args:
        folder: the workload's.
        remedy: what names PostgreSQL to the workload, "set database_file again".

    Raises:
        NoteError: PostgreSQL has them.
    """
    if (note := Note.read(folder)) is not None:
        raise NoteError(
            f"the data are in PostgreSQL, in {note.database}: {remedy}. Or remove "
            f"{folder / FILE}, to begin without them"
        )


def check_same(folder: Path, login: Login, identity: str) -> bool:
    """See that a database is the one with a folder's data; give whether a note says so.

    Args:
        folder: the workload's.
        login: where the database is.
        identity: what it is known by; "" if it has no data yet.

    Raises:
        NoteError: another one has them.
    """
    note = Note.read(folder)
    if note is not None and note.identity != identity:
        raise NoteError(
            f"the data are in {note.database}, and {login} has "
            f"{'others' if identity else 'none'}: restore them there. Or remove {folder / FILE}, "
            "to go on with what is there"
        )
    return note is not None


def check_copy(file: Path, own: str, login: Login, identity: str) -> None:
    """See that a database that has data is the copy of a file, of a move that was cut.

    Args:
        file: the SQLite database.
        own: what that one is known by.
        login: where the other one is.
        identity: what the other one is known by.

    Raises:
        NoteError: they are others'.
    """
    if own != identity:
        raise NoteError(
            f"{login} has data of another application, and {file} has some: move the file away "
            "to go on with the former, or use an empty database"
        )
