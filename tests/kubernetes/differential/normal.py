"""Answers without what may differ: each uid, version, time and address becomes a name.

A value that was seen before keeps its name, so that two answers agree only if the same requests
changed, or left alone, the same things.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime
from typing import Any

JSON = Any

_UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_GENERATED = re.compile(r"(made-by-server-\d\d-)[a-z0-9]{5}\b")
# A version that a refusal tells of.
_RECORD = re.compile(r"(?<=ResourceVersion in record \()\d+(?=\))")
_TOKENS = re.compile(r"\bkube-api-access-[a-z0-9]{5}\b")
# A time of this year is a request's own: both must show it as it was sent.
_YEAR = "2001"
# What such a patch's faults, each a line, begin with: their order has no meaning.
_UNTYPED = "failed to create typed patch object "
_LIST_VERSION = "<version of the list>"
_TIMES = {"creationTimestamp", "deletionTimestamp", "time"}
_ADDRESSES = {"clusterIP", "nodePort"}


class Normal:
    """The names that one server's values have in one sequence of requests."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, str]] = defaultdict(dict)

    def name(self, kind: str, value: str) -> str:
        """The name of a value: its kind and the place in the order of appearance."""
        known = self._names[kind]
        return known.setdefault(value, f"<{kind} {len(known) + 1}>")

    def __call__(self, body: JSON, path: tuple[str, ...] = ()) -> JSON:
        """A copy of `body` with names in place of values."""
        if isinstance(body, dict):
            return {key: self._member(body, key, (*path, key)) for key in sorted(body)}
        if isinstance(body, list):
            return [self(item, (*path, "[]")) for item in body]
        if isinstance(body, str):
            return self._text(body)
        return body

    def _member(self, parent: JSON, key: str, path: tuple[str, ...]) -> JSON:
        value = parent[key]
        if not isinstance(value, str | int) or isinstance(value, bool):
            if key == "clusterIPs" and isinstance(value, list):
                return [self.name("address", str(item)) for item in value]
            return self(value, path)
        if path[-2:-1] == ("metadata",) and key == "resourceVersion" and value != _LIST_VERSION:
            return self.name("version", str(value))
        if key == "uid":
            return self.name("uid", str(value)) if _UID.fullmatch(str(value)) else value
        if key == "continue":
            return "<continue>" if value else value
        if key in _TIMES and isinstance(value, str) and _whole_time(value):
            return "<time>"
        if key in _ADDRESSES and value not in ("None", ""):
            return self.name("address", str(value))
        return self._text(value) if isinstance(value, str) else value

    def _text(self, value: str) -> str:
        if value.startswith(_UNTYPED):
            first, *faults = value.split("\n")
            value = "\n".join([first, *sorted(faults)])
        value = _UID.sub(lambda found: self.name("uid", found[0]), value)
        value = _TIME.sub(lambda found: found[0] if found[0][:4] == _YEAR else "<time>", value)
        value = _RECORD.sub(lambda found: self.name("version", found[0]), value)
        value = _TOKENS.sub(lambda found: self.name("token volume", found[0]), value)
        return _GENERATED.sub(r"\1<random>", value)


def _whole_time(value: str) -> bool:
    try:
        datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return False
    return True


def listed(body: JSON) -> JSON:
    """A list without its own version, which counts what others did as well."""
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        metadata = body.get("metadata") or {}
        if "resourceVersion" in metadata:
            return {**body, "metadata": {**metadata, "resourceVersion": _LIST_VERSION}}
    return body


def settled(body: JSON) -> JSON:
    """An error without the order of its causes, which has no meaning, and as causes alone."""
    if not isinstance(body, dict) or body.get("kind") != "Status":
        return body
    details = body.get("details") or {}
    causes = details.get("causes")
    if not causes:
        return body
    # The real one tells some twice.
    told = {
        (cause.get("field", ""), cause["message"], cause.get("reason", "")) for cause in causes
    }
    ordered = [
        {"field": field, "message": message, "reason": reason}
        for field, message, reason in sorted(told)
    ]
    found = {**body, "details": {**details, "causes": ordered}}
    return {**found, "message": "<of the causes>"} if body.get("reason") == "Invalid" else found


def differences(left: JSON, right: JSON, path: str = "") -> list[tuple[str, JSON, JSON]]:
    """Where two normal bodies differ: path, what the left has, what the right has.

    What one of them has not is `...`.
    """
    if isinstance(left, dict) and isinstance(right, dict):
        found = []
        for key in sorted({*left, *right}):
            inner = f"{path}.{key}" if path else key
            found += differences(left.get(key, ...), right.get(key, ...), inner)
        return found
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [
            difference
            for number, (one, other) in enumerate(zip(left, right, strict=True))
            for difference in differences(one, other, f"{path}[{number}]")
        ]
    same = type(left) is type(right) and left == right
    return [] if same else [(path, left, right)]
