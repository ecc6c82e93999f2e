"""The controller's database: SQLite in WAL mode, one connection, one writer.

Everything that outlives the controller is in here. Callers read and write through the modules
that own a table (`models`, `applications`, `units`, ...); this one holds the schema, transactions
and the notice that something changed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minijuju.errors import StateError
from sandbox import backup

DATABASE, COPY = "state.db", "state.backup.db"
"""Names in the data folder: of the database, and of its last good copy."""
VERSION = 1

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE sequence (name TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT;
CREATE TABLE model (
    uuid TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, life TEXT NOT NULL, config TEXT NOT NULL,
    created REAL NOT NULL, destroy_storage INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE application (
    model TEXT NOT NULL REFERENCES model (uuid) ON DELETE CASCADE, name TEXT NOT NULL,
    life TEXT NOT NULL, charm TEXT NOT NULL, charm_version INTEGER NOT NULL, config TEXT NOT NULL,
    trust INTEGER NOT NULL, resources TEXT NOT NULL, storage TEXT NOT NULL,
    constraints TEXT NOT NULL, scale INTEGER NOT NULL, leader TEXT NOT NULL DEFAULT '',
    version TEXT NOT NULL DEFAULT '', address TEXT NOT NULL DEFAULT '', created REAL NOT NULL,
    destroy_storage INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (model, name)) STRICT;
CREATE TABLE unit (
    model TEXT NOT NULL, name TEXT NOT NULL, application TEXT NOT NULL, number INTEGER NOT NULL,
    life TEXT NOT NULL, local TEXT NOT NULL, charm_state TEXT NOT NULL DEFAULT '{}',
    ports TEXT NOT NULL DEFAULT '[]', address TEXT NOT NULL DEFAULT '',
    boot TEXT NOT NULL DEFAULT '', pod TEXT NOT NULL DEFAULT 'null',
    resolved TEXT NOT NULL DEFAULT '',
    destroy_storage INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, PRIMARY KEY (model, name),
    FOREIGN KEY (model, application) REFERENCES application (model, name)
    ON DELETE CASCADE) STRICT;
CREATE TABLE status (
    model TEXT NOT NULL REFERENCES model (uuid) ON DELETE CASCADE, entity TEXT NOT NULL,
    kind TEXT NOT NULL, status TEXT NOT NULL, message TEXT NOT NULL, data TEXT NOT NULL,
    since REAL NOT NULL, PRIMARY KEY (model, entity, kind)) STRICT;
CREATE TABLE status_history (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL REFERENCES model (uuid) ON DELETE CASCADE,
    entity TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL, message TEXT NOT NULL,
    data TEXT NOT NULL, since REAL NOT NULL) STRICT;
CREATE INDEX status_history_entity ON status_history (model, entity, kind, id);
CREATE TABLE relation (
    model TEXT NOT NULL REFERENCES model (uuid) ON DELETE CASCADE, id INTEGER NOT NULL,
    life TEXT NOT NULL, interface TEXT NOT NULL, endpoints TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (model, id)) STRICT;
CREATE TABLE bag (
    model TEXT NOT NULL, relation INTEGER NOT NULL, entity TEXT NOT NULL, settings TEXT NOT NULL,
    version INTEGER NOT NULL, PRIMARY KEY (model, relation, entity),
    FOREIGN KEY (model, relation) REFERENCES relation (model, id) ON DELETE CASCADE) STRICT;
CREATE TABLE scope (
    model TEXT NOT NULL, relation INTEGER NOT NULL, unit TEXT NOT NULL,
    PRIMARY KEY (model, relation, unit),
    FOREIGN KEY (model, relation) REFERENCES relation (model, id) ON DELETE CASCADE) STRICT;
CREATE TABLE secret (
    model TEXT NOT NULL REFERENCES model (uuid) ON DELETE CASCADE, id TEXT NOT NULL,
    owner_kind TEXT NOT NULL, owner TEXT NOT NULL, label TEXT NOT NULL, description TEXT NOT NULL,
    rotation TEXT NOT NULL, next_rotation REAL, latest INTEGER NOT NULL, created REAL NOT NULL,
    updated REAL NOT NULL, PRIMARY KEY (model, id)) STRICT;
CREATE UNIQUE INDEX secret_label ON secret (model, owner_kind, owner, label) WHERE label <> '';
CREATE TABLE secret_revision (
    model TEXT NOT NULL, secret TEXT NOT NULL, revision INTEGER NOT NULL, content BLOB NOT NULL,
    created REAL NOT NULL, expires REAL, next_expiry REAL,
    PRIMARY KEY (model, secret, revision),
    FOREIGN KEY (model, secret) REFERENCES secret (model, id) ON DELETE CASCADE) STRICT;
CREATE TABLE secret_consumer (
    model TEXT NOT NULL, secret TEXT NOT NULL, unit TEXT NOT NULL, label TEXT NOT NULL,
    revision INTEGER NOT NULL, PRIMARY KEY (model, secret, unit),
    FOREIGN KEY (model, secret) REFERENCES secret (model, id) ON DELETE CASCADE,
    FOREIGN KEY (model, unit) REFERENCES unit (model, name) ON DELETE CASCADE) STRICT;
CREATE TABLE secret_grant (
    model TEXT NOT NULL, secret TEXT NOT NULL, relation INTEGER NOT NULL, subject TEXT NOT NULL,
    PRIMARY KEY (model, secret, relation, subject),
    FOREIGN KEY (model, secret) REFERENCES secret (model, id) ON DELETE CASCADE,
    FOREIGN KEY (model, relation) REFERENCES relation (model, id) ON DELETE CASCADE) STRICT;
CREATE TABLE storage (
    model TEXT NOT NULL REFERENCES model (uuid) ON DELETE CASCADE, id TEXT NOT NULL,
    name TEXT NOT NULL, unit TEXT NOT NULL, life TEXT NOT NULL, folder TEXT NOT NULL,
    claim TEXT NOT NULL, size INTEGER NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (model, id)) STRICT;
CREATE TABLE task (
    model TEXT NOT NULL REFERENCES model (uuid) ON DELETE CASCADE, id INTEGER NOT NULL,
    unit TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, params TEXT NOT NULL,
    timeout REAL, status TEXT NOT NULL, message TEXT NOT NULL DEFAULT '',
    results TEXT NOT NULL DEFAULT '{}', log TEXT NOT NULL DEFAULT '[]', enqueued REAL NOT NULL,
    started REAL, completed REAL, PRIMARY KEY (model, id)) STRICT;
CREATE TABLE chore (id INTEGER PRIMARY KEY, what TEXT NOT NULL, words TEXT NOT NULL) STRICT;
"""


