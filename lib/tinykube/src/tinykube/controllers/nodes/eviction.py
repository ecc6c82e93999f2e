"""The taint eviction controller: pods leave a node whose NoExecute taints they do not tolerate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tinykube import events, kinds, objects
from tinykube.control import Loop
from tinykube.objects import JSON
from tinykube.options import Deletion
from tinykube.registry import Registry
from tinykube.scheduler.taints import NO_EXECUTE, Taint, Toleration, untolerated
from tinykube.status import ApiError
from tinykube.store import Change

_COMPONENT = "taint-eviction-controller"


def stay(pod: Mapping[str, Any], taints: Sequence[Taint], now: datetime) -> timedelta | None:
    """How much longer a pod may stay on a node of these NoExecute taints; None for ever.

    A taint counts from when it was put on, whoever was away meanwhile; a clock that jumped never
    makes the time longer than the toleration has it.
    """
    tolerations = [Toleration.read(item) for item in pod["spec"].get("tolerations") or ()]
    if untolerated(taints, tolerations, (NO_EXECUTE,)):
        return timedelta(0)
    left: timedelta | None = None
    for taint in taints:
        bounded = [
            max(item.seconds, 0)
            for item in tolerations
            if item.seconds is not None and item.tolerates(taint)
        ]
        if not bounded:
            continue
        allowed = timedelta(seconds=min(bounded))
        since = now - objects.when(taint.added) if taint.added else timedelta(0)
        mine = min(max(allowed - since, timedelta(0)), allowed)
        left = mine if left is None else min(left, mine)
    return left


class TaintEviction(Loop):
    """Deletes pods from tainted nodes, in time.

    Args:
        registry: the operations.
        clock: what time it is.
    """

    name = "taint eviction"
    concern = (kinds.NODES.key, kinds.PODS.key)

    def __init__(
        self, registry: Registry, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        # NoExecute taints, of the nodes that have any.
        self._taints: dict[str, tuple[Taint, ...]] = {}
        self._dirty: dict[str, None] = {}
        self._pods: dict[tuple[str, str], None] = {}
        self._due: dict[tuple[str, str], datetime] = {}
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._taints.clear()
        self._due.clear()
        for row in self.store.rows(kinds.NODES.key):
            self._note(row.name, objects.load(row.data))

    def _note(self, name: str, node: JSON | None) -> bool:
        taints = (((node or {}).get("spec") or {}).get("taints")) or ()
        found = tuple(Taint.read(item) for item in taints if item["effect"] == NO_EXECUTE)
        if found == self._taints.get(name, ()):
            return False
        self._taints[name] = found
        if not found:
            del self._taints[name]
        self._dirty[name] = None
        return True

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            if change.resource == kinds.NODES.key:
                if self._note(change.name, None if change.type == "DELETED" else change.after):
                    self.wake()
            elif change.resource == kinds.PODS.key and (self._taints or self._due):
                key = (change.namespace, change.name)
                if change.type == "DELETED":
                    self._due.pop(key, None)
                elif change.after["spec"].get("nodeName") in self._taints:
                    self._pods[key] = None
                    self.wake()

    def pause(self) -> float | None:
        """See Loop."""
        if not self._due:
            return None
        return max((min(self._due.values()) - self._clock()).total_seconds(), 0.0)

    def step(self) -> bool:
        """See Loop."""
        now = self._clock()
        dirty, self._dirty = self._dirty, {}
        if dirty:
            for row in self.store.rows(kinds.PODS.key):
                pod = objects.load(row.data)
                if pod["spec"].get("nodeName") in dirty:
                    self._judge(pod, now)
        pods, self._pods = self._pods, {}
        for key in [*pods, *(key for key, due in self._due.items() if due <= now)]:
            found = self.store.load(kinds.PODS.key, *key)
            if found is None:
                self._due.pop(key, None)
            else:
                self._judge(found, now)
        return False

    def _judge(self, pod: JSON, now: datetime) -> None:
        key = (objects.namespace(pod), objects.name(pod))
        self._due.pop(key, None)
        taints = self._taints.get(pod["spec"].get("nodeName", ""))
        if not taints or objects.terminating(pod):
            return
        left = stay(pod, taints, now)
        if left is None:
            return
        if left > timedelta(0):
            self._due[key] = now + left
            return
        self._evict(pod)

    def _evict(self, pod: JSON) -> None:
        namespace, name, uid = objects.namespace(pod), objects.name(pod), objects.uid(pod)
        text = f"Marking for deletion Pod {namespace}/{name}"
        events.record(
            self.registry, pod, "Normal", "TaintManagerEviction", text, component=_COMPONENT
        )

        def mark(current: JSON) -> bool:
            return objects.set_condition(
                current["status"],
                "DisruptionTarget",
                "True",
                reason="DeletionByTaintManager",
                message="Taint manager: deleting due to NoExecute taint",
            )

        self.registry.modify(kinds.PODS, namespace, name, mark, uid=uid)
        try:
            self.registry.delete(kinds.PODS, namespace, name, Deletion(uid=uid))
        except ApiError as error:
            if error.code not in (404, 409):
                raise
