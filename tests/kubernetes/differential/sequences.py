"""Sequences of requests: create, read, change, delete, over few names so that they meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from .kinds import Kind
from .spoiling import spoiled
from .words import JSON

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
JSON_TYPE = "application/json"
# What generated names begin with; the number of the request follows.
_GENERATED = "$namespace-made-by-server-"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `$version`, `$uid` and `$namespace` in its body stand for each server's own.

    Attributes:
        kind: whose path it goes to.
        method: HTTP's.
        name: of the object, or empty for the collection.
        subresource: `status`, `scale`, or empty.
    """

    kind: Kind
    method: str
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: JSON = None
    content: str = JSON_TYPE

    def __str__(self) -> str:
        path = self.kind.path("NS", self.name, self.subresource)
        query = "&".join(f"{key}={value}" for key, value in self.query.items())
        end = "" if self.body is None else f"\n    {self.content}: {self.body!r}"
        return f"{self.method} {path}{f'?{query}' if query else ''}{end}"


_WRITE_QUERY = st.fixed_dictionaries(
    {},
    optional={
        "dryRun": st.sampled_from(["All", "All", "Some"]),
        "fieldManager": st.sampled_from(["one", "two"]),
        "fieldValidation": st.sampled_from(["Strict", "Warn", "Ignore", "Maybe"]),
    },
)
_SELECTORS = st.sampled_from(
    ["app=one", "app!=one", "app in (one,two)", "!app", "tier", "app notin (one)", "app=="]
)
_BAD_SELECTORS = st.sampled_from(["app in one", "=", "a b", "app=one,,", "app in (", "x=-a-"])
_FIELDS = st.sampled_from(["metadata.name=a", "metadata.namespace=nowhere", "spec.nothing=1", "x"])
_LIST_QUERY = st.fixed_dictionaries(
    {},
    optional={
        "labelSelector": st.one_of(_SELECTORS, _BAD_SELECTORS),
        "fieldSelector": _FIELDS,
        "limit": st.sampled_from(["1", "2", "500", "0", "-1", "many"]),
        "resourceVersion": st.sampled_from(["0", "x"]),
        "resourceVersionMatch": st.sampled_from(["NotOlderThan", "Exact", "Other"]),
        "continue": st.just("nonsense"),
    },
)


# What a namespace has from the start, and its certificate, is each server's own.
_FURNISHED = ("configmaps", "serviceaccounts")
_OURS = "metadata.name!=kube-root-ca.crt,metadata.name!=default"


def _few(query: st.SearchStrategy[dict[str, str]]) -> st.SearchStrategy[dict[str, str]]:
    """Mostly nothing: else no request would come through."""
    return st.one_of(st.just({}), st.just({}), query)


def _names(kind: Kind) -> st.SearchStrategy[str]:
    return st.sampled_from(kind.names)


def _body(kind: Kind, name: st.SearchStrategy[str]) -> st.SearchStrategy[JSON]:
    good = kind.bodies(name)
    return st.one_of(good, good, good, spoiled(good, kind.untouched))


@st.composite
def _create(draw: st.DrawFn, kind: Kind) -> Request:
    body = draw(_body(kind, _names(kind)))
    if isinstance(body.get("metadata"), dict) and draw(st.integers(0, 9)) == 0:
        body["metadata"].pop("name", None)
        body["metadata"]["generateName"] = _GENERATED
    return Request(kind, "POST", query=draw(_few(_WRITE_QUERY)), body=body)


@st.composite
def _update(draw: st.DrawFn, kind: Kind) -> Request:
    name = draw(_names(kind))
    body = draw(_body(kind, st.just(name)))
    if isinstance(body.get("metadata"), dict):
        versions = ["$version", "$version", "1", None, "x"] if not kind.restless else [None, "x"]
        version = draw(st.sampled_from(versions))
        if version is not None:
            body["metadata"]["resourceVersion"] = version
        if draw(st.integers(0, 9)) == 0:
            body["metadata"]["uid"] = draw(st.sampled_from(["$uid", "no-uid"]))
    query = draw(_few(_WRITE_QUERY))
    return Request(kind, "PUT", name, _subresource(draw, kind), query, body)


