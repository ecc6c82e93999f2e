"""Which object a write means: its namespace, name, uid and version."""

from __future__ import annotations

from tinykube import status
from tinykube.kinds import Resource
from tinykube.objects import JSON

FIELDS = ("name", "namespace", "uid", "resourceVersion")
"""Of an object's metadata."""


def place(resource: Resource, namespace: str, new: JSON) -> None:
    """Put an object into the namespace of the path. Raises ApiError 400 if it names another."""
    meta = new["metadata"]
    given = meta.get("namespace")
    if not resource.namespaced:
        meta.pop("namespace", None)
    elif given and given != namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    else:
        meta["namespace"] = namespace


def check_name(new: JSON, name: str) -> None:
    """Check that an object is the one of the path. Raises ApiError 400."""
    given = new["metadata"].get("name")
    if not given:
        raise status.undeterminable(name)
    if given != name:
        raise status.misnamed(given, name)


def is_version(text: str) -> bool:
    """True for the number of a version."""
    return text.isascii() and text.isdigit() and int(text[:20]) > 0


def check_version(meta: JSON) -> None:
    """Check that a version is none or a number. Raises ApiError 400."""
    version = meta.get("resourceVersion")
    if version and not (version.isascii() and version.isdigit()):
        raise status.bad_request(f"metadata.resourceVersion: {version[:80]!r} is no version")


def unmet(
    resource: Resource, name: str, given: str, found: str, *, field: str = "UID"
) -> status.ApiError:
    """409: the object that is there is not the one that was meant."""
    return status.conflict(
        resource.plural,
        resource.group,
        name,
        f"Precondition failed: {field} in precondition: {given[:64]}, {field} in object meta: "
        f"{found}",
    )
