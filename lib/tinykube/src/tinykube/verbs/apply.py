"""Server-side apply: one manager's fields come into an object, which may be new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinykube import decoding, fieldsets, kinds, objects, status
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.options import Options
from tinykube.rbac import Caller
from tinykube.verbs import reference
from tinykube.verbs.creation import create
from tinykube.verbs.update import update
from tinykube.verbs.written import Written

if TYPE_CHECKING:
    from tinykube.registry import Registry


def apply(
    registry: Registry,
    resource: Resource,
    namespace: str,
    name: str,
    body: Any,
    caller: Caller,
    options: Options,
    subresource: str,
) -> Written:
    """Merge what `options.manager` wants into the object of a name, or make it.

    Raises:
        ApiError: 400, 403, 404, 409 (another manager's field, too), 422, 500 (no such field).
    """
    previous = registry.store.get(resource.key, namespace, name)
    if previous is None and subresource:
        raise status.not_found(resource.plural, resource.group, name)
    decoding.check_kind(resource, body)
    config, findings = decoding.decode(resource, body, options, part=True)
    faults = [f".{path}: field not declared in schema" for path in findings.unknown[:20]]
    faults += fieldsets.doubled(config, resource.shape)
    if faults:
        options.warnings.clear()
        raise _untyped(resource, config, faults)
    if "managedFields" in config["metadata"]:
        raise status.bad_request("metadata.managedFields must be nil")
    reference.place(resource, namespace, config)
    if previous is None and (uid := config["metadata"].get("uid")):
        why = f"the provided object specified uid {uid[:64]}, and no existing object was found"
        raise status.conflict(resource.plural, resource.group, name, f"uid mismatch: {why}")
    config, ignored = _written(resource, config, subresource)
    live = None if previous is None else objects.load(resource.shown(previous))
    merged = fieldsets.apply(
        live,
        config,
        resource.shape,
        options.manager,
        force=options.force,
        ignored=ignored,
        subresource=subresource,
        key=resource.key,
        custom=not resource.typed,
    )
    # What is there has a name, whether it was repeated or not.
    reference.check_name(merged, name)
    # After the merge: nobody has asked for a default, so nobody owns it.
    resource.complete(merged)
    if previous is None:
        # A merge gives the fields in an order of its own; lists rely on the store's.
        fresh = kinds.body(resource, merged)
        return create(
            registry, resource, namespace, fresh, findings, caller, options, applied=True
        )
    return update(
        registry,
        resource,
        merged,
        findings,
        previous,
        caller,
        options,
        subresource=subresource,
        applied=True,
    )


def _written(resource: Resource, config: JSON, subresource: str) -> tuple[JSON, JSON]:
    """What of an apply is written by this way, and what is not."""
    ignored: JSON = {}
    if resource.status:
        whole = config
        config = {
            key: value
            for key, value in config.items()
            if key in ("apiVersion", "kind", "metadata")
            or (key == "status") is (subresource == "status")
        }
        ignored = {key: whole[key] for key in whole.keys() - config.keys()}
    if subresource and not resource.typed:
        # Its metadata is not written by that way, so nobody comes to own it.
        meta = config["metadata"]
        config["metadata"] = {key: meta[key] for key in meta if key in reference.FIELDS}
        ignored["metadata"] = {key: meta[key] for key in meta if key not in reference.FIELDS}
    return config, ignored


def _untyped(resource: Resource, config: JSON, faults: Sequence[str]) -> status.ApiError:
    """An apply cannot own what its kind has not; Kubernetes calls that an internal error."""
    meta = config["metadata"]
    version = resource.api_version if resource.group else f"/{resource.version}"
    detail = faults[0] if len(faults) == 1 else "errors:\n  " + "\n  ".join(faults)
    place = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}"
    return status.ApiError(
        500,
        "",
        f"failed to create typed patch object ({place}; {version}, Kind={resource.kind}): "
        f"{detail}",
    )
