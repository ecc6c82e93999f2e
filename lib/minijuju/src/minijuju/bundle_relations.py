"""The relations of a bundle, resolved as Juju resolves them and refused in its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .charm import CHARM_NAME, Charm, EndpointMeta
from .documents import brief
from .endpoints import Endpoint

ENDPOINT = re.compile(r"[a-zA-Z][a-zA-Z0-9]*([_-][a-zA-Z0-9]+)*")

Complain = Callable[[str, str], None]
Pair = tuple[Endpoint, Endpoint]


def resolve(
    data: Mapping[str, Any], charms: Mapping[str, Charm], complain: Complain
) -> list[Pair]:
    """The two ends of each relation, the provider first.

    Args:
        data: The bundle.
        charms: The charm of each application that has a sound one; what names another is left out.
        complain: Is told where something is wrong, and what.
    """
    return _Relations(data, charms, complain).resolve()


def crossings(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The relations of a sound bundle with other models' offers, the application first."""
    saas = data.get("saas") or {}
    found = []
    for one, other in data.get("relations") or []:
        if other.partition(":")[0] in saas:
            found.append((one, other))
        elif one.partition(":")[0] in saas:
            found.append((other, one))
    return tuple(found)


class _Relations:
    def __init__(
        self, data: Mapping[str, Any], charms: Mapping[str, Charm], complain: Complain
    ) -> None:
        self.data = data
        self.charms = charms
        self.problems = 0
        self.tell = complain

    def complain(self, where: str, problem: str) -> None:
        self.problems += 1
        self.tell(where, problem)

    def resolve(self) -> list[Pair]:
        found: list[Pair] = []
        seen: set[frozenset[str]] = set()
        for index, relation in enumerate(self.data.get("relations") or []):
            where = f"relations[{index}]"
            sides = self.sides(relation, where)
            if sides is None or any(name not in self.charms for name, _ in sides):
                continue
            pair = self.pair(sides, where)
            if pair is None:
                continue
            key = frozenset(str(endpoint) for endpoint in pair)
            if key in seen:
                self.complain(where, f"relation {_quoted(relation)} is defined more than once")
            seen.add(key)
            found.append(pair)
        return found

    def sides(self, relation: Any, where: str) -> list[tuple[str, str]] | None:
        if not isinstance(relation, list) or not all(isinstance(s, str) for s in relation):
            self.complain(where, f"expected a list of two endpoints, got {brief(relation)}")
            return None
        if len(relation) != 2:
            self.complain(
                where, f"relation {_quoted(relation)} has {len(relation)} endpoint(s), not 2"
            )
            return None
        before = self.problems
        sides = []
        for side in relation:
            name, separator, endpoint = side.partition(":")
            well = CHARM_NAME.fullmatch(name) and (not separator or ENDPOINT.fullmatch(endpoint))
            if not well:
                self.complain(where, f'invalid relation syntax "{side}"')
            elif not any(name in (self.data.get(key) or {}) for key in ("applications", "saas")):
                self.complain(
                    where,
                    f'relation {_quoted(relation)} refers to application "{name}" not defined in '
                    "this bundle",
                )
            sides.append((name, endpoint))
        saas = self.data.get("saas") or {}
        if self.problems == before and all(name in saas for name, _ in sides):
            self.complain(where, "cannot add relation between two saas applications")
        if self.problems == before and sides[0][0] == sides[1][0]:
            self.complain(where, f"relation {_quoted(relation)} relates an application to itself")
        return sides if self.problems == before else None

    def pair(self, sides: list[tuple[str, str]], where: str) -> Pair | None:
        if all(endpoint for _, endpoint in sides):
            return self.explicit(sides, where)
        candidates = [
            [Endpoint(name, meta) for meta in _possible(self.charms[name], endpoint)]
            for name, endpoint in sides
        ]
        fitting = [
            (one, other)
            for one in candidates[0]
            for other in candidates[1]
            if one.meta.interface == other.meta.interface
            and {one.meta.role, other.meta.role} == {"provider", "requirer"}
        ]
        if len(fitting) > 1:
            named = [p for p in fitting if "juju-info" not in (p[0].meta.name, p[1].meta.name)]
            fitting = named if len(named) == 1 else fitting
        if len(fitting) == 1:
            one, other = fitting[0]
            return (one, other) if one.meta.role == "provider" else (other, one)
        shown = [name + (f":{endpoint}" if endpoint else "") for name, endpoint in sides]
        why = "no relations found"
        if fitting:
            keys = sorted('"' + " ".join(sorted((str(a), str(b)))) + '"' for a, b in fitting)
            why = f"ambiguous relation: {' '.join(shown)} could refer to {'; '.join(keys)}"
        self.complain(where, f"cannot infer endpoint between {shown[0]} and {shown[1]}: {why}")
        return None

    def explicit(self, sides: list[tuple[str, str]], where: str) -> Pair | None:
        ends = []
        for name, endpoint in sides:
            metas = _possible(self.charms[name], endpoint)
            if not metas:
                charm = self.charms[name].name
                self.complain(
                    where,
                    f'charm "{charm}" used by application "{name}" does not define relation '
                    f'"{endpoint}"',
                )
            ends += [Endpoint(name, meta) for meta in metas]
        if len(ends) != 2:
            return None
        one, other = ends
        if one.meta.role == other.meta.role:
            role = one.meta.role
            self.complain(where, f'relation "{one}" to "{other}" relates {role} to {role}')
            return None
        provider, requirer = (one, other) if one.meta.role == "provider" else (other, one)
        if provider.meta.interface != requirer.meta.interface:
            self.complain(
                where,
                f'mismatched interface between "{provider}" and "{requirer}" '
                f'("{provider.meta.interface}" vs "{requirer.meta.interface}")',
            )
            return None
        return provider, requirer


def _possible(charm: Charm, endpoint: str) -> list[EndpointMeta]:
    """The endpoints that a side may mean; peers are joined by nobody."""
    return [
        meta
        for name, meta in charm.endpoints.items()
        if meta.role != "peer" and endpoint in ("", name)
    ]


def _quoted(relation: list[str]) -> str:
    return "[" + " ".join(f'"{side}"' for side in relation) + "]"
