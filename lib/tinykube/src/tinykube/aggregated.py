"""Aggregated discovery: all groups, versions and resources in one answer (apidiscovery.k8s.io)."""

from __future__ import annotations

import hashlib

from starlette.requests import Request

from tinykube import discovery, objects
from tinykube.catalog import Catalog
from tinykube.objects import JSON

GROUP = "apidiscovery.k8s.io"
_KIND = "APIGroupDiscoveryList"
_VERSIONS = ("v2", "v2beta1")


def asked(http: Request) -> str:
    """The version of the form that a request asks for before any other; empty if it does not."""
    for clause in http.headers.get("accept", "").split(","):
        kind, *rest = (item.strip() for item in clause.split(";"))
        parameters = dict(item.partition("=")[::2] for item in rest)
        if kind != "application/json":
            continue
        if not parameters.get("as"):
            return ""
        version = parameters.get("v", "")
        if parameters["as"] == _KIND and parameters.get("g") == GROUP and version in _VERSIONS:
            return version
    return ""


def media_type(version: str) -> str:
    """The type of the answer."""
    return f"application/json;g={GROUP};v={version};as={_KIND}"


def etag(text: str) -> str:
    """What changes when the answer does."""
    return f'"{hashlib.sha512(text.encode("ascii")).hexdigest().upper()}"'


def group_list(catalog: Catalog, version: str, *, core: bool) -> JSON:
    """The answer of `/api` (`core`) or of `/apis`."""
    found = {"": ["v1"]} if core else discovery.groups(catalog)
    return {
        "kind": _KIND,
        "apiVersion": f"{GROUP}/{version}",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": name, "creationTimestamp": None} if name else {},
                "versions": [_version(catalog, name, item) for item in versions],
            }
            for name, versions in sorted(found.items())
        ],
    }


def _version(catalog: Catalog, group: str, version: str) -> JSON:
    listed = discovery.resource_list(catalog, group, version) or {"resources": []}
    resources: dict[str, JSON] = {}
    for entry in listed["resources"]:
        plural, _, name = entry["name"].partition("/")
        kind = {
            "group": entry.get("group", group),
            "version": entry.get("version", version),
            "kind": entry["kind"],
        }
        verbs = sorted(entry["verbs"])
        if name:
            made = {"subresource": name, "responseKind": kind, "verbs": verbs}
            if plural in resources:
                resources[plural].setdefault("subresources", []).append(made)
            continue
        resources[plural] = {
            "resource": plural,
            "responseKind": kind,
            "scope": "Namespaced" if entry["namespaced"] else "Cluster",
            "singularResource": entry["singularName"],
            "verbs": verbs,
            **{key: entry[key] for key in ("shortNames", "categories") if key in entry},
        }
    return {"version": version, "resources": list(resources.values()), "freshness": "Current"}


def text(catalog: Catalog, version: str, *, core: bool) -> str:
    """The answer as JSON."""
    return objects.dump(group_list(catalog, version, core=core))
