"""The rules of namespaces, secrets, config maps and events."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tinykube import names, objects
from tinykube.objects import JSON
from tinykube.rules.base import Rules
from tinykube.status import Cause, forbidden_field, required, wrong

_MAX_DATA = 2**20


class NamespaceRules(Rules):
    """Namespaces: deleted in two steps, so that their contents go first."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        new["spec"] = old["spec"] if old else {"finalizers": ["kubernetes"]}
        if old is None:
            new["status"] = {"phase": "Active"}
        labels = new["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = objects.name(new)


class SecretRules(Rules):
    """Secrets: `stringData` is folded into `data`; an immutable one stays as it is."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        for key, value in new.pop("stringData", {}).items():
            encoded = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")
            new.setdefault("data", {})[key] = encoded
        new.setdefault("type", old["type"] if old else "Opaque")

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        yield from _keys("data", new.get("data") or {})
        yield from _size((new.get("data") or {}).values(), "data")
        yield from _typed(new)
        if old:
            yield from _immutable(new, old, ("data",))
            if new["type"] != old["type"]:
                yield wrong("type", new["type"], "field is immutable")


# What a secret of a known type must hold.
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
_BASIC = ("username", "password")


def _typed(new: JSON) -> Iterator[Cause]:
    data = new.get("data") or {}
    for key in _NEEDED.get(new["type"], ()):
        # An empty certificate will do; an empty key to log in with will not.
        if key not in data or (new["type"].endswith("ssh-auth") and not data[key]):
            yield required(f"data[{key}]")
    if new["type"] == "kubernetes.io/basic-auth" and not any(key in data for key in _BASIC):
        for key in _BASIC:
            yield required(f"data[{key}]")


class ConfigMapRules(Rules):
    """Config maps: a key is either text or binary."""

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        text, binary = new.get("data") or {}, new.get("binaryData") or {}
        yield from _keys("data", text)
        yield from _keys("binaryData", binary)
        for key in text.keys() & binary.keys():
            yield wrong(f"data[{key}]", key, "duplicate of key present in binaryData")
        yield from _size((*text.values(), *binary.values()), "")
        if old:
            yield from _immutable(new, old, ("data", "binaryData"))


def _keys(field: str, data: Mapping[str, Any]) -> Iterator[Cause]:
    for key in data:
        if fault := names.config_key_fault(key):
            yield wrong(f"{field}[{key[:80]}]", key, fault)


def _size(values: Iterable[str], field: str) -> Iterator[Cause]:
    if sum(map(len, values)) > _MAX_DATA:
        yield Cause(
            "FieldValueTooLong", f"Too long: may not be more than {_MAX_DATA} bytes", field
        )


def _immutable(new: JSON, old: JSON, fields: Iterable[str]) -> Iterator[Cause]:
    if not old.get("immutable"):
        return
    why = "field is immutable when `immutable` is set"
    if not new.get("immutable"):
        yield forbidden_field("immutable", why)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            yield forbidden_field(field, why)


class EventRules(Rules):
    """Events: about an object of their own namespace."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        del old
        new.setdefault("involvedObject", {})
        new.setdefault("type", "Normal")

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        del old
        about = new["involvedObject"].get("namespace", "")
        # What is about an object of the whole cluster is in the namespace default.
        if (about or "default") != objects.namespace(new):
            yield wrong("involvedObject.namespace", about, "does not match event.namespace")


class EventViewRules(Rules):
    """Events as `events.k8s.io` has them: those that are made by it say all of themselves."""

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        about = (new.get("regarding") or {}).get("namespace", "")
        if (about or "default") != objects.namespace(new):
            yield wrong("involvedObject.namespace", about, "does not match event.namespace")
        if old is not None:
            return
        if not new.get("eventTime"):
            yield required("eventTime")
        if new.get("type") not in ("Normal", "Warning"):
            yield wrong("type", "", f"has invalid value: {new.get('type', '')}")
        if not new.get("eventTime"):
            return
        for field in ("reportingController", "reportingInstance", "action", "reason"):
            if not new.get(field):
                yield required(field)
