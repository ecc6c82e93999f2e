"""The rules of namespaces, secrets, config maps and events."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tinykube import names, objects
from tinykube.objects import JSON
from tinykube.rules.base import Rules
from tinykube.rules.metadata import finalizer
from tinykube.status import Cause, forbidden_field, required, wrong

_MAX_DATA = 2**20
# Kubernetes' own finalizer in a namespace's spec: its contents have still to go.
_EMPTIED = "kubernetes"


class NamespaceRules(Rules):
    """Namespaces: deleted in two steps, so that their contents go first."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        if old is None:
            given = (new.get("spec") or {}).get("finalizers") or []
            own = [] if _EMPTIED in given else [_EMPTIED]
            new["spec"] = {"finalizers": [*given, *own]}
            new["status"] = {"phase": "Active"}
        else:
            # Those who empty it take their names off by a request of its own.
            new["spec"] = old["spec"]
        labels = new["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = objects.name(new)

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        del old
        for name in new["spec"].get("finalizers") or ():
            yield from finalizer("spec.finalizers", name)

    def validate_status(self, new: JSON, old: JSON) -> Iterator[Cause]:
        """See Rules."""
        yield from self.validate(new, old)
        going = objects.terminating(new)
        phase = (new.get("status") or {}).get("phase", "")
        allowed, state = ("Terminating", "not empty") if going else ("Active", "empty")
        if phase != allowed:
            why = f"may only be '{allowed}' if `deletionTimestamp` is {state}"
            yield wrong("status.Phase", phase, why)


class SecretRules(Rules):
    """Secrets: `stringData` is folded into `data`; an immutable one stays as it is."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        for key, value in new.pop("stringData", {}).items():
            encoded = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")
            new.setdefault("data", {})[key] = encoded
        del old
        # As in Kubernetes, who replaces one of another type must name that type.
        new.setdefault("type", "Opaque")

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        yield from _keys("data", new.get("data") or {})
        yield from _size(map(_decoded, (new.get("data") or {}).values()), "data")
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
_TOKENS = "kubernetes.io/service-account-token"
_ACCOUNT = "kubernetes.io/service-account.name"
_BASIC = ("username", "password")


def _typed(new: JSON) -> Iterator[Cause]:
    data = new.get("data") or {}
    for key in _NEEDED.get(new["type"], ()):
        # An empty certificate will do; an empty key to log in with will not.
        if key not in data or (new["type"].endswith("ssh-auth") and not data[key]):
            yield required(f"data[{key}]")
    if new["type"] == _TOKENS and not (new["metadata"].get("annotations") or {}).get(_ACCOUNT):
        yield required(f"metadata.annotations[{_ACCOUNT}]")
    if new["type"] == "kubernetes.io/basic-auth" and not any(key in data for key in _BASIC):
        for key in _BASIC:
            yield required(f"data[{key}]")


class ConfigMapRules(Rules):
    """Config maps: a key is either text or binary."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        if old is None and new.get("binaryData") == {}:
            del new["binaryData"]

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        text, binary = new.get("data") or {}, new.get("binaryData") or {}
        yield from _keys("data", text)
        yield from _keys("binaryData", binary)
        for key in text.keys() & binary.keys():
            yield wrong(f"data[{key}]", key, "duplicate of key present in binaryData")
        texts = (value.encode("utf-8", "surrogatepass") for value in text.values())
        yield from _size((*texts, *map(_decoded, binary.values())), "")
        if old:
            yield from _immutable(new, old, ("data", "binaryData"))


def _keys(field: str, data: Mapping[str, Any]) -> Iterator[Cause]:
    for key in data:
        if fault := names.config_key_fault(key):
            yield wrong(f"{field}[{key[:80]}]", key, fault)


def _decoded(value: str) -> bytes:
    return base64.b64decode(value)


def _size(values: Iterable[bytes], field: str) -> Iterator[Cause]:
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
        # Of bytes Kubernetes takes even an empty map for another one than none.
        empty: JSON | None = None if field == "binaryData" else {}
        if new.get(field, empty) != old.get(field, empty):
            yield forbidden_field(field, why)


_LONGEST = 128


class EventRules(Rules):
    """Events: about an object of their own namespace; those with a moment say who tells of it."""

    apart = True

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        del old
        yield from _event(new, "reportingComponent", "message")


def _event(new: JSON, reporter: str, words: str) -> Iterator[Cause]:
    about = (new.get("involvedObject") or new.get("regarding") or {}).get("namespace", "")
    home = objects.namespace(new)
    anywhere = ("default", "kube-system") if new.get("eventTime") else ("default",)
    # What is about an object of the whole cluster is in the namespace default.
    if (about and about != home and not new.get("eventTime")) or (
        not about and home not in anywhere
    ):
        yield wrong("involvedObject.namespace", about, "does not match event.namespace")
    if not new.get("eventTime"):
        return
    name = new.get(reporter, "")
    if not name:
        yield required(reporter)
    for fault in names.label_key_faults(name):
        yield wrong(reporter, name, fault)
    for field in ("reportingInstance", "action", "reason"):
        if not new.get(field):
            yield required(field)
        elif len(new[field]) > _LONGEST:
            yield wrong(field, "", f"can have at most {_LONGEST} characters")
    if len(new.get(words, "")) > 1024:
        yield wrong("message", "", "can have at most 1024 characters")


class EventViewRules(Rules):
    """Events as `events.k8s.io` has them: those that are made by it say all of themselves."""

    apart = True

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        yield from _event(new, "reportingController", "note")
        if old is not None:
            return
        if not new.get("eventTime"):
            yield required("eventTime")
        if new.get("type") not in ("Normal", "Warning"):
            yield wrong("type", "", f"has invalid value: {new.get('type', '')}")
