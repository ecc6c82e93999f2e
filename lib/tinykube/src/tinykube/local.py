"""The control plane as its own node sees it: `NodeClient` without HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from tinykube import events, kinds, objects, tokens
from tinykube.node import registration
from tinykube.node.client import Endpoint, Kind, NotFoundError, PodEvent
from tinykube.objects import JSON
from tinykube.options import Deletion
from tinykube.registry import Registry
from tinykube.selectors import FieldRequirement, Selector
from tinykube.status import ApiError
from tinykube.store import StorageError
from tinykube.watch import Hub, snapshot

_RESOURCES: dict[Kind, kinds.Resource] = {
    "Secret": kinds.SECRETS,
    "ConfigMap": kinds.CONFIG_MAPS,
    "PersistentVolumeClaim": kinds.CLAIMS,
    "PersistentVolume": kinds.VOLUMES,
    "ServiceAccount": kinds.SERVICE_ACCOUNTS,
}
LEASE_NAMESPACE = "kube-node-lease"


@contextlib.contextmanager
def _as_oserror() -> Iterator[None]:
    """The node tries again on OSError; a full disk is one."""
    try:
        yield
    except StorageError as error:
        raise OSError(str(error)) from error


class LocalClient:
    """Serves a node in the daemon's own process; see `tinykube.node.client.NodeClient`."""

    def __init__(
        self, registry: Registry, hub: Hub, issuer: tokens.Tokens, endpoint: Endpoint
    ) -> None:
        self._registry = registry
        self._hub = hub
        self._tokens = issuer
        self._endpoint = endpoint

    @property
    def endpoint(self) -> Endpoint:
        """The API's address for pods."""
        return self._endpoint

    async def register(self, node: JSON) -> None:
        """Create the Node, or bring labels and status of the existing one up to date."""
        name = objects.name(node)

        def change(current: JSON) -> bool:
            labels = registration.labels(current, node)
            status = registration.status(current, node, datetime.now(UTC))
            current["metadata"].setdefault("labels", {}).update(labels)
            if status is not None:
                current["status"] = status
            return bool(labels) or status is not None

        with _as_oserror():
            if not self._registry.modify(kinds.NODES, "", name, change):
                body = {key: value for key, value in node.items() if key != "status"}
                self._registry.ensure(kinds.NODES, "", body)
                self._registry.modify(kinds.NODES, "", name, change)

    async def heartbeat(self, name: str, seconds: int) -> None:
        """Renew the node's lease."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": seconds, "renewTime": now}

        def change(lease: JSON) -> bool:
            lease["spec"] = spec
            return True

        with _as_oserror():
            if not self._registry.modify(kinds.LEASES, LEASE_NAMESPACE, name, change):
                body = {"metadata": {"name": name}, "spec": spec}
                self._registry.ensure(kinds.LEASES, LEASE_NAMESPACE, body)

    async def watch_pods(self, node: str) -> AsyncIterator[PodEvent]:
        """Follow the pods bound to `node`."""
        selector = Selector(fields=(FieldRequirement("spec.nodeName", node, negated=False),))
        watch = self._hub.watch(kinds.PODS, "", selector, self._registry.store.version)
        try:
            for event in snapshot(self._registry.store, watch):
                yield PodEvent("ADDED", event.body)
            yield PodEvent("SYNCED", {})
            while not self._hub.closing:
                await watch.more.wait()
                try:
                    found = watch.take()
                except ApiError as error:
                    raise OSError(str(error)) from error
                for event in found:
                    yield PodEvent(event.type, event.body)
        finally:
            watch.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> JSON:
        """Read one object. Raises NotFoundError."""
        try:
            obj: JSON = objects.load(self._registry.get(_RESOURCES[kind], namespace or "", name))
        except ApiError as error:
            raise NotFoundError(error.message) from error
        return obj

    async def token(
        self, namespace: str, account: str, pod: JSON, audiences: Sequence[str], seconds: int
    ) -> str:
        """Issue a token of a service account, bound to `pod`. Raises NotFoundError."""
        found = await self.get("ServiceAccount", namespace, account)
        return self._tokens.issue(found, audiences, seconds, pod).token

    async def patch_status(self, namespace: str, name: str, uid: str, status: JSON) -> bool:
        """Replace the top-level keys of the pod's status; False if the pod is gone."""

        def change(pod: JSON) -> bool:
            current = pod.setdefault("status", {})
            new = {**current, **status}
            if "conditions" in status:
                new["conditions"] = _conditions(current.get("conditions"), status["conditions"])
            if new == current:
                return False
            pod["status"] = new
            return True

        with _as_oserror():
            return self._registry.modify(kinds.PODS, namespace, name, change, uid=uid)

    async def remove_pod(self, namespace: str, name: str, uid: str) -> None:
        """Delete the pod for good."""
        with _as_oserror():
            try:
                self._registry.delete(kinds.PODS, namespace, name, Deletion(grace=0, uid=uid))
            except ApiError as error:
                if error.reason not in ("NotFound", "Conflict"):
                    raise

    async def create_event(
        self, pod: JSON, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an Event about the pod."""
        with _as_oserror():
            events.record(self._registry, pod, type_, reason, message, component="kubelet")


def _conditions(current: Any, new: list[JSON]) -> list[JSON]:
    """The node's conditions, and those of others (the scheduler's) that it does not name."""
    named = {item["type"] for item in new}
    return [item for item in current or () if item["type"] not in named] + new