def _subresource(draw: st.DrawFn, kind: Kind) -> str:
    return draw(st.sampled_from(["", "", "", "status"])) if "status" in kind.subresources else ""


@st.composite
def _scale(draw: st.DrawFn, kind: Kind) -> Request:
    """The scale of an object: read, replaced or patched."""
    name = draw(_names(kind))
    replicas = st.sampled_from([0, 4, -1, "two", None, 2**31])
    spec = st.fixed_dictionaries({}, optional={"replicas": replicas})
    metadata = st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from([name, name, name, "other"]),
            "resourceVersion": st.sampled_from(["$version", "1"]),
        },
    )
    whole = st.fixed_dictionaries(
        {
            "apiVersion": st.sampled_from(["autoscaling/v1", "autoscaling/v1", "v1"]),
            "kind": st.sampled_from(["Scale", "Scale", "Widget"]),
            "metadata": metadata,
            "spec": spec,
        },
        optional={"status": st.just({"replicas": 9})},
    )
    content = draw(st.sampled_from(["", "", JSON_TYPE, JSON_TYPE, MERGE, PATCH, APPLY]))
    query = draw(_few(_WRITE_QUERY))
    if not content:
        return Request(kind, "GET", name, "scale")
    if content == PATCH:
        step = {"op": "replace", "path": "/spec/replicas", "value": draw(replicas)}
        return Request(kind, "PATCH", name, "scale", query, [step], PATCH)
    if content == APPLY:
        query = {**query, "fieldManager": "one"}
    body = draw(st.builds(lambda part: {"spec": part}, spec) if content == MERGE else whole)
    method = "PUT" if content == JSON_TYPE else "PATCH"
    return Request(kind, method, name, "scale", query, body, content)


@st.composite
def _merge(draw: st.DrawFn, kind: Kind) -> Request:
    name = draw(_names(kind))
    whole = draw(_body(kind, st.just(name)))
    keys = draw(st.lists(st.sampled_from(sorted(whole)), unique=True, max_size=2))
    body = {key: whole[key] for key in keys}
    if isinstance(body.get("metadata"), dict):
        body["metadata"].pop("name", None)
        if draw(st.booleans()):
            body["metadata"]["labels"] = {"app": draw(st.sampled_from([None, "one"]))}
    content = draw(st.sampled_from([MERGE, STRATEGIC]))
    query = draw(_few(_WRITE_QUERY))
    return Request(kind, "PATCH", name, _subresource(draw, kind), query, body, content)


@st.composite
def _json_patch(draw: st.DrawFn, kind: Kind) -> Request:
    pointer = st.sampled_from(
        [
            "/metadata/labels",
            "/metadata/labels/app",
            "/metadata/annotations/k",
            "/metadata/finalizers",
            "/metadata/finalizers/0",
            "/metadata/finalizers/-",
            "/metadata/name",
            "/data/k",
            "/spec",
            "/spec/unknown",
            "/nothing/at/all",
            "",
            "no-slash",
        ]
    )
    value = st.sampled_from([{"app": "one"}, "x", "example.com/f", [], None, 1])
    step = st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "replace", "remove", "test", "copy", "move", "other"]),
            "path": pointer,
        },
        optional={"value": value, "from": pointer},
    )
    body = draw(st.one_of(st.lists(step, max_size=3), st.just({"op": "add"})))
    query = draw(_few(_WRITE_QUERY))
    return Request(kind, "PATCH", draw(_names(kind)), "", query, body, PATCH)


@st.composite
def _apply(draw: st.DrawFn, kind: Kind) -> Request:
    name = draw(_names(kind))
    query = {**draw(_few(_WRITE_QUERY)), "fieldManager": draw(st.sampled_from(["one", "two"]))}
    if draw(st.integers(0, 9)) == 0:
        del query["fieldManager"]
    if draw(st.booleans()):
        query["force"] = draw(st.sampled_from(["true", "true", "false"]))
    body = draw(_body(kind, st.just(name)))
    return Request(kind, "PATCH", name, _subresource(draw, kind), query, body, APPLY)