# Added to databases of that version too: what does not know it does not miss it.
ADDED = """
CREATE TABLE IF NOT EXISTS secret_access (
    model TEXT NOT NULL, secret TEXT NOT NULL, application TEXT NOT NULL,
    PRIMARY KEY (model, secret, application),
    FOREIGN KEY (model, secret) REFERENCES secret (model, id) ON DELETE CASCADE,
    FOREIGN KEY (model, application) REFERENCES application (model, name)
    ON DELETE CASCADE) STRICT;
CREATE TABLE IF NOT EXISTS secret_remote_consumer (
    model TEXT NOT NULL, secret TEXT NOT NULL, unit_model TEXT NOT NULL, unit TEXT NOT NULL,
    label TEXT NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (model, secret, unit_model, unit),
    FOREIGN KEY (model, secret) REFERENCES secret (model, id) ON DELETE CASCADE,
    FOREIGN KEY (unit_model, unit) REFERENCES unit (model, name) ON DELETE CASCADE) STRICT;
CREATE TABLE IF NOT EXISTS secret_pruned (
    model TEXT NOT NULL, secret TEXT NOT NULL, PRIMARY KEY (model, secret),
    FOREIGN KEY (model, secret) REFERENCES secret (model, id) ON DELETE CASCADE) STRICT;
CREATE VIEW IF NOT EXISTS secret_follower AS
    SELECT model, secret, model AS unit_model, unit, label, revision FROM secret_consumer
    UNION ALL
    SELECT model, secret, unit_model, unit, label, revision FROM secret_remote_consumer;
CREATE TABLE IF NOT EXISTS operation (
    model TEXT NOT NULL REFERENCES model (uuid) ON DELETE CASCADE, id INTEGER NOT NULL,
    summary TEXT NOT NULL, enqueued REAL NOT NULL, PRIMARY KEY (model, id)) STRICT;
CREATE TABLE IF NOT EXISTS operation_task (
    model TEXT NOT NULL, operation INTEGER NOT NULL, task INTEGER NOT NULL,
    PRIMARY KEY (model, operation, task),
    FOREIGN KEY (model, operation) REFERENCES operation (model, id) ON DELETE CASCADE,
    FOREIGN KEY (model, task) REFERENCES task (model, id) ON DELETE CASCADE) STRICT;
CREATE TABLE IF NOT EXISTS offer (
    model TEXT NOT NULL, name TEXT NOT NULL, application TEXT NOT NULL, endpoints TEXT NOT NULL,
    created REAL NOT NULL, PRIMARY KEY (model, name),
    FOREIGN KEY (model, application) REFERENCES application (model, name)
    ON DELETE CASCADE) STRICT;
CREATE TABLE IF NOT EXISTS saas (
    model TEXT NOT NULL REFERENCES model (uuid) ON DELETE CASCADE, name TEXT NOT NULL,
    offering TEXT NOT NULL, offer TEXT NOT NULL, life TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (model, name)) STRICT;
CREATE TABLE IF NOT EXISTS crossing (
    model TEXT NOT NULL, relation INTEGER NOT NULL, other_model TEXT NOT NULL,
    other_relation INTEGER NOT NULL, own TEXT NOT NULL, alias TEXT NOT NULL,
    PRIMARY KEY (model, relation),
    FOREIGN KEY (model, relation) REFERENCES relation (model, id) ON DELETE CASCADE) STRICT;
CREATE TABLE IF NOT EXISTS model_constraints (
    model TEXT PRIMARY KEY REFERENCES model (uuid) ON DELETE CASCADE,
    constraints TEXT NOT NULL) STRICT;
"""
COLUMNS = (
    ("application", "exposed", "INTEGER NOT NULL DEFAULT 0"),
    ("application", "settings", "TEXT NOT NULL DEFAULT '{}'"),
    ("application", "annotations", "TEXT NOT NULL DEFAULT '{}'"),
    ("application", "template", "TEXT NOT NULL DEFAULT ''"),
    ("application", "memory", "TEXT NOT NULL DEFAULT '{}'"),
    ("relation", "suspended", "INTEGER NOT NULL DEFAULT 0"),
    ("relation", "suspend_message", "TEXT NOT NULL DEFAULT ''"),
    ("operation", "fail", "TEXT NOT NULL DEFAULT ''"),
)
# What holds JSON: a byte that is another one often makes it none.
DOCUMENTS = {
    "model": ("config",),
    "application": (
        "charm",
        "config",
        "resources",
        "storage",
        "constraints",
        "settings",
        "annotations",
        "memory",
    ),
    "unit": ("local", "charm_state", "ports", "pod"),
    "status": ("data",),
    "status_history": ("data",),
    "relation": ("endpoints",),
    "bag": ("settings",),
    "task": ("params", "results", "log"),
    "chore": ("words",),
    "offer": ("endpoints",),
    "model_constraints": ("constraints",),
}


