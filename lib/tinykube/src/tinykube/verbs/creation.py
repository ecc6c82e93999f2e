"""How a new object comes into the store."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from tinykube import fieldsets, kinds, names, objects, rules, status
from tinykube.admission import quotas
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.options import Options
from tinykube.rbac import Caller
from tinykube.schema import Findings
from tinykube.status import Cause
from tinykube.store import Store
from tinykube.verbs import reference, validity
from tinykube.verbs.written import Written

if TYPE_CHECKING:
    from tinykube.registry import Registry


def create(
    registry: Registry,
    resource: Resource,
    namespace: str,
    new: JSON,
    findings: Findings,
    caller: Caller,
    options: Options,
    *,
    applied: bool = False,
) -> Written:
    """Complete a decoded object, admit it and store it.

    Args:
        registry: what is there.
        resource: what the object is of.
        namespace: where it is to be; empty for a cluster's own.
        new: the object; it is changed.
        findings: what its decoding found.
        caller: who asks.
        options: what was asked besides.
        applied: an apply makes it, and has said who owns its fields.

    Raises:
        ApiError: 400, 403, 404 (its namespace), 409, 422.
    """
    store = registry.store
    meta = new["metadata"]
    version = meta.pop("resourceVersion", "")
    reference.place(resource, namespace, new)
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"):
        meta.pop(name, None)
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = _generate(store, resource, namespace, meta["generateName"])
    ownable = resource.ownable(new)
    if resource.status:
        new.pop("status", None)
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = objects.now()
    if resource.generation:
        meta["generation"] = 1
    own = rules.of(resource)
    given = fieldsets.filled(new)
    _check_namespace(store, resource, namespace, meta.setdefault("name", ""))
    own.prepare(new, None)
    # What admission adds belongs to nobody.
    if not ownable:
        meta.pop("managedFields", None)
    elif not applied:
        fieldsets.created(
            new,
            resource.shape,
            resource.key,
            options.manager,
            custom=not resource.typed,
            given=given,
        )
    own.complete(registry, caller, new, None)
    resource.fold(new)
    validity.judge(resource, new, None, findings)
    options.warnings += own.warnings(new, None)
    own.admit(registry, caller, new, None)
    quotas.admit(registry, resource, new)
    # What is no number says nothing, as in Kubernetes.
    if reference.is_version(version) and not options.dry_run:
        raise status.bad_request("resourceVersion should not be set on objects to be created")
    _check_absence(store, resource, namespace, meta["name"])
    if options.dry_run:
        if resource is kinds.PODS:
            options.warnings += registry.unavailable(new)
        if version:
            # Nothing is stored that could have another one.
            meta["resourceVersion"] = version
        return Written(resource.shown(objects.dump(resource.stored(new))), created=True)
    with store.write() as transaction:
        data = transaction.insert(resource.key, resource.stored(new))
        if resource is kinds.NAMESPACES:
            for other, obj in _furniture(meta["name"], registry.root_ca):
                transaction.insert(other.key, obj)
    return Written(resource.shown(data), created=True)


def _generate(store: Store, resource: Resource, namespace: str, prefix: str) -> str:
    for _ in range(8):
        name = names.generate(prefix)
        if store.get(resource.key, namespace, name) is None:
            return name
    raise status.already_exists(resource.plural, resource.group, name)


def _check_namespace(store: Store, resource: Resource, namespace: str, name: str) -> None:
    if not resource.namespaced:
        return
    home = store.load(kinds.NAMESPACES.key, "", namespace)
    if home is None:
        raise status.not_found("namespaces", "", namespace)
    if objects.terminating(home) and resource.key != kinds.EVENTS.key:
        error = status.forbidden(
            resource.plural,
            resource.group,
            name,
            f"unable to create new content in namespace {namespace} because it is being "
            "terminated",
        )
        why = f"namespace {namespace} is being terminated"
        # Clients tell by it that there is no use in trying again.
        error.causes = (Cause("NamespaceTerminating", why, "metadata.namespace"),)
        raise error


def _check_absence(store: Store, resource: Resource, namespace: str, name: str) -> None:
    there = store.load(resource.key, namespace, name)
    if there is None:
        return
    error = status.already_exists(resource.plural, resource.group, name)
    if objects.terminating(there):
        error.message = f"object is being deleted: {error.message}"
    raise error


def _furniture(namespace: str, root_ca: str) -> list[tuple[Resource, JSON]]:
    """What every namespace has from the start."""

    def made(resource: Resource, name: str, **fields: Any) -> tuple[Resource, JSON]:
        meta = {
            "name": name,
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": objects.now(),
        }
        return resource, kinds.body(resource, {"metadata": meta, **fields})

    return [
        made(kinds.SERVICE_ACCOUNTS, "default"),
        made(kinds.CONFIG_MAPS, "kube-root-ca.crt", data={"ca.crt": root_ca}),
    ]
