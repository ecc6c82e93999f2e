"""The store: every object and the history of its changes, in one SQLite file.

One writer (the event loop's thread); each transaction raises the resource version by one for every
object it changes, writes the change into the history, and tells the listeners after the commit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sandbox.backup import judge, quick_verdict
from tinykube import objects
from tinykube.objects import JSON

log = logging.getLogger(__name__)

# The layout of the database, and its number in `user_version`.
FORMAT = 1
SCHEMA = """
CREATE TABLE objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    uid TEXT NOT NULL, version INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (resource, namespace, name)
);
CREATE UNIQUE INDEX objects_by_uid ON objects (uid);
CREATE TABLE owners (
    owner TEXT NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (owner, resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE history (
    version INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL,
    name TEXT NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL, previous TEXT
);
CREATE INDEX history_by_resource ON history (resource, version);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

# How much history is kept for watchers that resume and for lists read page by page.
_KEEP_EVENTS = 10_000
_KEEP_BYTES = 64 * 2**20
# How much of it stays in memory for the watchers that keep up.
_RECENT_EVENTS = 512
_RECENT_BYTES = 4 * 2**20
# Of how many of these what they say is kept as it was read, which takes six times as much memory:
# whoever keeps up asks for that of the last hundred.
_KEEP_PARSED = 128
# How many objects that were read are remembered.
_KEEP_READ = 256
# The log is folded into the database after about this many bytes, by a thread.
_CHECKPOINT_BYTES = 4 * 2**20
# A rebooted machine may have lost the last commits: versions that clients saw are not used again.
_REBOOT_GAP = 1_000_000

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
# A resource, a namespace (or empty) and a name.
Key = tuple[str, str, str]


class StorageError(Exception):
    """The disk refused a write (full, or broken); nothing of the transaction was kept."""


class DamagedError(Exception):
    """The database file cannot be used; the message says what to do."""


@dataclass(slots=True)
class Change:
    """One change of one object.

    Attributes:
        data: the object after the change (as it was, for DELETED, with the deletion's version).
        previous: the object before; None for ADDED.
    """

    version: int
    resource: str
    namespace: str
    name: str
    type: EventType
    data: str
    previous: str | None
    _after: JSON | None = field(default=None, repr=False)
    _before: JSON | None = field(default=None, repr=False)

    @property
    def key(self) -> Key:
        """Of which object it is."""
        return self.resource, self.namespace, self.name

    @property
    def after(self) -> JSON:
        """`data`, read once; not to be changed."""
        if self._after is None:
            self._after = objects.load(self.data)
        return self._after

    @property
    def before(self) -> JSON | None:
        """`previous`, read once; not to be changed."""
        if self._before is None and self.previous is not None:
            self._before = objects.load(self.previous)
        return self._before

    def forget(self) -> None:
        """Let go of what was read; it is read again for whoever asks."""
        self._after = self._before = None

    def known(self, data: str | None) -> JSON | None:
        """What `data` says, if it is this change's and was read already; not to be changed."""
        return self._after if data == self.data else None

    @property
    def size(self) -> int:
        """Bytes that the change holds."""
        return len(self.data) + len(self.previous or "")


@dataclass(frozen=True, slots=True)
class Row:
    """One stored object: its key and its JSON."""

    namespace: str
    name: str
    data: str


class Transaction:
    """Writes that are kept together or not at all; made by `Store.write`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        version: int,
        latest: Mapping[Key, Change],
        heeded: Set[str],
    ) -> None:
        self._connection = connection
        self.version = version
        self._heeded = heeded
        # The last change of each object, before this transaction and of its own.
        self._latest = latest
        self._own: dict[Key, Change] = {}
        self.changes: list[Change] = []
        # A part of it failed half-way.
        self.spoiled = False

    def insert(self, resource: str, obj: JSON) -> str:
        """Store a new object; its resourceVersion is set. Returns its JSON.

        The object is the store's from then on, and is not to be changed any more.
        """
        return self._record(resource, obj, "ADDED", None)

    def replace(self, resource: str, obj: JSON, previous: str, before: JSON | None = None) -> str:
        """Store a changed object over `previous`, its JSON so far. Returns its new JSON.

        `before` is what `previous` says, if that was read already and stays as it is. The changed
        object is the store's from then on, as a new one is.
        """
        return self._record(resource, obj, "MODIFIED", previous, before)

    def remove(self, resource: str, obj: JSON, previous: str) -> str:
        """Delete an object. Returns its JSON with the version of the deletion."""
        return self._record(resource, obj, "DELETED", previous)

    def pass_by(self, resource: str, obj: JSON, previous: str) -> str:
        """Tell of a changed object that this transaction removes next. Returns its new JSON."""
        return self._record(resource, obj, "MODIFIED", previous, kept=False)

    def _record(
        self,
        resource: str,
        obj: JSON,
        type_: EventType,
        previous: str | None,
        before: JSON | None = None,
        *,
        kept: bool = True,
    ) -> str:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        data = objects.dump(obj)
        key = (resource, objects.namespace(obj), objects.name(obj))
        execute = self._connection.execute
        if type_ == "DELETED":
            execute("DELETE FROM objects WHERE resource=? AND namespace=? AND name=?", key)
        elif kept:
            execute(
                "INSERT INTO objects VALUES (?,?,?,?,?,?) ON CONFLICT (resource, namespace, name) "
                "DO UPDATE SET version=excluded.version, data=excluded.data",
                (*key, objects.uid(obj), self.version, data),
            )
        if kept:
            self._note_owners(key, obj, type_, previous)
        execute(
            "INSERT INTO history VALUES (?,?,?,?,?,?,?)",
            (self.version, *key, type_, data, previous),
        )
        last = self._own.get(key) or self._latest.get(key)
        if before is None and last is not None:
            before = last.known(previous)
        # What is passed by changes once more; what nobody is going to read is not kept.
        after = obj if kept and type_ != "DELETED" and resource in self._heeded else None
        change = Change(self.version, *key, type_, data, previous, _after=after, _before=before)
        self._own[key] = change
        self.changes.append(change)
        return data

    def _note_owners(
        self, key: tuple[str, str, str], obj: JSON, type_: EventType, previous: str | None
    ) -> None:
        owners = () if type_ == "DELETED" else obj["metadata"].get("ownerReferences") or ()
        if previous is not None and '"ownerReferences":[' in previous:
            self._connection.execute(
                "DELETE FROM owners WHERE resource=? AND namespace=? AND name=?", key
            )
        for owner in owners:
            self._connection.execute(
                "INSERT OR IGNORE INTO owners VALUES (?,?,?,?)", (owner["uid"], *key)
            )


class Store:
    """The database; see the module. Not for use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listeners: list[tuple[Callable[[Sequence[Change]], None], frozenset[str]]] = []
        # The resources that some listener is there for: what changes of these is read.
        self._heeded: set[str] = set()
        self._recent: deque[Change] = deque()
        self._parsed: deque[Change] = deque()
        # Of the recent changes the last of each object: what they say is often read already.
        self._latest: dict[Key, Change] = {}
        # What was read lately and has not changed since; how many objects a resource has.
        self._read: dict[Key, str] = {}
        self._counts: Counter[str] = Counter()
        self._open: Transaction | None = None
        self._recent_bytes = 0
        self._history_bytes = 0
        self._unfolded = 0
        self._checkpoint: threading.Thread | None = None
        self._connection = _open(path)
        try:
            self.version, self.oldest = self._recover()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise StorageError(f"the database {path} cannot be used: {error}") from error
            raise

    def _recover(self) -> tuple[int, int]:
        """The newest version, and the one below which history is gone."""
        facts: dict[str, str] = dict(self._connection.execute("SELECT name, value FROM facts"))
        (newest,) = self._connection.execute(
            "SELECT max(coalesce((SELECT max(version) FROM objects), 0), "
            "coalesce((SELECT max(version) FROM history), 0))"
        ).fetchone()
        version = max(newest, int(facts.get("version", "1")))
        oldest = int(facts.get("oldest", "1"))
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        if facts.get("boot") != boot:
            # Without an fsync a commit (synchronous=NORMAL), a power failure may take the last
            # ones. Clients that saw them must list anew: their versions are left behind.
            if "boot" in facts:
                version += _REBOOT_GAP
                oldest = version
                self._connection.execute("DELETE FROM history")
            self._remember("boot", boot)
            self._remember("oldest", str(oldest))
        self._remember("version", str(version))
        self._counts.update(
            dict(self._connection.execute("SELECT resource, count(*) FROM objects GROUP BY 1"))
        )
        (self._history_bytes,) = self._connection.execute(
            "SELECT coalesce(sum(length(data) + coalesce(length(previous), 0)), 0) FROM history"
        ).fetchone()
        return version, oldest

    def _remember(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?,?)", (name, value))

    def listen(
        self, listener: Callable[[Sequence[Change]], None], resources: Iterable[str] = ()
    ) -> None:
        """Call `listener` after every commit with its changes; it must not raise or block.

        Args:
            listener: is given all changes of the commit.
            resources: only commits that change an object of one of these; none: every commit.
        """
        self._listeners.append((listener, frozenset(resources)))
        self._heeded.update(self._listeners[-1][1])

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction: committed at the end of the block, undone if the block raises.

        One within another's block is a part of that, and is told to listeners with all of it. It
        cannot be undone alone: if it raises after it has written, nothing of the whole is kept.

        Raises:
            StorageError: the disk refused it.
        """
        if (whole := self._open) is not None:
            written = len(whole.changes)
            try:
                yield whole
            except BaseException:
                whole.spoiled |= len(whole.changes) > written
                raise
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            transaction = Transaction(self._connection, self.version, self._latest, self._heeded)
            self._open = transaction
            try:
                yield transaction
                if transaction.spoiled:
                    raise RuntimeError("a part of a transaction failed after it had written")
                self._trim(transaction)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._open = None
        except sqlite3.Error as error:
            raise StorageError(f"the database {self.path} cannot be written: {error}") from error
        self._publish(transaction)

    def _trim(self, transaction: Transaction) -> None:
        """Forget history beyond what is kept; a part at a time, so that no write is slow."""
        version = transaction.version
        excess = self._history_bytes + sum(change.size for change in transaction.changes)
        if version - self.oldest <= _KEEP_EVENTS + 500 and excess <= _KEEP_BYTES:
            return
        oldest = max(self.oldest, version - _KEEP_EVENTS)
        if excess > _KEEP_BYTES:
            (half,) = self._connection.execute(
                "SELECT coalesce(max(version), 0) FROM (SELECT version FROM history "
                "ORDER BY version LIMIT (SELECT count(*) / 2 FROM history))"
            ).fetchone()
            oldest = max(oldest, half)
        self._connection.execute("DELETE FROM history WHERE version <= ?", (oldest,))
        self._remember("oldest", str(oldest))
        self._remember("version", str(version))
        (kept,) = self._connection.execute(
            "SELECT coalesce(sum(length(data) + coalesce(length(previous), 0)), 0) FROM history"
        ).fetchone()
        self.oldest = oldest
        self._history_bytes = kept - sum(change.size for change in transaction.changes)

    def _publish(self, transaction: Transaction) -> None:
        if not transaction.changes:
            return
        self.version = transaction.version
        size = sum(change.size for change in transaction.changes)
        self._history_bytes += size
        self._recent.extend(transaction.changes)
        self._latest.update((change.key, change) for change in transaction.changes)
        self._recent_bytes += size
        while len(self._recent) > _RECENT_EVENTS or (
            self._recent_bytes > _RECENT_BYTES and len(self._recent) > 1
        ):
            old = self._recent.popleft()
            self._recent_bytes -= old.size
            if self._latest[old.key] is old:
                del self._latest[old.key]
        self._parsed.extend(transaction.changes)
        while len(self._parsed) > _KEEP_PARSED:
            self._parsed.popleft().forget()
        for change in transaction.changes:
            self._read.pop(change.key, None)
            if change.type != "MODIFIED":
                self._counts[change.resource] += 1 if change.type == "ADDED" else -1
        touched = {change.resource for change in transaction.changes}
        for listener, concern in self._listeners:
            if not concern or not concern.isdisjoint(touched):
                listener(transaction.changes)
        self._unfolded += 3 * size + 16_384
        if self._unfolded > _CHECKPOINT_BYTES:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Fold the log into the database, in a thread: the fsync holds no request up."""
        if self._checkpoint is None or not self._checkpoint.is_alive():
            self._unfolded = 0
            self._checkpoint = threading.Thread(
                target=_fold, args=(self.path,), name="checkpoint", daemon=True
            )
            self._checkpoint.start()

    def get(self, resource: str, namespace: str, name: str) -> str | None:
        """One object's JSON, or None."""
        key = (resource, namespace, name)
        if self._open is None:
            if (last := self._latest.get(key)) is not None:
                return None if last.type == "DELETED" else last.data
            if (data := self._read.get(key)) is not None:
                return data
        row = self._connection.execute(
            "SELECT data FROM objects WHERE resource=? AND namespace=? AND name=?",
            key,
        ).fetchone()
        if row is None:
            return None
        if self._open is None:
            if len(self._read) >= _KEEP_READ:
                self._read.clear()
            self._read[key] = row[0]
        return str(row[0])

    def load(self, resource: str, namespace: str, name: str) -> JSON | None:
        """One object, or None."""
        data = self.get(resource, namespace, name)
        return None if data is None else objects.load(data)

    def recall(self, resource: str, namespace: str, name: str, data: str) -> JSON:
        """What `data`, an object's JSON as it is stored, says; not to be changed."""
        last = self._latest.get((resource, namespace, name))
        if last is not None and last.data == data:
            return last.after
        obj: JSON = objects.load(data)
        return obj

    def by_uid(self, uid: str) -> tuple[str, Row] | None:
        """The resource and row of the object with this uid, or None."""
        row = self._connection.execute(
            "SELECT resource, namespace, name, data FROM objects WHERE uid=?", (uid,)
        ).fetchone()
        return (row[0], Row(*row[1:])) if row else None

    def dependents(self, uid: str) -> list[tuple[str, Row]]:
        """The resource and row of every object that names `uid` as an owner."""
        rows = self._connection.execute(
            "SELECT o.resource, o.namespace, o.name, o.data FROM owners w JOIN objects o "
            "USING (resource, namespace, name) WHERE w.owner=?",
            (uid,),
        )
        return [(row[0], Row(*row[1:])) for row in rows.fetchall()]

    def owners(self) -> list[str]:
        """The uids that objects name as owners."""
        return [row[0] for row in self._connection.execute("SELECT DISTINCT owner FROM owners")]

    def rows(
        self,
        resource: str,
        namespace: str = "",
        *,
        after: tuple[str, str] = ("", ""),
        version: int | None = None,
        limit: int = -1,
    ) -> Iterator[Row]:
        """The objects of a resource in the order of their keys, all namespaces if it is empty.

        Args:
            resource: `plural` or `plural.group`.
            namespace: one namespace, or empty for all.
            after: begin behind this namespace and name.
            version: as they were at this version, which history must still cover.
            limit: at most so many; -1 for all.
        """
        if version is None and self._open is None and not self._counts[resource]:
            return
        query, values = self._select("namespace, name, data", resource, namespace, after, version)
        # Read whole: a half-read cursor would hold the log back and see later writes.
        found = self._connection.execute(
            f"{query} ORDER BY namespace, name LIMIT :limit", {**values, "limit": limit}
        )
        for row in found.fetchall():
            yield Row(*row)

    def _select(
        self,
        columns: str,
        resource: str,
        namespace: str,
        after: tuple[str, str],
        version: int | None,
    ) -> tuple[str, dict[str, object]]:
        """The query of a resource's objects as they were, and its values."""
        where = "resource=:resource AND (namespace, name) > (:after_namespace, :after_name)"
        if namespace:
            where += " AND namespace=:namespace"
        values: dict[str, object] = {
            "resource": resource,
            "namespace": namespace,
            "after_namespace": after[0],
            "after_name": after[1],
            "version": version,
        }
        now = f"SELECT {columns} FROM objects WHERE {where}"  # noqa: S608 - parts of our own
        if version is None or version >= self.version:
            return now, values
        # What has not changed since, and the first `previous` of what has.
        past = (
            f"SELECT {columns} FROM (SELECT namespace, name, previous AS data, "  # noqa: S608
            f"min(version) FROM history WHERE {where} AND version > :version "
            "GROUP BY namespace, name) WHERE data IS NOT NULL"
        )
        return f"{now} AND version <= :version UNION ALL {past}", values

    def count(
        self,
        resource: str,
        namespace: str = "",
        *,
        after: tuple[str, str] = ("", ""),
        version: int | None = None,
    ) -> int:
        """How many objects of a resource there are; see `rows` for the arguments."""
        query, values = self._select("count(*)", resource, namespace, after, version)
        return sum(number for (number,) in self._connection.execute(query, values))

    def resources_in(self, namespace: str) -> list[str]:
        """The resources that have objects in a namespace."""
        rows = self._connection.execute(
            "SELECT DISTINCT resource FROM objects WHERE namespace=?", (namespace,)
        )
        return [row[0] for row in rows.fetchall()]

    def changes(self, resource: str, after: int, limit: int) -> list[Change] | None:
        """The changes of a resource behind version `after`, at most `limit`.

        None if history no longer reaches back that far.
        """
        if after < self.oldest:
            return None
        if self._recent and self._recent[0].version <= after + 1:
            found = []
            for change in reversed(self._recent):
                if change.version <= after:
                    break
                if change.resource == resource:
                    found.append(change)
            return found[::-1][:limit]
        rows = self._connection.execute(
            "SELECT version, resource, namespace, name, type, data, previous FROM history "
            "WHERE resource=? AND version>? ORDER BY version LIMIT ?",
            (resource, after, limit),
        )
        return [Change(*row) for row in rows.fetchall()]

    def close(self) -> None:
        """Fold the log and close the file."""
        if self._checkpoint is not None:
            self._checkpoint.join()
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


def _open(path: Path) -> sqlite3.Connection:
    if path.exists() and path.stat().st_size:
        # Before anything is written: a damaged file stays as it is, and so does its log.
        try:
            found = judge(path, quick_verdict)
        except sqlite3.OperationalError as error:
            raise StorageError(f"the database {path} cannot be opened: {error}") from error
        if found != "ok":
            raise DamagedError(_damage(path, found))
    # Made by us with its mode, since SQLite would let the umask decide; the log takes it over.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        # Each commit is in the kernel's hands when it returns, so a kill -9 loses nothing. It is
        # on the disk only after the next checkpoint: a power failure may take the last commits
        # (never part of one). An fsync a commit would cost 5-50 ms on a laptop's disk.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA cache_size=-1024")
        _prepare(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise StorageError(f"the database {path} cannot be opened: {error}") from error
        raise DamagedError(_damage(path, str(error))) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise DamagedError(
            f"the database {path} was written by a newer tinykube (format {version}, this one "
            f"reads {FORMAT}); start that one, or move the file away to begin anew"
        )
    if version == 0:
        connection.executescript(
            f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;"
        )


def _damage(path: Path, found: str) -> str:
    return (
        f"the database {path} is damaged ({found}); it was left as it is. `tinykube restore` puts "
        f"the last good copy in its place; or move it (with {path.name}-wal and {path.name}-shm) "
        "away to begin anew"
    )


def _fold(path: Path) -> None:
    try:
        connection = sqlite3.connect(path, timeout=1)
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            connection.close()
    except sqlite3.Error as error:
        # Nothing is lost: the log keeps what it has, and the next checkpoint tries again.
        log.warning("the log of %s could not be folded in: %s", path, error)
