"""Where experiments, pipelines, runs and their events are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .catalog import Catalog
from .database import Database, open_sqlite
from .interface import Recorder
from .runs import Runs, record_nothing


@dataclass(frozen=True, slots=True)
class Store:
    """The whole store over one database."""

    database: Database
    catalog: Catalog
    runs: Runs

    def check(self) -> None:
        """Read something; StoreError if the database does not answer."""
        self.database.check()

    def close(self) -> None:
        """Close it; nothing is lost."""
        self.database.close()


def open_store(path: Path, recorder: Recorder = record_nothing) -> Store:
    """Open the SQLite database at `path`.

    Args:
        path: the file; it is made if it is not there.
        recorder: says what new events give to deliver elsewhere.

    Raises:
        DatabaseError: it cannot be used; it is left as it is.
    """
    database = open_sqlite(path)
    return Store(database, Catalog(database), Runs(database, recorder))
