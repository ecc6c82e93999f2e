"""What a node may do: the Node authorizer's rules.

A node has its own Node and Lease, the pods bound to it, and what those name: no secret of a pod
that runs elsewhere, no token of an account that none of its pods has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tinykube import kinds, objects, podspec

if TYPE_CHECKING:
    from tinykube.objects import JSON
    from tinykube.rbac import Attributes, Caller
    from tinykube.store import Store

NODES = "system:nodes"
_PREFIX = "system:node:"
_READ = ("get", "list", "watch")
_WRITE = ("create", "update", "patch")
_REVIEWS = {
    "authentication.k8s.io": "tokenreviews",
    "authorization.k8s.io": "subjectaccessreviews",
}


def name_of(caller: Caller) -> str:
    """The node that a caller is; empty for all others."""
    if NODES in caller.groups and caller.name.startswith(_PREFIX):
        return caller.name.removeprefix(_PREFIX)
    return ""


class NodeAuthorizer:
    """Judges what nodes ask for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allowed(self, node: str, asked: Attributes) -> bool:
        """True if the node of this name may do what is asked."""
        match asked.group, asked.resource:
            case "", "nodes" | "nodes/status":
                if asked.verb == "create":
                    return True
                return asked.name == node and asked.verb in (*_READ, "update", "patch")
            case "", "pods":
                if asked.verb in ("list", "watch"):
                    return asked.node == node
                return asked.verb in ("get", "delete") and self._mine(node, asked)
            case "", "pods/status":
                return asked.verb in ("get", "update", "patch") and self._mine(node, asked)
            case "", "events":
                return asked.verb in _WRITE
            case "", "services" | "endpoints":
                return asked.verb in _READ
            case "", "persistentvolumes":
                return asked.verb == "get"
            case "", ("secrets" | "configmaps" | "persistentvolumeclaims") as resource:
                return asked.verb == "get" and self._named(node, asked, resource)
            case "", "serviceaccounts/token":
                return asked.verb == "create" and self._named(node, asked, "serviceaccounts")
            case "coordination.k8s.io", "leases":
                mine = asked.name == node or (asked.verb == "create" and not asked.name)
                return mine and asked.namespace == "kube-node-lease"
        return asked.verb == "create" and _REVIEWS.get(asked.group) == asked.resource

    def _mine(self, node: str, asked: Attributes) -> bool:
        pod = self._store.load(kinds.PODS.key, asked.namespace, asked.name)
        # One that is gone is answered with 404, as it is to anybody.
        return pod is None or pod["spec"].get("nodeName") == node

    def _named(self, node: str, asked: Attributes, resource: str) -> bool:
        """True if a pod on the node names the object."""
        bound = f'"nodeName":{objects.dump(node)}'
        for row in self._store.rows(kinds.PODS.key, asked.namespace):
            # The name of an ephemeral volume's claim is nowhere written.
            named = '"ephemeral"' in row.data or objects.dump(asked.name) in row.data
            if bound not in row.data or not named:
                continue
            pod = objects.load(row.data)
            if pod["spec"].get("nodeName") == node and (resource, asked.name) in set(names(pod)):
                return True
        return False


def names(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a pod names in its namespace: (resource, name)."""
    spec = pod["spec"]
    yield "serviceaccounts", spec.get("serviceAccountName") or "default"
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for claim in podspec.claimed(pod):
        yield "persistentvolumeclaims", claim
    for volume in spec.get("volumes") or ():
        yield from _of_source(volume, "secretName")
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _of_source(source, "name")
    for group in ("initContainers", "containers"):
        for container in spec.get(group) or ():
            for variable in container.get("env") or ():
                found = variable.get("valueFrom") or {}
                yield from _of_references(found, "secretKeyRef", "configMapKeyRef")
            for source in container.get("envFrom") or ():
                yield from _of_references(source, "secretRef", "configMapRef")


def _of_source(source: JSON, secret: str) -> Iterator[tuple[str, str]]:
    if "secret" in source:
        yield "secrets", source["secret"].get(secret, "")
    if "configMap" in source:
        yield "configmaps", source["configMap"].get("name", "")


def _of_references(body: JSON, secret: str, config: str) -> Iterator[tuple[str, str]]:
    if secret in body:
        yield "secrets", body[secret].get("name", "")
    if config in body:
        yield "configmaps", body[config].get("name", "")
