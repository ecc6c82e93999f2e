"""The catalog's part that definitions write."""

from __future__ import annotations

from collections.abc import Sequence

from tinykube import objects
from tinykube.catalog import Catalog
from tinykube.crd.definition import established
from tinykube.crd.resources import versions
from tinykube.kinds import DEFINITIONS
from tinykube.objects import JSON
from tinykube.store import Change, Store


class Definitions:
    """Keeps the catalog in step with the stored definitions that are established."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._catalog = catalog
        for row in store.rows(DEFINITIONS.key):
            self._take(objects.load(row.data))
        store.listen(self._changed, (DEFINITIONS.key,))

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.resource != DEFINITIONS.key:
                continue
            if change.type == "DELETED":
                self._catalog.forget(change.name)
            elif not _alike(change.before, change.after):
                self._take(change.after)

    def _take(self, definition: JSON) -> None:
        if established(definition):
            self._catalog.define(versions(definition))


def _alike(before: JSON | None, after: JSON) -> bool:
    """True if a change does not concern what is served."""
    if before is None:
        return False
    return (
        before["spec"] == after["spec"]
        and before["status"].get("acceptedNames") == after["status"].get("acceptedNames")
        and established(before) is established(after)
        and objects.terminating(before) is objects.terminating(after)
    )
