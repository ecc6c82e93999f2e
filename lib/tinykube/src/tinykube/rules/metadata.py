"""The rules of every object's metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tinykube import names, objects
from tinykube.kinds import EVENTS, Resource
from tinykube.objects import JSON
from tinykube.status import Cause, forbidden_field, required, wrong

ORPHAN = "orphan"
"""The finalizer of what leaves its dependents behind."""
FOREGROUND = "foregroundDeletion"
"""The finalizer of what goes after its dependents."""
_FINALIZERS = ("kubernetes", ORPHAN, FOREGROUND)
_GROUP_VERSION = re.compile(r"([^/]*/)?[^/]+")
_MAX_ANNOTATIONS = 256 * 2**10


def metadata(resource: Resource, new: JSON, old: JSON | None) -> Iterator[Cause]:
    """The faults of an object's metadata."""
    meta = new["metadata"]
    called = meta.get("name", "")
    if not called:
        yield required("metadata.name", "name or generateName is required")
    elif old is None and (fault := resource.name_fault(called)):
        yield wrong("metadata.name", called, fault)
    yield from _labels(meta)
    yield from _owners(meta)
    for index, name in enumerate(meta.get("finalizers") or ()):
        qualified = resource.strategic and resource is not EVENTS
        own = f"metadata.finalizers[{index}]" if qualified else ""
        yield from finalizer("metadata.finalizers", name, own)
    if {ORPHAN, FOREGROUND} <= set(meta.get("finalizers") or ()):
        why = f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"
        yield wrong("metadata.finalizers", meta["finalizers"], why)
    if old and old["metadata"].get("deletionTimestamp"):
        before = old["metadata"].get("finalizers") or ()
        added = sorted({item for item in meta.get("finalizers") or () if item not in before})
        if added:
            shown = ", ".join(objects.dump(item) for item in added)
            yield forbidden_field(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{shown}}}",
            )


def finalizer(field: str, name: str, own: str | None = None) -> Iterator[Cause]:
    """The faults of a finalizer's name.

    Args:
        field: what holds it.
        name: the finalizer.
        own: what is told of one that is neither Kubernetes' own nor qualified; None for `field`,
            empty where such ones are allowed.
    """
    for fault in names.label_key_faults(name):
        yield wrong(field, name, fault)
    where = field if own is None else own
    if where and "/" not in name and name not in _FINALIZERS:
        why = "name is neither a standard finalizer name nor is it fully qualified"
        yield wrong(where, name, why)


def _owners(meta: JSON) -> Iterator[Cause]:
    path = "metadata.ownerReferences"
    owners = meta.get("ownerReferences") or ()
    controller = ""
    for index, owner in enumerate(owners):
        where = f"{path}[{index}]"
        version = owner.get("apiVersion") or ""
        if version and not _GROUP_VERSION.fullmatch(version):
            why = "must be <group>/<version> or <version>"
            yield wrong(f"{where}.apiVersion", version, why)
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield required(f"{where}.{field}", "must not be empty")
        if (version, owner.get("kind")) == ("v1", "Event"):
            yield wrong(where, owner, "/v1, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            called = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller:
                why = (
                    'Only one reference can have Controller set to true. Found "true" in '
                    f"references for {controller} and {called}"
                )
                yield wrong(path, owners, why)
            else:
                controller = called


def _labels(meta: JSON) -> Iterator[Cause]:
    for key, value in (meta.get("labels") or {}).items():
        for fault in names.label_key_faults(key):
            yield wrong("metadata.labels", key, fault)
        for fault in names.label_value_faults(value):
            yield wrong("metadata.labels", value, fault)
    size = 0
    for key, value in (meta.get("annotations") or {}).items():
        size += len(key) + len(value)
        for fault in names.label_key_faults(key.lower()):
            yield wrong("metadata.annotations", key, fault)
    if size > _MAX_ANNOTATIONS:
        why = f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes"
        yield Cause("FieldValueTooLong", why, "metadata.annotations")