def verdict(connection: sqlite3.Connection) -> str:
    """What is found on reading all of a database: `ok`, or the first fault.

    SQLite keeps no checksums, so a byte inside a text that still makes sense goes unnoticed.
    """
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        return " ".join(str(found).split())
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION or version == 0:
        # Another minijuju's, which knows what is in it, or nobody's yet.
        return "ok"
    if lost := connection.execute("PRAGMA foreign_key_check").fetchone():
        return f"a row of {lost[0]} belongs to one of {lost[2]} that is not there"
    first = _columns(SCHEMA)
    for table, columns in _columns(SCHEMA + ADDED).items():
        known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if not known and table not in first:
            # It is added when an older minijuju's database is opened.
            continue
        if missing := columns - known:
            return f"the table {table} has no column {sorted(missing)[0]}"
        for column in known & set(DOCUMENTS.get(table, ())):
            query = f"SELECT rowid FROM {table} WHERE NOT json_valid({column})"  # noqa: S608
            if row := connection.execute(query).fetchone():
                return f"{column} in row {row[0]} of {table} is no JSON"
        # Each text is decoded, which fails for most that are another one.
        for _ in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608
            pass
    return "ok"


def _columns(schema: str) -> dict[str, set[str]]:
    """The columns that each table of a schema has had since it was first made."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema)
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {
            name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            for (name,) in tables.fetchall()
        }


class State:
    """One open database.

    Attributes:
        path: the database file.
        listeners: called with a model's uuid after a commit that `touch`ed that model.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the database.

        Raises:
            StateError: it is damaged, or a newer minijuju wrote it.
        """
        self.path = path
        self.listeners: list[Callable[[str], None]] = []
        self._depth = 0
        self._touched: set[str] = set()
        try:
            self._check()
            # Made by hand so that it is never readable by others, not even for a moment.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, isolation_level=None)
        except (OSError, sqlite3.OperationalError) as error:
            raise StateError(f"cannot open the database {path}: {error}") from error
        self._connection.row_factory = sqlite3.Row
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise StateError(f"cannot use the database {path}: {error}") from error
        except BaseException:
            self._connection.close()
            raise

    def _check(self) -> None:
        """Look at all of it before anything writes: a damaged file stays as it is."""
        if not self.path.exists():
            return
        copy = self.path.with_name(COPY)
        if not self.path.stat().st_size:
            # It is made empty; only one that was something else before has been cut.
            if copy.exists():
                raise StateError(_damage(self.path, "it is empty"))
            return
        if (found := backup.judge(self.path, verdict)) != "ok":
            raise StateError(_damage(self.path, found))

    def _open(self) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "cache_size=-1024",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StateError(
                f"{self.path} was written by a newer minijuju (schema {version}, this one knows"
                f" {VERSION}); use that one"
            )
        if version == 0:
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={VERSION}; COMMIT;"
            )
        self._connection.executescript(ADDED)
        for table, column, kind in COLUMNS:
            known = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
            if column not in {row["name"] for row in known}:
                self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")

    def close(self) -> None:
        """Close the database; what was not committed is gone."""
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside commits together, or, on an exception, not at all.

        A transaction inside another joins it. The listeners hear of it after the commit.
        """
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self._connection.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._touched.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0
        touched, self._touched = self._touched, set()
        for model in touched:
            for listener in self.listeners:
                listener(model)

    def touch(self, model: str) -> None:
        """Note that `model` changes in a way its units may have to act on."""
        if not self._depth:
            raise StateError("touch() outside a transaction")
        self._touched.add(model)

    def changes(self) -> int:
        """How many rows have changed since it was opened."""
        return self._connection.total_changes

    def execute(self, sql: str, *values: Any) -> int:
        """Run a statement; the number of rows it changed."""
        return self._connection.execute(sql, values).rowcount

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        found: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return found

    def number(self, name: str) -> int:
        """The next number of the sequence `name`, from 0; none is given twice."""
        found = self.row(
            "INSERT INTO sequence VALUES (?, 1) ON CONFLICT DO UPDATE SET next = next + 1"
            " RETURNING next",
            name,
        )
        if found is None:
            raise StateError(f"no number for {name}")
        return int(found[0]) - 1

    def meta(self, key: str) -> str:
        """A fact about this controller; empty if it was never set."""
        found = self.row("SELECT value FROM meta WHERE key = ?", key)
        return str(found[0]) if found else ""

    def set_meta(self, key: str, value: str) -> None:
        """Record a fact about this controller."""
        self.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            key,
            value,
        )


def _damage(path: Path, found: str) -> str:
    copy = path.with_name(COPY)
    written = backup.age(copy)
    has = f"the last good copy, of {written}," if written else "a copy"
    return (
        f"the database {path} is damaged ({found}); it was left as it is. `minijuju restore` puts"
        f" {has} in its place; or move it (with {path.name}-wal and {path.name}-shm) away to"
        " begin anew"
    )


_XID = "0123456789abcdefghijklmnopqrstuv"


def xid() -> str:
    """A fresh identifier in the form of Juju's secrets: 20 characters of base 32 hex, random."""
    return "".join(secrets.choice(_XID) for _ in range(20))
