"""Where experiments, pipelines, runs with their events, and schedules are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .catalog import Catalog
from .database import Database
from .interface import Recorder
from .recurring import RecurringRuns
from .runs import Runs, record_nothing
from .sqlite import open_sqlite

__all__ = ["RecurringRuns", "Runs", "Store", "open_store", "over"]


@dataclass(frozen=True, slots=True)
class Store:
    """The whole store over one database."""

    database: Database
    catalog: Catalog
    runs: Runs
    recurring: RecurringRuns

    def check(self) -> None:
        """Read something; StoreError if the database does not answer."""
        self.database.check()

    def close(self) -> None:
        """Close it; nothing is lost."""
        self.database.close()


def open_store(path: Path, recorder: Recorder = record_nothing) -> Store:
    """Open the SQLite database at `path`; see `over`.

    Raises:
        DatabaseError: it cannot be used; it is left as it is.
    """
    return over(open_sqlite(path), recorder)


def over(database: Database, recorder: Recorder = record_nothing) -> Store:
    """Give the store that a database holds.

    Args:
        database: it.
        recorder: says what new events give to deliver elsewhere.
    """
    runs = Runs(database, recorder)
    return Store(database, Catalog(database), runs, RecurringRuns(database, runs))
