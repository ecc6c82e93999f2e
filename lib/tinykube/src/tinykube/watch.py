"""Watches: each has a place in the history and is woken when there is more behind it.

A watcher holds no events, so that a slow one costs no memory; one that falls behind what history
keeps is told so (410) and has to list again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinykube import kinds, objects
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.selectors import Selector
from tinykube.status import ApiError, expired
from tinykube.store import Change, EventType, Store

_BATCH = 100


@dataclass(frozen=True, slots=True)
class Event:
    """What a watcher is told: the object's JSON and how it came, changed or went.

    `known` is what `data` says where that was read already; it is not to be changed.
    """

    type: EventType
    data: str
    version: int
    known: JSON | None = field(default=None, repr=False, compare=False)

    @property
    def body(self) -> JSON:
        """The object; not to be changed."""
        body: JSON = objects.load(self.data) if self.known is None else self.known
        return body

    def line(self) -> bytes:
        """The event as a line of the watch's answer."""
        return f'{{"type":"{self.type}","object":{self.data}}}\n'.encode("ascii")


class Watch:
    """One watcher; made by `Hub.watch`, and to be closed.

    Attributes:
        position: every change up to this version has been handed out, or did not concern it.
        ended: True once its resource is no longer served as it was.
    """

    def __init__(
        self, hub: Hub, resource: Resource, namespace: str, selector: Selector, position: int
    ) -> None:
        self._hub = hub
        self.resource = resource
        self.namespace = namespace
        self.selector = selector
        self.position = position
        self.ended = False
        self.behind = hub.store.version > position
        self.more = asyncio.Event()
        if self.behind:
            self.more.set()

    def close(self) -> None:
        """Stop watching."""
        self._hub.forget(self)

    def take(self) -> list[Event]:
        """The next events; empty if there are none now.

        Raises:
            ApiError: 410, if history no longer reaches back to this watcher.
        """
        store = self._hub.store
        newest = store.version
        changes = store.changes(self.resource.key, self.position, _BATCH)
        if changes is None:
            raise too_old(self.position, store.oldest)
        self.behind = len(changes) == _BATCH
        self.position = changes[-1].version if self.behind else newest
        if not self.behind:
            self.more.clear()
        return list(self._select(changes))

    def _select(self, changes: Sequence[Change]) -> Iterator[Event]:
        for change in changes:
            if self.namespace and change.namespace != self.namespace:
                continue
            if not self.selector:
                yield Event(change.type, self.resource.shown(change.data), change.version)
                continue
            matched = change.before is not None and self._matches(change.before)
            # What leaves the selection is gone for this watcher, and what enters it is new.
            matches = change.type != "DELETED" and self._matches(change.after)
            if matched or matches:
                kind: EventType = (
                    "MODIFIED" if matched and matches else "ADDED" if matches else "DELETED"
                )
                leaving = change.type == "MODIFIED" and kind == "DELETED"
                data = self.resource.shown(_left(change) if leaving else change.data)
                known = change.after if data is change.data else None
                yield Event(kind, data, change.version, known)

    def _matches(self, obj: Any) -> bool:
        return self.selector.matches(obj, kinds.field_of)


def _left(change: Change) -> str:
    """An object that no longer matches: as it was when it did, with the change's version."""
    obj = objects.load(change.previous or change.data)
    obj["metadata"]["resourceVersion"] = str(change.version)
    return objects.dump(obj)


class Hub:
    """Wakes the watchers that a commit concerns."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._watches: dict[str, set[Watch]] = {}
        self.closing = False
        store.listen(self._changed)

    def __len__(self) -> int:
        return sum(len(watches) for watches in self._watches.values())

    def watch(
        self, resource: Resource, namespace: str, selector: Selector, position: int
    ) -> Watch:
        """Watch what changes behind version `position`.

        Raises:
            ApiError: 410, if history does not reach back that far.
        """
        if position < self.store.oldest and position != self.store.version:
            raise too_old(position, self.store.oldest)
        watch = Watch(self, resource, namespace, selector, position)
        self._watches.setdefault(resource.key, set()).add(watch)
        if self.closing:
            watch.more.set()
        return watch

    def forget(self, watch: Watch) -> None:
        """Drop a watcher."""
        self._watches.get(watch.resource.key, set()).discard(watch)

    def end(self, key: str) -> None:
        """End the watches of a resource whose definition changed: clients watch anew."""
        for watch in self._watches.get(key, ()):
            watch.ended = True
            watch.more.set()

    def close(self) -> None:
        """Wake every watcher so that it ends."""
        self.closing = True
        for watches in self._watches.values():
            for watch in watches:
                watch.more.set()

    def _changed(self, changes: Sequence[Change]) -> None:
        touched = {change.resource for change in changes}
        for resource, watches in self._watches.items():
            for watch in watches:
                if resource in touched:
                    watch.behind = True
                    watch.more.set()
                elif not watch.behind:
                    # It missed nothing: let it not fall out of the history while all is quiet.
                    watch.position = self.store.version


def too_old(position: int, oldest: int) -> ApiError:
    """The error of a watch that history no longer covers."""
    return expired(f"too old resource version: {position} ({oldest})")


def snapshot(store: Store, watch: Watch) -> Iterator[Event]:
    """What there is now, as ADDED events; the watch goes on behind it."""
    watch.position = store.version
    for row in store.rows(watch.resource.key, watch.namespace):
        if watch.selector:
            obj = objects.load(row.data)
            if not watch.selector.matches(obj, kinds.field_of):
                continue
        yield Event("ADDED", watch.resource.shown(row.data), watch.position)
