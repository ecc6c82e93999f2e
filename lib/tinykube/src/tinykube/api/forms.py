"""The form of an answer: whole objects, tables, or nothing but metadata.

A client names it in its Accept header (`application/json;as=Table;v=v1;g=meta.k8s.io`); the first
form that is known wins, as in a real API server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request

from tinykube import objects, status, tables
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.status import ApiError
from tinykube.store import Row
from tinykube.watch import Event

_GROUP = "meta.k8s.io"
_VERSIONS = ("v1", "v1beta1")
_TABLE, _METADATA, _LIST = "Table", "PartialObjectMetadata", "PartialObjectMetadataList"
_JSON = ("*/*", "application/*", "application/json")
_ACCEPTED = "only the following media types are accepted: application/json"
_INCLUDE = ("", "None", "Metadata", "Object")


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer looks like.

    Attributes:
        kind: empty for the objects themselves.
        version: that of meta.k8s.io.
        include: what a table's row carries: `None`, `Metadata` or `Object`.
    """

    kind: str = ""
    version: str = "v1"
    include: str = "Metadata"

    def one(self, resource: Resource, data: str) -> str:
        """An object. Raises ApiError 406 for the form of a list."""
        if not self.kind:
            return data
        obj = objects.load(data)
        if self.kind == _LIST:
            raise _not_acceptable(
                f"you requested {_LIST}, but the requested object is not a list ({resource.kind})"
            )
        if self.kind == _METADATA:
            return objects.dump(self._metadata(obj))
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return objects.dump(self._table(resource, [obj], meta))

    def many(self, resource: Resource, rows: Iterable[Row], meta: JSON) -> str:
        """A list. Raises ApiError 406 for the form of one object."""
        if not self.kind:
            return _list(resource, rows, meta)
        if self.kind == _METADATA:
            raise _not_acceptable(
                f"you requested {_METADATA}, but the requested object is a list "
                f"({resource.kind}List)"
            )
        objs = (objects.load(row.data) for row in rows)
        if self.kind == _TABLE:
            return objects.dump(self._table(resource, objs, meta))
        listed: JSON = {
            "kind": _LIST,
            "apiVersion": f"{_GROUP}/{self.version}",
            "metadata": meta,
            "items": [self._metadata(obj) for obj in objs],
        }
        return objects.dump(listed)

    def event(self, resource: Resource, event: Event, *, first: bool) -> bytes:
        """A line of a watch; only the first table names its columns."""
        if not self.kind:
            return event.line()
        return self.line(resource, event.type, objects.load(event.data), first=first)

    def line(self, resource: Resource, type_: str, obj: JSON, *, first: bool) -> bytes:
        """An object as a line of a watch."""
        match self.kind:
            case "Table":
                shown = obj if type_ == "BOOKMARK" else None
                meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
                obj = self._table(resource, [] if shown else [obj], meta)
                if shown:
                    # Its annotations matter to the client; it has nothing to show.
                    cells = [""] * len(obj["columnDefinitions"])
                    obj["rows"] = [{"cells": cells, "object": self._metadata(shown)}]
                if not first:
                    obj["columnDefinitions"] = None
            case "PartialObjectMetadata":
                obj = self._metadata(obj)
        return (objects.dump({"type": type_, "object": obj}) + "\n").encode("ascii")

    def _metadata(self, obj: JSON) -> JSON:
        return {**tables.metadata_only(obj), "apiVersion": f"{_GROUP}/{self.version}"}

    def _table(self, resource: Resource, objs: Iterable[JSON], meta: JSON) -> JSON:
        made = tables.table(resource, objs, meta, self.include)
        made["apiVersion"] = f"{_GROUP}/{self.version}"
        return made


PLAIN = Form()


def asked(http: Request) -> Form:
    """The form that a request asks for. Raises ApiError 400, 406."""
    accept = http.headers.get("accept", "")
    if not accept or accept == "*/*" or accept == "application/json":
        return PLAIN
    for clause in accept.split(","):
        kind, *rest = (item.strip() for item in clause.split(";"))
        if kind.lower() not in _JSON:
            continue
        parameters = dict(item.partition("=")[::2] for item in rest)
        form = parameters.get("as", "")
        if not form:
            return PLAIN
        version = parameters.get("v", "")
        known = form in (_TABLE, _METADATA, _LIST)
        if known and parameters.get("g") == _GROUP and version in _VERSIONS:
            return Form(form, version, _include(http) if form == _TABLE else "")
    raise _not_acceptable(_ACCEPTED)


def plain(http: Request) -> None:
    """Only JSON as it is is served here. Raises ApiError 406."""
    if asked(http).kind:
        raise _not_acceptable(_ACCEPTED)


def _include(http: Request) -> str:
    given = http.query_params.get("includeObject", "")
    if given not in _INCLUDE:
        raise status.bad_request(
            "Unable to convert to Table as requested: includeObject: Invalid value: "
            f"\"{given[:80]}\": must be 'Metadata', 'Object', 'None', or empty"
        )
    return given or "Metadata"


def _not_acceptable(message: str) -> ApiError:
    return ApiError(406, "NotAcceptable", message)


def _list(resource: Resource, rows: Iterable[Row], meta: JSON) -> str:
    if resource.typed:
        skip = len(resource.prefix)
        items = ",".join("{" + row.data[skip:] for row in rows)
    else:
        items = ",".join(row.data for row in rows)
        meta = {"continue": "", **meta}
    kind = resource.list_kind or f"{resource.kind}List"
    return (
        f'{{"kind":"{kind}","apiVersion":"{resource.api_version}",'
        f'"metadata":{objects.dump(meta)},"items":[{items}]}}'
    )
