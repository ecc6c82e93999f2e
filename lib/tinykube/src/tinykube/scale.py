"""The scale subresource: an object's replicas as `autoscaling/v1` Scale shows and sets them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from tinykube import objects, schema, status
from tinykube.objects import JSON
from tinykube.schema import Fields

API_VERSION = "autoscaling/v1"
SHAPE = schema.kind(
    {
        "spec": Fields({"replicas": "int"}),
        "status": Fields({"replicas": "int", "selector": "str"}),
    }
)
_MOST = 2**31 - 1
_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class Paths(Protocol):
    """Where an object has its numbers: paths such as `.spec.replicas`."""

    @property
    def spec_replicas(self) -> str:
        """How many are wanted."""

    @property
    def status_replicas(self) -> str:
        """How many there are."""

    @property
    def selector(self) -> str:
        """The label selector as text; empty if there is none."""


@runtime_checkable
class Scalable(Protocol):
    """A resource with a scale subresource."""

    @property
    def scale(self) -> Paths | None:
        """Its paths."""


def find(obj: Any, path: str) -> Any:
    """What stands at a simple path such as `.spec.replicas`; None if nothing does."""
    for name in path.removeprefix(".").split("."):
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def put(obj: JSON, path: str, value: Any) -> None:
    """Set what stands at a simple path."""
    *above, last = path.removeprefix(".").split(".")
    for name in above:
        obj = obj.setdefault(name, {})
    obj[last] = value


def show(obj: JSON, paths: Paths, *, strict: bool = True) -> JSON:
    """The Scale of an object.

    Raises:
        ApiError: 500, if the object does not say how many are wanted, unless not `strict`.
    """
    wanted = find(obj, paths.spec_replicas)
    if wanted is None and strict:
        raise status.internal(f'the spec replicas field "{paths.spec_replicas}" does not exist')
    state: JSON = {"replicas": find(obj, paths.status_replicas) or 0}
    selector = find(obj, paths.selector) if paths.selector else None
    if selector:
        state["selector"] = selector
    meta = {name: obj["metadata"][name] for name in _SHOWN if name in obj["metadata"]}
    return {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": meta,
        "spec": {} if wanted is None else {"replicas": wanted},
        "status": state,
    }


def change(obj: JSON, scale: Any, paths: Paths) -> JSON:
    """A copy of the object with what a client's Scale asks for.

    Raises:
        ApiError: 400 for what is no Scale, 409 for another object's, 422 for a wrong number.
    """
    if not isinstance(scale, dict) or scale.get("kind", "Scale") != "Scale":
        raise status.bad_request(f"the body must be an object of kind Scale of {API_VERSION}")
    if scale.get("apiVersion", API_VERSION) != API_VERSION:
        raise status.bad_request(f"the body must be an object of kind Scale of {API_VERSION}")
    try:
        clean = schema.read(scale, SHAPE, "", schema.Findings())
    except schema.ShapeError as error:
        raise status.bad_request(f"Scale cannot be read: {error}") from None
    meta, given = obj["metadata"], clean.get("metadata") or {}
    wanted = (clean.get("spec") or {}).get("replicas")
    if wanted is None:
        raise status.bad_request(
            f'the spec replicas field "{paths.spec_replicas}" cannot be empty'
        )
    if not -_MOST <= wanted <= _MOST:
        raise status.bad_request(f"Scale cannot be read: spec.replicas: {wanted} has over 32 bits")
    faults = []
    if given.get("name", meta["name"]) != meta["name"]:
        faults.append(status.wrong("metadata.name", given["name"], "field is immutable"))
    if faults:
        raise status.invalid("Scale", "autoscaling", meta["name"], faults)
    new: JSON = objects.copy(obj)
    put(new, paths.spec_replicas, wanted)
    if given.get("resourceVersion"):
        new["metadata"]["resourceVersion"] = given["resourceVersion"]
    if given.get("uid"):
        new["metadata"]["uid"] = given["uid"]
    return new
