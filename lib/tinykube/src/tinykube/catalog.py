"""What is served: the built-in kinds, and those that custom resource definitions add."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tinykube.kinds import COMPUTED, STORED, VIEWS
from tinykube.kinds.resource import Resource


class Catalog:
    """Finds resources by path, by the store's key and by kind.

    A kind of several versions is there once for each; all of them share a key, and the one that
    the store holds is found by it.
    """

    def __init__(self) -> None:
        self._defined: dict[str, tuple[Resource, ...]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self._by_key: dict[str, Resource] = {}
        self._build()

    def _build(self) -> None:
        served = list(self)
        self._by_path = {(item.group, item.version, item.plural): item for item in served}
        self._by_kind = {(item.api_version, item.kind): item for item in served}
        self._by_key = {item.key: item for item in STORED}
        for versions in self._defined.values():
            # The version that the store holds comes first; it need not be served.
            self._by_key[versions[0].key] = versions[0]

    def __iter__(self) -> Iterator[Resource]:
        """Every resource that is served, each version of it."""
        yield from STORED
        yield from VIEWS
        yield from COMPUTED
        for versions in self._defined.values():
            yield from (item for item in versions if item.served)

    def by_path(self, group: str, version: str, plural: str) -> Resource | None:
        """What is served at a path; None if nothing is."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """What is served of a kind; None if nothing is."""
        return self._by_kind.get((api_version, kind))

    def by_key(self, key: str) -> Resource | None:
        """The resource of the store's key, in the version that the store holds."""
        return self._by_key.get(key)

    def stored(self) -> tuple[Resource, ...]:
        """One resource for each key of the store."""
        return tuple(self._by_key.values())

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the key of a resource whose definition changed or went."""
        self._listeners.append(listener)

    def define(self, versions: Sequence[Resource]) -> None:
        """Add a resource, or replace it: all its versions, the one that is stored first."""
        key = versions[0].key
        known = key in self._defined
        self._defined[key] = tuple(versions)
        self._build()
        if known:
            self._tell(key)

    def forget(self, key: str) -> None:
        """Take a defined resource out."""
        if self._defined.pop(key, None) is not None:
            self._build()
            self._tell(key)

    def _tell(self, key: str) -> None:
        for listener in self._listeners:
            listener(key)
