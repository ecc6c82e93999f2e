"""Runs sequences of requests against both and tells where the answers differ."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import known
from .normal import differences
from .sequences import Request
from .servers import Answer, Server
from .sides import Side

JSON = Any

_PREPARED = 20
_SHOWN = 1500
# Everything, and what comes and goes as labels change.
_WATCHED = ({}, {"labelSelector": "app=one"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: in which request, where in the answer, and what each one said.

    Attributes:
        codes: the HTTP status of each.
        bodies: each one's whole answer, as it was compared.
        before: the requests that led there.
    """

    request: Request
    path: str
    real: JSON
    tiny: JSON
    codes: tuple[int, int]
    bodies: tuple[JSON, JSON] = (None, None)
    before: tuple[Request, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.request}\n  {self.codes[0]} / {self.codes[1]} at {self.path or 'the body'}\n"
            f"    real     {_shown(self.real)}\n    tinykube {_shown(self.tiny)}"
        )

    def report(self) -> str:
        """All that is known of it: both answers, and how it came to this."""
        steps = "\n".join(f"  {request}" for request in self.before)
        real, tiny = (_shown(body) for body in self.bodies)
        return f"{self}\n  the answers\n    real     {real}\n    tinykube {tiny}\nafter\n{steps}"


def _shown(value: JSON) -> str:
    return "(absent)" if value is ... else repr(value)[:_SHOWN]


@dataclass(slots=True)
class Runner:
    """Both servers, and namespaces that are ready on both.

    Attributes:
        asked: how many requests went to each so far.
        prefix: what the names of namespaces begin with.
    """

    real: Server
    tiny: Server
    asked: int = 0
    prefix: str = "d"
    _ready: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def run(self, sequence: Sequence[Request], *, whole: bool = False) -> list[Difference]:
        """The unexplained differences of the first request that has any; all, if `whole`."""
        namespace = self._namespace()
        kind = sequence[0].kind
        sides = [Side(server, namespace, kind) for server in (self.real, self.tiny)]
        found: list[Difference] = []
        try:
            for number, request in enumerate(sequence):
                one, other = (side.ask(request) for side in sides)
                self.asked += 1
                seen = self._compare(request, sides, one, other)
                found += [replace(item, before=tuple(sequence[:number])) for item in seen]
                if one.code // 100 != other.code // 100 or (found and not whole):
                    # From here on the two hold other things.
                    return found
            streams = self._streams(sequence[0], sides)
            return found + [replace(item, before=tuple(sequence)) for item in streams]
        finally:
            for side in sides:
                side.clear()

    def _compare(
        self, request: Request, sides: Sequence[Side], one: Answer, other: Answer
    ) -> list[Difference]:
        codes = (one.code, other.code)
        bodies = (sides[0].plain(request, one), sides[1].plain(request, other))
        if one.code != other.code:
            messages = [_message(answer.body) for answer in (one, other)]
            return known.unexplained([Difference(request, "(code)", *messages, codes, bodies)])
        return _found(request, bodies, codes)

    def _streams(self, first: Request, sides: Sequence[Side]) -> list[Difference]:
        """The events of everything the sequence did, as watches from its start tell them."""
        for side in sides:
            side.finish()
        found: list[Difference] = []
        for selector in _WATCHED:
            query = {"watch": "1", "resourceVersion": "$start", **selector}
            self.asked += 1
            streams = (sides[0].events(selector), sides[1].events(selector))
            found += _found(Request(first.kind, "GET", query=query), streams, (200, 200))
        return found

    def _namespace(self) -> str:
        """A namespace that nobody used, with the account and the certificate in it."""
        if not self._ready:
            names = [f"{self.prefix}{next(self._numbers)}" for _ in range(_PREPARED)]
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


def _found(
    request: Request, bodies: tuple[JSON, JSON], codes: tuple[int, int]
) -> list[Difference]:
    every: Iterable[Difference] = (
        Difference(request, path, real, tiny, codes, bodies)
        for path, real, tiny in differences(*bodies)
    )
    return known.unexplained(every)


def _await(server: Server, path: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while (found := server.ask("GET", path)).code != 200:
        if time.monotonic() > end:
            raise RuntimeError(f"{server.name} has no {path} after {seconds} s: {found.body}")
        time.sleep(0.02)


def _message(body: JSON) -> JSON:
    return body.get("message", body) if isinstance(body, dict) else body
