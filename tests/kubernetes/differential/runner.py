"""Runs sequences of requests against both and tells where the answers differ."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import known
from .normal import Normal, differences, listed, settled
from .sequences import Request
from .servers import Answer, Server

JSON = Any

_PREPARED = 20
_NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: in which request, where in the answer, and what each one said."""

    request: Request
    path: str
    real: JSON
    tiny: JSON
    codes: tuple[int, int]

    def __str__(self) -> str:
        return (
            f"{self.request}\n  {self.codes[0]} / {self.codes[1]} at {self.path or 'the body'}\n"
            f"    real     {_shown(self.real)}\n    tinykube {_shown(self.tiny)}"
        )


def _shown(value: JSON) -> str:
    return "(absent)" if value is ... else repr(value)[:600]


@dataclass(slots=True)
class Runner:
    """Both servers, and namespaces that are ready on both.

    Attributes:
        asked: how many requests went to each so far.
    """

    real: Server
    tiny: Server
    asked: int = 0
    _ready: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def run(self, sequence: Sequence[Request], *, whole: bool = False) -> list[Difference]:
        """The unexplained differences of the first request that has any; all, if `whole`."""
        namespace = self._namespace()
        sides = [Side(server, namespace) for server in (self.real, self.tiny)]
        kind = sequence[0].kind
        found: list[Difference] = []
        starts = [side.version(kind.path(namespace)) for side in sides]
        for request in sequence:
            one, other = (side.ask(request) for side in sides)
            self.asked += 1
            found += self._compare(request, sides, one, other)
            if found and not whole:
                return found
            if one.code // 100 != other.code // 100:
                # From here on the two hold other things.
                return found
        if not kind.restless and kind.namespaced:
            found += self._streams(sequence[0], sides, starts)
        for side in sides:
            side.clear(kind)
        return found

    def _compare(
        self, request: Request, sides: Sequence[Side], one: Answer, other: Answer
    ) -> list[Difference]:
        codes = (one.code, other.code)
        if one.code != other.code:
            messages = [_message(answer.body) for answer in (one, other)]
            return known.unexplained([Difference(request, "(code)", *messages, codes)])
        bodies = [
            side.plain(request, answer) for side, answer in zip(sides, (one, other), strict=True)
        ]
        return known.unexplained(
            Difference(request, path, real, tiny, codes)
            for path, real, tiny in differences(*bodies)
        )

    def _streams(
        self, first: Request, sides: Sequence[Side], starts: Sequence[str]
    ) -> list[Difference]:
        """The events of everything the sequence did, as a watch from its start tells them."""
        request = Request(first.kind, "GET", query={"watch": "1", "resourceVersion": "$start"})
        streams = []
        for side, start in zip(sides, starts, strict=True):
            side.finish(first.kind)
            streams.append(side.events(first.kind, start))
        self.asked += 1
        return known.unexplained(
            Difference(request, path, real, tiny, (200, 200))
            for path, real, tiny in differences(*streams)
        )

    def _namespace(self) -> str:
        """A namespace that nobody used, with the account and the certificate in it."""
        if not self._ready:
            names = [f"d{next(self._numbers)}" for _ in range(_PREPARED)]
            for server in (self.real, self.tiny):
                for name in names:
                    made = server.ask(
                        "POST", "/api/v1/namespaces", body={"metadata": {"name": name}}
                    )
                    if made.code != 201:
                        raise RuntimeError(f"{server.name} makes no namespace: {made.body}")
                for name in names:
                    for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
                        _await(server, f"/api/v1/namespaces/{name}/{path}")
            self._ready = names
        return self._ready.pop()


