"""Claims for the ephemeral volumes of pods: made for a pod, and gone with it (see `garbage`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinykube import events, kinds, objects, podspec
from tinykube.control import Loop
from tinykube.objects import JSON
from tinykube.options import Options
from tinykube.rbac import SYSTEM
from tinykube.registry import Registry
from tinykube.status import ApiError
from tinykube.store import Change

_COMPONENT = "persistentvolume-controller"
_MARK = '"ephemeral"'
_RETRY_SECONDS = 5.0


class EphemeralVolumes(Loop):
    """Makes the claim of each ephemeral volume."""

    name = "ephemeral volumes"
    concern = (kinds.PODS.key,)

    def __init__(self, registry: Registry) -> None:
        self._waiting: set[tuple[str, str]] = set()
        # Pods whose claim could not be made: another is in the way, or a quota is.
        self._stuck: set[tuple[str, str]] = set()
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._waiting = {
            (row.namespace, row.name)
            for row in self.store.rows(kinds.PODS.key)
            if _MARK in row.data
        }

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            new = change.resource == kinds.PODS.key and change.type == "ADDED"
            if new and _MARK in change.data:
                self._waiting.add((change.namespace, change.name))
                self.wake()

    def pause(self) -> float | None:
        """See Loop."""
        return _RETRY_SECONDS if self._stuck else None

    def step(self) -> bool:
        """See Loop."""
        todo = self._waiting | self._stuck
        self._waiting, self._stuck = set(), set()
        for namespace, name in sorted(todo):
            pod = self.store.load(kinds.PODS.key, namespace, name)
            if pod is None or objects.terminating(pod) or objects.finished(pod):
                continue
            made = [self._make(pod, volume) for _, volume in podspec.ephemeral(pod)]
            if not all(made):
                self._stuck.add((namespace, name))
        return False

    def _make(self, pod: JSON, volume: Mapping[str, Any]) -> bool:
        """Make the claim of a volume; False if it is not there."""
        namespace, name = objects.namespace(pod), podspec.of_volume(pod, volume["name"])
        there = self.store.load(kinds.CLAIMS.key, namespace, name)
        if there is not None:
            own = podspec.made_for(there, pod)
            if not own:
                self._failed(
                    pod,
                    f"PVC {namespace}/{name} was not created for pod {namespace}/"
                    f"{objects.name(pod)} (pod is not owner)",
                )
            return own
        template = volume["ephemeral"]["volumeClaimTemplate"]
        owner = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": objects.name(pod),
            "uid": objects.uid(pod),
            "controller": True,
            "blockOwnerDeletion": True,
        }
        meta = {
            name: dict(value) for name, value in (template.get("metadata") or {}).items() if value
        }
        body = {
            "metadata": {**meta, "name": name, "ownerReferences": [owner]},
            "spec": objects.copy(template["spec"]),
        }
        try:
            self.registry.create(kinds.CLAIMS, namespace, body, SYSTEM, Options())
        except ApiError as error:
            # A quota, say.
            self._failed(pod, f"ephemeral volume {volume['name']}: create PVC {name}: {error}")
            return False
        return True

    def _failed(self, pod: JSON, message: str) -> None:
        events.record(
            self.registry, pod, "Warning", "FailedBinding", message, component=_COMPONENT
        )
