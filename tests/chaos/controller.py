"""The controller as its own program, with failures: it dies at a commit, or tells another time.

`python -m tests.chaos.controller FOLDER`. What is to fail stands in the environment, so that
minijuju itself knows nothing of it:

    CHAOS_COMMIT=before:17   SIGKILL when the 17th commit is asked for; `after`: when it is done
    CHAOS_CLOCK=FILE         the wall clock is off by the seconds that the file holds
    CHAOS_READ_ONLY=FILE     while the file is there, the disk takes no writes of the database
    CHAOS_PROBE=0.5          seconds between two probes of a Pebble
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minijuju import serve, workload


class Connection(sqlite3.Connection):
    """Counts what is committed, on its own or in a transaction, and ends the process."""

    when, at = "", 0
    commits = 0
    read_only: Path | None = None

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run a statement."""
        if self.read_only and self.read_only.exists() and not sql.startswith("SELECT"):
            raise sqlite3.OperationalError("attempt to write a readonly database")
        if sql == "COMMIT" and self.when == "before" and Connection.commits + 1 == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        changes = self.total_changes
        cursor = super().execute(sql, *values)
        if sql == "COMMIT" or (not self.in_transaction and self.total_changes != changes):
            Connection.commits += 1
            if self.when == "after" and Connection.commits == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
        return cursor


def _shifted(clock: Callable[[], float], file: Path) -> Callable[[], float]:
    def shifted() -> float:
        return clock() + float(file.read_text() if file.exists() else 0)

    return shifted


def main() -> int:
    """Fail as told, and otherwise be the controller."""
    if commit := os.environ.pop("CHAOS_COMMIT", ""):
        Connection.when, _, number = commit.partition(":")
        Connection.at = int(number)
    if path := os.environ.pop("CHAOS_READ_ONLY", ""):
        Connection.read_only = Path(path)
    sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)
    if path := os.environ.pop("CHAOS_CLOCK", ""):
        time.time = _shifted(time.time, Path(path))
    if period := os.environ.pop("CHAOS_PROBE", ""):
        workload.PROBE_PERIOD = float(period)
    return serve.main()


if __name__ == "__main__":
    sys.exit(main())