def _await(server: Server, path: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while (found := server.ask("GET", path)).code != 200:
        if time.monotonic() > end:
            raise RuntimeError(f"{server.name} has no {path} after {seconds} s: {found.body}")
        time.sleep(0.02)


def _message(body: JSON) -> JSON:
    return body.get("message", body) if isinstance(body, dict) else body


class Side:
    """One server in one sequence: what its values are called, and what it said of each object."""

    def __init__(self, server: Server, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self._normal = Normal()
        self._objects: dict[str, JSON] = {}

    def ask(self, request: Request) -> Answer:
        """Ask, with this server's version and uid where the request stands for them."""
        kind = request.kind
        path = kind.path(self.namespace, request.name, request.subresource)
        current = self._objects.get(request.name, {})
        body = self._filled(request.body, current)
        answer = self.server.ask(
            request.method, path, query=dict(request.query), body=body, content=request.content
        )
        if isinstance(answer.body, dict) and answer.body.get("kind") == kind.kind:
            metadata = answer.body["metadata"]
            self._objects[metadata.get("name", "")] = metadata
        return answer

    def _filled(self, body: JSON, current: JSON) -> JSON:
        """A body with this server's values where it stands for them."""
        if isinstance(body, dict):
            return {key: self._filled(value, current) for key, value in body.items()}
        if isinstance(body, list):
            return [self._filled(item, current) for item in body]
        values = {
            "$version": current.get("resourceVersion", "1"),
            "$uid": current.get("uid", _NOBODY),
            "$namespace": self.namespace,
        }
        return values.get(body, body) if isinstance(body, str) else body

    def plain(self, request: Request, answer: Answer) -> JSON:
        """An answer as it is compared."""
        body = self._normal(_without(request, settled(listed(answer.body))))
        if isinstance(body, str):
            body = body.strip()
        warnings = [self._normal(warning) for warning in answer.warnings]
        return {"body": body, "content type": answer.kind, "warnings": warnings}

    def version(self, path: str) -> str:
        """The version of the collection at `path` now."""
        found = self.server.ask("GET", path, query={"limit": "1"})
        return str(found.body["metadata"]["resourceVersion"]) if found.code == 200 else "0"

    def finish(self, kind: Any) -> None:
        """Make the object at which a watch has seen everything."""
        name = "the-end"
        body = {"apiVersion": kind.group_version, "kind": kind.kind, "metadata": {"name": name}}
        extra = self._filled(_ENDS.get(kind.plural, {}), {})
        made = self.server.ask("POST", kind.path(self.namespace), body={**body, **extra})
        if made.code not in (201, 404):
            raise RuntimeError(f"{self.server.name} takes no {kind.kind} to end with: {made.body}")

    def events(self, kind: Any, start: str) -> JSON:
        """What a watch from `start` tells, without the last event."""

        def last(event: JSON) -> bool:
            metadata = event["object"].get("metadata", {})
            return event["type"] == "ERROR" or metadata.get("name") == "the-end"

        path = kind.path(self.namespace)
        if self.server.ask("GET", path).code == 404:
            return []
        found = list(self.server.watch(path, {"resourceVersion": start}, last))
        return [self._normal(event) for event in found[:-1]]

    def clear(self, kind: Any) -> None:
        """Objects of the whole cluster go; the next sequence has the same names."""
        if kind.namespaced:
            return
        names = [*self._objects, "the-end"]
        for name in names:
            path = kind.path("", name)
            self.server.ask(
                "PATCH",
                path,
                body={"metadata": {"finalizers": None}},
                content="application/merge-patch+json",
            )
            self.server.ask("DELETE", path)


_SPEC = {"containers": [{"name": "main", "image": "busybox"}], "schedulerName": "nobody"}
_ENDS: dict[str, JSON] = {
    "pods": {"spec": _SPEC},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "limitranges": {"spec": {"limits": []}},
    "rolebindings": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}
    },
    "events": {"involvedObject": {"kind": "Pod", "namespace": "$namespace"}},
}


def _without(request: Request, body: JSON) -> JSON:
    """Without what controllers write at a time of their own."""
    if not request.kind.restless or not isinstance(body, dict):
        return body
    if "items" in body:
        return {**body, "items": [_settled(item) for item in body["items"] or []]}
    return _settled(body) if body.get("kind") == request.kind.kind else body


def _settled(item: JSON) -> JSON:
    metadata = {
        key: value
        for key, value in item.get("metadata", {}).items()
        if key not in ("resourceVersion", "managedFields")
    }
    return {**{k: v for k, v in item.items() if k != "status"}, "metadata": metadata}
