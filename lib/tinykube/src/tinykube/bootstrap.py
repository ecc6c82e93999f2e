"""What a new control plane has from the start: namespaces, roles, the administrator's rights."""

from __future__ import annotations

from tinykube import kinds, objects, roles, rules
from tinykube.controllers.aggregation import aggregate
from tinykube.objects import JSON
from tinykube.registry import Registry

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_STANDARD = {
    "metadata": {
        "name": rules.DEFAULT_CLASS,
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": rules.PROVISIONER,
}
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}


def run(registry: Registry) -> None:
    """Create what is missing and bring the built-in roles up to date.

    Raises:
        StorageError: the disk refused it.
    """
    for name in NAMESPACES:
        registry.ensure(kinds.NAMESPACES, "", {"metadata": {"name": name}})
    for name, role in roles.ROLES.items():
        _put_role(registry, name, role)
    aggregate(registry)
    for name, (given, group) in roles.BINDINGS.items():
        body = {
            "roleRef": {"apiGroup": kinds.RBAC, "kind": "ClusterRole", "name": given},
            "subjects": [{"apiGroup": kinds.RBAC, "kind": "Group", "name": group}],
        }
        _put(registry, kinds.CLUSTER_ROLE_BINDINGS, name, body)
    for name, value, description in rules.SYSTEM_PRIORITIES:
        named: JSON = {"metadata": {"name": name}}
        named |= {"value": value, "description": description}
        registry.ensure(kinds.PRIORITY_CLASSES, "", named)
    registry.ensure(kinds.STORAGE_CLASSES, "", _STANDARD)
    _renew_authority(registry)


def _put_role(registry: Registry, name: str, role: JSON) -> None:
    labels = {**_LABELS, **role["labels"]}
    fields = {key: value for key, value in role.items() if key != "labels"}
    if "aggregationRule" in fields:
        # Its rules are what others feed into it.
        del fields["rules"]

    def change(current: JSON) -> bool:
        before = objects.copy(current)
        current["metadata"]["labels"] = {**(current["metadata"].get("labels") or {}), **labels}
        current.update(fields)
        return bool(before != current)

    if not registry.modify(kinds.CLUSTER_ROLES, "", name, change):
        registry.ensure(
            kinds.CLUSTER_ROLES, "", {"metadata": {"name": name, "labels": labels}, **fields}
        )


def _put(registry: Registry, resource: kinds.Resource, name: str, body: JSON) -> None:
    def change(current: JSON) -> bool:
        altered = any(current.get(key) != value for key, value in body.items())
        current.update(body)
        return altered

    if not registry.modify(resource, "", name, change):
        registry.ensure(resource, "", {"metadata": {"name": name, "labels": _LABELS}, **body})


def _renew_authority(registry: Registry) -> None:
    """The CA in every namespace, should it have been made anew."""

    def change(current: JSON) -> bool:
        altered = (current.get("data") or {}).get("ca.crt") != registry.root_ca
        current["data"] = {"ca.crt": registry.root_ca}
        return bool(altered)

    for row in registry.store.rows(kinds.NAMESPACES.key):
        if not objects.terminating(objects.load(row.data)):
            registry.modify(kinds.CONFIG_MAPS, row.name, "kube-root-ca.crt", change)


def announce(registry: Registry, address: str, port: int) -> None:
    """The service by whose name pods find the API: at the server's own address and port.

    Raises:
        StorageError: the disk refused it.
    """
    name = "kubernetes"
    ports = [{"name": "https", "protocol": "TCP", "port": port, "targetPort": port}]
    meta = {"name": name, "labels": {"component": "apiserver", "provider": "kubernetes"}}
    subset = {
        "addresses": [{"ip": address}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }

    def move(service: JSON) -> bool:
        altered = bool(service["spec"].get("ports") != ports)
        service["spec"]["ports"] = ports
        return altered

    def point(endpoints: JSON) -> bool:
        altered = bool(endpoints.get("subsets") != [subset])
        endpoints["subsets"] = [subset]
        return altered

    if not registry.modify(kinds.SERVICES, "default", name, move):
        spec = {"clusterIP": address, "ports": ports}
        registry.ensure(kinds.SERVICES, "default", {"metadata": meta, "spec": spec})
    if not registry.modify(kinds.ENDPOINTS, "default", name, point):
        body = {"metadata": {"name": name}, "subsets": [subset]}
        registry.ensure(kinds.ENDPOINTS, "default", body)
