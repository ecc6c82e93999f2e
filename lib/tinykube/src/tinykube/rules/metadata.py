"""The rules of every object's metadata."""

from __future__ import annotations

from collections.abc import Iterator

from tinykube import names, objects
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.status import Cause, forbidden_field, required, wrong

_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_MAX_ANNOTATIONS = 256 * 2**10


def metadata(resource: Resource, new: JSON, old: JSON | None) -> Iterator[Cause]:
    """The faults of an object's metadata."""
    meta = new["metadata"]
    name = meta.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif old is None and (fault := resource.name_fault(name)):
        yield wrong("metadata.name", name, fault)
    yield from _labels(meta)
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield wrong(f"metadata.ownerReferences[{index}].{field}", "", "must not be empty")
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        if fault := names.label_key_fault(finalizer):
            yield wrong("metadata.finalizers", finalizer, fault)
        if resource.strategic and "/" not in finalizer and finalizer not in _FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            yield wrong(f"metadata.finalizers[{index}]", finalizer, why)
    if old and old["metadata"].get("deletionTimestamp"):
        before = old["metadata"].get("finalizers") or ()
        added = [item for item in meta.get("finalizers") or () if item not in before]
        if added:
            yield forbidden_field(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers {objects.dump(added)}",
            )


def _labels(meta: JSON) -> Iterator[Cause]:
    for key, value in (meta.get("labels") or {}).items():
        if fault := names.label_key_fault(key):
            yield wrong("metadata.labels", key, fault)
        if fault := names.label_value_fault(value):
            yield wrong("metadata.labels", value, fault)
    size = 0
    for key, value in (meta.get("annotations") or {}).items():
        size += len(key) + len(value)
        if fault := names.label_key_fault(key.lower()):
            yield wrong("metadata.annotations", key, fault)
    if size > _MAX_ANNOTATIONS:
        why = f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes"
        yield Cause("FieldValueTooLong", why, "metadata.annotations")
