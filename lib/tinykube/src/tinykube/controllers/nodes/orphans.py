"""Pods of nodes that do not exist (any more) are deleted: nobody else would end them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tinykube import kinds, objects
from tinykube.control import Loop
from tinykube.objects import JSON
from tinykube.options import Deletion
from tinykube.registry import Registry
from tinykube.status import ApiError
from tinykube.store import Change

# Seconds in which a node may come (back), as the real collector of pods has it.
_QUARANTINE = 40.0


class OrphanCollector(Loop):
    """Deletes pods whose node is missing.

    Args:
        registry: the operations.
        clock: monotonic seconds.
    """

    name = "orphaned pods"
    concern = (kinds.NODES.key, kinds.PODS.key)

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._nodes: set[str] = set()
        # Nodes that pods name and that are not there, by since when.
        self._missing: dict[str, float] = {}
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._nodes = {row.name for row in self.store.rows(kinds.NODES.key)}
        self._missing.clear()
        for row in self.store.rows(kinds.PODS.key):
            self._miss(objects.load(row.data)["spec"].get("nodeName", ""))

    def _miss(self, node: str) -> None:
        if node and node not in self._nodes and node not in self._missing:
            self._missing[node] = self._clock()
            self.wake()

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            if change.resource == kinds.NODES.key:
                if change.type == "DELETED":
                    self._nodes.discard(change.name)
                    self._miss(change.name)
                else:
                    self._nodes.add(change.name)
                    self._missing.pop(change.name, None)
            elif change.resource == kinds.PODS.key and change.type != "DELETED":
                self._miss(change.after["spec"].get("nodeName", ""))

    def pause(self) -> float | None:
        """See Loop."""
        if not self._missing:
            return None
        return max(min(self._missing.values()) + _QUARANTINE - self._clock(), 0.0)

    def step(self) -> bool:
        """See Loop."""
        now = self._clock()
        over = {node for node, since in self._missing.items() if now - since >= _QUARANTINE}
        if over:
            for row in self.store.rows(kinds.PODS.key):
                pod = objects.load(row.data)
                if pod["spec"].get("nodeName") in over:
                    self._delete(pod)
            for node in over:
                del self._missing[node]
        return False

    def _delete(self, pod: JSON) -> None:
        namespace, name, uid = objects.namespace(pod), objects.name(pod), objects.uid(pod)

        def fail(current: JSON) -> bool:
            if objects.finished(current):
                return False
            current["status"]["phase"] = "Failed"
            objects.set_condition(
                current["status"],
                "DisruptionTarget",
                "True",
                reason="DeletionByPodGC",
                message="PodGC: node no longer exists",
            )
            return True

        self.registry.modify(kinds.PODS, namespace, name, fail, uid=uid)
        try:
            self.registry.delete(kinds.PODS, namespace, name, Deletion(grace=0, uid=uid))
        except ApiError as error:
            if error.code not in (404, 409):
                raise
