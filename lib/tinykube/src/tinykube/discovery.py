"""Discovery: what this API serves, for clients that ask before they act."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from tinykube import names
from tinykube.catalog import Catalog
from tinykube.kinds import Resource, reviews
from tinykube.objects import JSON

# The Kubernetes whose semantics are followed.
MAJOR, MINOR = "1", "37"
GIT_VERSION = "v1.37.2+tinykube"


def version() -> JSON:
    """The answer of `/version`."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "python",
        "platform": f"linux/{machine}",
    }


def groups(catalog: Catalog) -> dict[str, list[str]]:
    """Each named group and its versions, the preferred one first."""
    found: dict[str, list[str]] = {item.group: ["v1"] for item in reviews.ALL}
    for item in catalog:
        versions = found.setdefault(item.group, [])
        if item.version not in versions:
            versions.append(item.version)
    found.pop("", None)
    return {name: sorted(versions, key=names.version_rank) for name, versions in found.items()}


def core_versions(address: str) -> JSON:
    """The answer of `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(catalog: Catalog) -> JSON:
    """The answer of `/apis`."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(name, versions) for name, versions in sorted(groups(catalog).items())],
    }


def _group(name: str, versions: Sequence[str]) -> JSON:
    entries = [{"groupVersion": f"{name}/{item}", "version": item} for item in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def group(catalog: Catalog, name: str) -> JSON | None:
    """The answer of `/apis/GROUP`, None if there is none."""
    found = groups(catalog).get(name)
    if found is None:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, found)}


def resource_list(catalog: Catalog, name: str, version_: str) -> JSON | None:
    """The answer of `/api/v1` (with an empty name) or `/apis/GROUP/VERSION`; None if absent."""
    entries = [
        {
            "name": item.plural,
            "singularName": item.kind.lower(),
            "namespaced": item.namespaced,
            "kind": item.kind,
            "verbs": ["create"],
        }
        for item in reviews.ALL
        if (item.group, "v1") == (name, version_)
    ]
    entries += [
        entry
        for item in catalog
        if (item.group, item.version) == (name, version_)
        for entry in _entries(item)
    ]
    if not entries:
        return None
    spelled = f"{name}/{version_}" if name else version_
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": spelled,
        "resources": entries,
    }


_SUB_GROUPS = {"Scale": ("autoscaling", "v1"), "Eviction": ("policy", "v1")}
_SUB_VERBS = {
    "Namespace": ["update"],
    "TokenRequest": ["create"],
    "Scale": ["get", "patch", "update"],
    "Binding": ["create"],
    "Eviction": ["create"],
    "PodExecOptions": ["create", "get"],
    "PodAttachOptions": ["create", "get"],
    "PodPortForwardOptions": ["create", "get"],
}


def _entries(item: Resource) -> list[JSON]:
    main: JSON = {
        "name": item.plural,
        "singularName": item.singular,
        "namespaced": item.namespaced,
        "kind": item.kind,
        "verbs": sorted(item.verbs) if item.typed else list(item.verbs),
    }
    if item.short:
        main["shortNames"] = list(item.short)
    if item.categories:
        main["categories"] = list(item.categories)
    found = [main]
    if item.status:
        found.append(_sub(item, "status", item.kind, ["get", "patch", "update"]))
    for name, kind in item.subresources.items():
        entry = _sub(item, name, kind, _SUB_VERBS.get(kind, ["get"]))
        if kind in _SUB_GROUPS:
            group, version = _SUB_GROUPS[kind]
            entry |= {"group": group, "version": version}
        found.append(entry)
    return found


def _sub(item: Resource, name: str, kind: str, verbs: list[str]) -> JSON:
    return {
        "name": f"{item.plural}/{name}",
        "singularName": "",
        "namespaced": item.namespaced,
        "kind": kind,
        "verbs": verbs,
    }
