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
# What stands for a number that is not there.
_UNSET = -(2**31)
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


def find(obj: Any, path: str, absent: Any = None) -> Any:
    """What stands at a simple path such as `.spec.replicas`; `absent` if nothing does."""
    for name in path.removeprefix(".").split("."):
        obj = obj.get(name, absent) if isinstance(obj, dict) else absent
    return obj


def number(obj: Any, paths: Paths) -> int:
    """How many an object wants; none where it does not say."""
    wanted = find(obj, paths.spec_replicas)
    return wanted if isinstance(wanted, int) else 0


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
        "spec": {"replicas": wanted} if wanted else {},
        "status": state,
    }


def read(body: Any) -> JSON:
    """A client's Scale, checked. Raises ApiError 400 for what is none."""
    given = body if isinstance(body, dict) else {}
    if (given.get("kind", "Scale"), given.get("apiVersion", API_VERSION)) != (
        "Scale",
        API_VERSION,
    ) or not isinstance(body, dict):
        raise status.bad_request(f"the body must be an object of kind Scale of {API_VERSION}")
    try:
        clean: JSON = schema.read(given, SHAPE, "", schema.Findings())
    except schema.ShapeError as error:
        raise status.bad_request(f"Scale cannot be read: {error}") from None
    wanted = (clean.get("spec") or {}).get("replicas", 0)
    if not -_MOST - 1 <= wanted <= _MOST:
        raise status.bad_request(f"Scale cannot be read: spec.replicas: {wanted} has over 32 bits")
    return clean


def patched(obj: JSON, paths: Paths) -> JSON:
    """The Scale that a patch changes: a number that the object has not is told from zero."""
    shown = show(obj, paths, strict=False)
    if find(obj, paths.spec_replicas) is None:
        shown["spec"]["replicas"] = _UNSET
    return shown


def check_name(clean: JSON, name: str) -> None:
    """Raise ApiError 400 for a Scale of another object than `name`."""
    given = (clean.get("metadata") or {}).get("name")
    if not given:
        raise status.undeterminable(name)
    if given != name:
        raise status.misnamed(given, name)


def change(obj: JSON, clean: JSON, paths: Paths) -> JSON:
    """A copy of the object with what a client's Scale asks for.

    Raises:
        ApiError: 400 for one that does not say how many are wanted.
    """
    given = clean.get("metadata") or {}
    # As Go has it, a number that is left out is zero.
    wanted = (clean.get("spec") or {}).get("replicas", 0)
    if wanted == _UNSET:
        raise status.bad_request(
            f'the spec replicas field "{paths.spec_replicas}" cannot be empty'
        )
    new: JSON = objects.copy(obj)
    put(new, paths.spec_replicas, wanted)
    if given.get("resourceVersion"):
        new["metadata"]["resourceVersion"] = given["resourceVersion"]
    if given.get("uid"):
        new["metadata"]["uid"] = given["uid"]
    return new
