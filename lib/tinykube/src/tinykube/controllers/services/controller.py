"""The control loop that keeps Endpoints and EndpointSlices of services with a selector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinykube import kinds, objects
from tinykube.control import Loop
from tinykube.controllers.services import endpoints
from tinykube.objects import JSON
from tinykube.options import Deletion, Options
from tinykube.rbac import SYSTEM
from tinykube.registry import Registry
from tinykube.status import ApiError
from tinykube.store import Change

_BATCH = 20
Key = tuple[str, str]


class EndpointsController(Loop):
    """Brings what stands behind each service up to its pods."""

    name = "endpoints"
    concern = (kinds.SERVICES.key, kinds.ENDPOINTS.key, kinds.PODS.key)

    def __init__(self, registry: Registry) -> None:
        # By namespace and name.
        self._services: dict[str, dict[str, JSON]] = {}
        self._dirty: dict[Key, None] = {}
        super().__init__(registry)

    def load(self) -> None:
        """See Loop."""
        self._services = {}
        self._dirty = {}
        for row in self.store.rows(kinds.SERVICES.key):
            self._services.setdefault(row.namespace, {})[row.name] = objects.load(row.data)
            self._dirty[row.namespace, row.name] = None
        for row in self.store.rows(kinds.ENDPOINTS.key):
            self._dirty[row.namespace, row.name] = None

    def changed(self, changes: Sequence[Change]) -> None:
        """See Loop."""
        for change in changes:
            key = (change.namespace, change.name)
            if change.resource == kinds.SERVICES.key:
                here = self._services.setdefault(change.namespace, {})
                if change.type == "DELETED":
                    here.pop(change.name, None)
                else:
                    here[change.name] = change.after
                self._dirty[key] = None
            elif change.resource == kinds.ENDPOINTS.key:
                self._dirty[key] = None
            elif change.resource == kinds.PODS.key and change.namespace in self._services:
                self._note(change)
        if self._dirty:
            self.wake()

    def _note(self, change: Change) -> None:
        pods = [pod for pod in (change.before, change.after) if pod is not None]
        for name, service in self._services[change.namespace].items():
            if any(endpoints.selects(service, pod) for pod in pods):
                self._dirty[change.namespace, name] = None

    def step(self) -> bool:
        """See Loop."""
        for key in list(self._dirty)[:_BATCH]:
            del self._dirty[key]
            self._sync(key)
        return bool(self._dirty)

    def _sync(self, key: Key) -> None:
        namespace, name = key
        service = self._services.get(namespace, {}).get(name)
        if service is None:
            # Whoever made it: without its service it stands behind nothing.
            self._delete(kinds.ENDPOINTS, namespace, name)
            return
        selector = service["spec"].get("selector")
        if not selector or objects.terminating(service):
            return
        # Stored objects are compact JSON: those without the labels need not be read.
        words = [f"{objects.dump(key)}:{objects.dump(value)}" for key, value in selector.items()]
        pods = [
            objects.load(row.data)
            for row in self.store.rows(kinds.PODS.key, namespace)
            if all(word in row.data for word in words)
        ]
        found = endpoints.of(service, pods)
        self._put(kinds.ENDPOINTS, namespace, endpoints.body(service, found), ("subsets",))
        self._put_slices(service, endpoints.slices(service, found))

    def _put(
        self, resource: kinds.Resource, namespace: str, body: JSON, fields: Sequence[str]
    ) -> None:
        if not self.registry.modify(
            resource, namespace, body["metadata"]["name"], _take(body, fields)
        ):
            self._create(resource, namespace, body)

    def _put_slices(self, service: JSON, wanted: list[JSON]) -> None:
        namespace = objects.namespace(service)
        there = [
            objects.load(row.data)
            for key, row in self.store.dependents(objects.uid(service))
            if key == kinds.SLICES.key
        ]
        there.sort(key=objects.name)
        for body, known in zip(wanted, there, strict=False):
            change = _take(body, ("endpoints", "ports"))
            self.registry.modify(kinds.SLICES, namespace, objects.name(known), change)
        for body in wanted[len(there) :]:
            self._create(kinds.SLICES, namespace, body)
        for known in there[len(wanted) :]:
            self._delete(kinds.SLICES, namespace, objects.name(known))

    def _create(self, resource: kinds.Resource, namespace: str, body: JSON) -> None:
        options = Options(manager="kube-controller-manager")
        try:
            self.registry.create(resource, namespace, body, SYSTEM, options)
        except ApiError as error:
            # The namespace is on its way out, and the service with it.
            if error.code not in (403, 404, 409):
                raise

    def _delete(self, resource: kinds.Resource, namespace: str, name: str) -> None:
        try:
            self.registry.delete(resource, namespace, name, Deletion())
        except ApiError as error:
            if error.reason != "NotFound":
                raise


def _take(body: JSON, fields: Sequence[str]) -> Callable[[JSON], bool]:
    def change(current: JSON) -> bool:
        before = objects.dump(current)
        for field in fields:
            if field in body:
                current[field] = body[field]
            else:
                current.pop(field, None)
        current["metadata"]["labels"] = body["metadata"]["labels"]
        if objects.dump(current) == before:
            return False
        if "generation" in current["metadata"]:
            current["metadata"]["generation"] += 1
        return True

    return change