@st.composite
def _delete(draw: st.DrawFn, kind: Kind) -> Request:
    options = {
        "gracePeriodSeconds": st.sampled_from([0, 30, -1]),
        # The others are carried out by a controller, at a time of its own.
        "propagationPolicy": st.sampled_from(["Background", "Odd"]),
        "preconditions": st.sampled_from([{"uid": "$uid"}, {"uid": "no-uid"}]),
        "dryRun": st.sampled_from([["All"], ["Some"]]),
        "unknown": st.just(1),
    }
    if not kind.restless:
        versions = [{"resourceVersion": "$version"}, {"resourceVersion": "1"}]
        options["preconditions"] = st.sampled_from([{"uid": "$uid"}, {"uid": "no-uid"}, *versions])
    some = st.fixed_dictionaries({}, optional=options)
    body = draw(st.one_of(st.none(), st.none(), some))
    return Request(kind, "DELETE", draw(_names(kind)), body=body)


@st.composite
def _delete_many(draw: st.DrawFn, kind: Kind) -> Request:
    selector = draw(st.one_of(_SELECTORS, _BAD_SELECTORS))
    query = {"labelSelector": selector}
    if not kind.namespaced:
        # What a cluster has of itself stays.
        query["labelSelector"] = f"app,{selector}"
    elif kind.plural in _FURNISHED:
        query["fieldSelector"] = _OURS
    return Request(kind, "DELETE", query=query)


@st.composite
def _list(draw: st.DrawFn, kind: Kind) -> Request:
    query = dict(draw(_few(_LIST_QUERY)))
    if not kind.namespaced:
        query["labelSelector"] = f"app,{query.get('labelSelector', 'app')}"
    elif kind.plural in _FURNISHED:
        query.setdefault("fieldSelector", _OURS)
    return Request(kind, "GET", query=query)


@st.composite
def _get(draw: st.DrawFn, kind: Kind) -> Request:
    return Request(kind, "GET", draw(_names(kind)), _subresource(draw, kind))


@st.composite
def _odd(draw: st.DrawFn, kind: Kind) -> Request:
    """Bodies and types that nobody should send."""
    body = draw(st.sampled_from([b"", b"{", b"[]", b"null", b"\xff", b'"x"', b"{}", b"kind: x"]))
    content = draw(st.sampled_from([JSON_TYPE, MERGE, "text/plain", "application/yaml", ""]))
    method, name = draw(
        st.sampled_from([("POST", ""), ("PUT", "x"), ("PATCH", "x"), ("POST", "x"), ("PUT", "")])
    )
    return Request(kind, method, name and kind.names[0], body=body, content=content)


_VERBS = (
    (_create, 6),
    (_update, 3),
    (_merge, 3),
    (_json_patch, 2),
    (_apply, 4),
    (_delete, 3),
    (_delete_many, 1),
    (_list, 2),
    (_get, 1),
    (_odd, 1),
)
_SCALING = ((_scale, 4),)


def requests(kind: Kind) -> st.SearchStrategy[Request]:
    """One request about `kind`."""
    chosen = [
        verb(kind)
        for verb, weight in (*_VERBS, *(_SCALING if "scale" in kind.subresources else ()))
        for _ in range(weight)
    ]
    return st.one_of(chosen)


def _numbered(requests: list[Request]) -> list[Request]:
    """Generated names in the order of the requests: lists sort by what comes at random, too."""
    found = []
    for number, request in enumerate(requests):
        meta = request.body.get("metadata") if isinstance(request.body, dict) else None
        if isinstance(meta, dict) and meta.get("generateName") == _GENERATED:
            meta = {**meta, "generateName": f"{_GENERATED}{number:02}-"}
            request = replace(request, body={**request.body, "metadata": meta})
        found.append(request)
    return found


def sequences(kind: Kind) -> st.SearchStrategy[list[Request]]:
    """Up to twenty requests about one kind, the first of which creates something."""
    first = kind.bodies(_names(kind)).map(lambda body: Request(kind, "POST", body=body))
    rest = st.lists(requests(kind), min_size=4, max_size=20)
    return st.builds(lambda one, others: _numbered([one, *others]), first, rest)
