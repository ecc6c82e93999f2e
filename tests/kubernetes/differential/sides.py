"""One of the two servers in one sequence: its own values, and what of its answers is compared."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from tinykube.podspec.unmet import MARK

from .kinds import Kind
from .normal import Normal, listed, settled
from .sequences import MERGE, Request
from .servers import Answer, Server

JSON = Any

_NOBODY = "00000000-0000-0000-0000-000000000000"
_SECONDS = 30.0
# What controllers take off an object that is being deleted.
_HELD = ("kubernetes.io/pvc-protection", "orphan", "foregroundDeletion")
# What a namespace's controller takes off its spec.
_EMPTIED = "kubernetes"
# What controllers write at a time of their own.
_RESTLESS = ("resourceVersion", "managedFields")
_SPEC = {"containers": [{"name": "main", "image": "busybox"}], "schedulerName": "nobody"}
# What the last object of a sequence has besides its name.
_ENDS: Mapping[str, JSON] = {
    "pods": {"spec": _SPEC},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "limitranges": {"spec": {"limits": []}},
    "rolebindings": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}
    },
    "events": {"involvedObject": {"kind": "Pod", "namespace": "$namespace"}},
    "persistentvolumeclaims": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "nobody",
        }
    },
    "jobs": {"spec": {"suspend": True, "template": {"spec": {**_SPEC, "restartPolicy": "Never"}}}},
    "priorityclasses": {"value": 1},
}


class Side:
    """One server in one sequence: what its values are called, and what it said of each object."""

    def __init__(self, server: Server, namespace: str, kind: Kind) -> None:
        self.server = server
        self.namespace = namespace
        self.kind = kind
        self._normal = Normal()
        self._objects: dict[str, JSON] = {}
        self._start = self._version()

    def _version(self) -> str:
        """The version of the collection now."""
        found = self.server.ask("GET", self.kind.path(self.namespace), query={"limit": "1"})
        return str(found.body["metadata"]["resourceVersion"]) if found.code == 200 else "0"

    def ask(self, request: Request) -> Answer:
        """Ask, with this server's version and uid where the request stands for them."""
        kind = self.kind
        name = self._filled(request.name, {})
        current = self._objects.get(name, {})
        if request.query.get("resourceVersion") == "0":
            # Any version will do for such a list, so a cache that is behind must catch up first.
            self._version()
        answer = self.server.ask(
            request.method,
            kind.path(self.namespace, name, request.subresource),
            query=dict(request.query),
            body=self._filled(request.body, current),
            content=request.content,
        )
        if isinstance(answer.body, dict) and answer.body.get("kind") == kind.kind:
            metadata = answer.body["metadata"]
            self._objects[metadata.get("name", "")] = metadata
        if request.method == "DELETE" and answer.code == 200 and kind.restless:
            self._settle()
        return answer

    def _settle(self) -> None:
        """Wait until controllers have let go of what is being deleted."""
        for name in self._objects:
            path = self.kind.path(self.namespace, name)
            end = time.monotonic() + _SECONDS
            while _held(found := self.server.ask("GET", path)):
                if self.kind.plural == "namespaces":
                    # Its controller takes its time even over an empty one.
                    self._finalize(path, found, [_EMPTIED])
                elif time.monotonic() > end:
                    raise RuntimeError(f"{self.server.name} lets not go of {path}: {found.body}")
                else:
                    time.sleep(0.01)

    def _filled(self, body: JSON, current: JSON) -> JSON:
        """A body with this server's values where it stands for them."""
        if isinstance(body, dict):
            return {key: self._filled(value, current) for key, value in body.items()}
        if isinstance(body, list):
            return [self._filled(item, current) for item in body]
        if not isinstance(body, str):
            return body
        values = {
            "$version": current.get("resourceVersion", "1"),
            "$uid": current.get("uid", _NOBODY),
        }
        return values.get(body, body.replace("$namespace", self.namespace))

    def plain(self, request: Request, answer: Answer) -> JSON:
        """An answer as it is compared."""
        body = settled(listed(answer.body))
        if self.kind.restless and isinstance(body, dict):
            if isinstance(body.get("items"), list):
                body = {**body, "items": [_still(item) for item in body["items"]]}
            elif body.get("kind") == request.kind.kind:
                body = _still(body)
        body = self._normal(body)
        if isinstance(body, str):
            body = body.strip()
        # What tinykube takes and cannot give, Kubernetes does: there is nothing to compare.
        warnings = [self._normal(each) for each in answer.warnings if MARK not in each]
        return {"body": body, "content type": answer.kind, "warnings": warnings}

    def finish(self) -> None:
        """Make the object at which a watch has seen everything."""
        kind = self.kind
        metadata = {"name": self._end, "labels": {"app": "one"}}
        body = {"apiVersion": kind.group_version, "kind": kind.kind, "metadata": metadata}
        extra = self._filled(_ENDS.get(kind.plural, {}), {})
        made = self.server.ask("POST", kind.path(self.namespace), body={**body, **extra})
        if made.code != 201:
            raise RuntimeError(f"{self.server.name} takes no {kind.kind} to end with: {made.body}")

    @property
    def _end(self) -> str:
        return "the-end" if self.kind.namespaced else f"{self.namespace}-the-end"

    def events(self, query: Mapping[str, str]) -> JSON:
        """What a watch from the start tells of this sequence's objects, without the last event."""

        def last(event: JSON) -> bool:
            metadata = event["object"].get("metadata", {})
            return event["type"] == "ERROR" or metadata.get("name") == self._end

        path = self.kind.path(self.namespace)
        asked = {"resourceVersion": self._start, **query}
        found = list(self.server.watch(path, asked, last))
        if not found or not last(found[-1]):
            raise RuntimeError(f"{self.server.name}'s watch on {path} did not come to its end")
        events = found if found[-1]["type"] == "ERROR" else found[:-1]
        if not self.kind.namespaced:
            events = [event for event in events if _name(event).startswith(f"{self.namespace}-")]
        if self.kind.restless:
            events = _told_once({**event, "object": _still(event["object"])} for event in events)
        return [self._normal(event) for event in events]

    def clear(self) -> None:
        """Objects of the whole cluster go: lists of other sequences must not show them."""
        if self.kind.namespaced:
            return
        for name in [*self._objects, self._end]:
            path = self.kind.path("", name)
            gone = self.server.ask("DELETE", path)
            if gone.code == 404 or (gone.code == 200 and gone.body["kind"] == "Status"):
                continue
            self.server.ask("PATCH", path, body={"metadata": {"finalizers": None}}, content=MERGE)
            end = time.monotonic() + _SECONDS
            while (found := self.server.ask("GET", path)).code != 404:
                if time.monotonic() > end:
                    raise RuntimeError(f"{self.server.name} keeps {path}: {found.body}")
                if self.kind.plural == "namespaces":
                    self._finalize(path, found, found.body["spec"].get("finalizers") or ())
                else:
                    time.sleep(0.01)

    def _finalize(self, path: str, found: Answer, names: Iterable[str]) -> None:
        """Take these names off the spec of a namespace that was found."""
        kept = [name for name in found.body["spec"].get("finalizers") or () if name not in names]
        body = {**found.body, "spec": {"finalizers": kept}}
        del body["metadata"]["resourceVersion"]
        answer = self.server.ask("PUT", f"{path}/finalize", body=body)
        if answer.code not in (200, 404):
            raise RuntimeError(f"{self.server.name} lets {path} not go: {answer.body}")


def _held(answer: Answer) -> bool:
    """Whether a controller has still to act on an object that is being deleted."""
    if answer.code != 200 or not answer.body["metadata"].get("deletionTimestamp"):
        return False
    spec = answer.body.get("spec") or {}
    if answer.body["kind"] == "Namespace" and _EMPTIED in (spec.get("finalizers") or ()):
        return True
    return any(name in _HELD for name in answer.body["metadata"].get("finalizers") or ())


def _name(event: JSON) -> str:
    return str(event["object"].get("metadata", {}).get("name", ""))


def _still(item: JSON) -> JSON:
    """An object without what controllers write at a time of their own."""
    metadata = {
        key: value for key, value in item.get("metadata", {}).items() if key not in _RESTLESS
    }
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


def _told_once(events: Iterable[JSON]) -> list[JSON]:
    """Events without those that tell nothing new of their object."""
    found: list[JSON] = []
    latest: dict[str, JSON] = {}
    for event in events:
        name = _name(event)
        if event["type"] == "MODIFIED" and latest.get(name) == event["object"]:
            continue
        latest[name] = event["object"]
        found.append(event)
    return found
