"""The control loop of resource quotas: writes down what is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from tinykube import kinds, objects
from tinykube.admission import quotas, tallies
from tinykube.control import Loop
from tinykube.objects import JSON
from tinykube.registry import Registry
from tinykube.store import Change


class QuotaController(Loop):
    """Keeps `status.used` of the quotas of every namespace that has some."""

    name = "quotas"

    def __init__(self, registry: Registry) -> None:
        self._limited: set[str] = set()
        self._dirty: dict[str, None] = {}
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._limited = {row.namespace for row in self.store.rows(kinds.QUOTAS.key)}
        self._dirty = dict.fromkeys(sorted(self._limited))

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            if change.resource == kinds.QUOTAS.key:
                self._limited.add(change.namespace)
            elif change.type == "MODIFIED" and change.resource not in _LIVELY:
                continue
            if change.namespace in self._limited and change.resource != kinds.EVENTS.key:
                self._dirty[change.namespace] = None
                self.wake()

    def step(self) -> bool:
        """See Loop."""
        for namespace in list(self._dirty)[:1]:
            del self._dirty[namespace]
            self._review(namespace)
        return bool(self._dirty)

    def _review(self, namespace: str) -> None:
        rows = list(self.store.rows(kinds.QUOTAS.key, namespace))
        if not rows:
            self._limited.discard(namespace)
        for row in rows:
            quota: JSON = objects.load(row.data)
            hard = quota["spec"].get("hard") or {}
            used = self.registry.tallies.of(quota)
            status = {
                "hard": hard,
                "used": {name: quotas.text(used.get(name, _NONE), hard[name]) for name in hard},
            }
            self.registry.modify(
                kinds.QUOTAS, namespace, row.name, _set_status(status), uid=objects.uid(quota)
            )


_NONE = Fraction(0)
_LIVELY = (kinds.QUOTAS.key, *(resource.key for resource in tallies.LIVELY))


def _set_status(status: JSON) -> Callable[[JSON], bool]:
    def change(quota: JSON) -> bool:
        altered = bool(quota.get("status") != status)
        quota["status"] = status
        return altered

    return change
