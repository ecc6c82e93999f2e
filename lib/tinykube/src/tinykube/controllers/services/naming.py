"""Tells the node which services there are, so that pods find them by name and by variable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinykube import kinds, objects
from tinykube.control import Loop
from tinykube.node.neighbours import Names, Service
from tinykube.registry import Registry
from tinykube.store import Change

_CONCERN = (kinds.SERVICES.key, kinds.SLICES.key)


class Naming(Loop):
    """Hands the names out whenever they change.

    Args:
        registry: the operations.
        tell: takes all names there are.
    """

    name = "names"
    concern = _CONCERN

    def __init__(self, registry: Registry, tell: Callable[[Names], None]) -> None:
        self._tell = tell
        self._told: Names | None = None
        super().__init__(registry)

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        del changes
        self.wake()

    def step(self) -> bool:
        """See Loop."""
        names = read(self.registry)
        if names != self._told:
            self._tell(names)
            self._told = names
        return False


def read(registry: Registry) -> Names:
    """The names of all services and of the pods behind those without an address."""
    pods: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in registry.store.rows(kinds.SLICES.key):
        obj = objects.load(row.data)
        labels = obj["metadata"].get("labels") or {}
        found = pods.setdefault((row.namespace, labels.get("kubernetes.io/service-name", "")), [])
        found += [
            (item["addresses"][0], item.get("hostname", ""))
            for item in obj.get("endpoints") or ()
            if (item.get("conditions") or {}).get("ready", True)
        ]
    services = []
    for row in registry.store.rows(kinds.SERVICES.key):
        spec = objects.load(row.data)["spec"]
        address = spec.get("clusterIP", "")
        services.append(
            Service(
                name=row.name,
                namespace=row.namespace,
                address="" if address == "None" else address,
                external=spec.get("externalName", ""),
                ports=tuple(
                    (port.get("name", ""), port["port"], port["protocol"])
                    for port in spec.get("ports") or ()
                ),
                pods=tuple(sorted(pods.get((row.namespace, row.name), ()))),
            )
        )
    return Names(tuple(services))
