"""Which endpoints of two applications a relation joins, inferred as Juju infers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .charm import Charm, EndpointMeta
from .errors import BadRequestError


class EndpointError(BadRequestError):
    """Two sides that cannot be joined, or that could be in more than one way."""


@dataclass(frozen=True)
class Endpoint:
    """One end of a relation between two applications."""

    application: str
    meta: EndpointMeta

    def __str__(self) -> str:
        return f"{self.application}:{self.meta.name}"


def resolve(first: str, second: str, charms: Mapping[str, Charm]) -> tuple[Endpoint, Endpoint]:
    """The endpoints that `app[:endpoint]` and `app[:endpoint]` mean; the provider comes first.

    Args:
        first: One side.
        second: The other side.
        charms: The charm of each application.

    Raises:
        EndpointError: No pair fits, or more than one does.
    """
    left, right = _candidates(first, charms), _candidates(second, charms)
    if first.partition(":")[0] == second.partition(":")[0]:
        raise EndpointError(f"relation [{first} {second}] relates an application to itself")
    explicit = ":" in first and ":" in second
    pairs = [(a, b) for a in left for b in right if _fit(a.meta, b.meta)]
    if not explicit:
        pairs = [pair for pair in pairs if not _implicit(pair)] or pairs
    if not pairs and explicit:
        raise EndpointError(_mismatch(left[0], right[0]))
    if not pairs:
        raise EndpointError(f'no relations found between "{first}" and "{second}"')
    if len(pairs) > 1:
        shown = "; ".join(sorted(f'"{a} {b}"' for a, b in pairs))
        raise EndpointError(
            f'ambiguous relation: "{first} {second}" could refer to {shown}; name the endpoints'
        )
    one, other = pairs[0]
    return (one, other) if one.meta.role == "provider" else (other, one)


def _candidates(side: str, charms: Mapping[str, Charm]) -> list[Endpoint]:
    application, separator, name = side.partition(":")
    if application not in charms:
        raise EndpointError(f'application "{application}" not found')
    known = charms[application].endpoints
    if separator and name not in known:
        names = ", ".join(sorted(known))
        raise EndpointError(f'application "{application}" has no "{name}" relation (has: {names})')
    chosen = [known[name]] if separator else list(known.values())
    return [Endpoint(application, meta) for meta in chosen]


def _fit(one: EndpointMeta, other: EndpointMeta) -> bool:
    return one.interface == other.interface and {one.role, other.role} == {"provider", "requirer"}


def _implicit(pair: tuple[Endpoint, Endpoint]) -> bool:
    return any(side.meta.name == "juju-info" for side in pair)


def _mismatch(one: Endpoint, other: Endpoint) -> str:
    if "peer" in (one.meta.role, other.meta.role):
        return (
            f'cannot relate "{one}" and "{other}": a peer relation joins units of one application'
        )
    if one.meta.role == other.meta.role:
        return f'cannot relate {one.meta.role} "{one}" to {other.meta.role} "{other}"'
    return (
        f'mismatched interface between "{one}" and "{other}" '
        f'("{one.meta.interface}" vs "{other.meta.interface}")'
    )
