"""A model as a bundle: the document of `juju export-bundle`, which `juju deploy` takes again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import constraints

MIB = 1024 * 1024


def export(
    status: Mapping[str, Any],
    config: Mapping[str, Mapping[str, Any]],
    shown: Mapping[str, Mapping[str, Any]],
    *,
    defaults: bool = False,
) -> dict[str, Any]:
    """The bundle.

    Args:
        status: The model's status document.
        config: The config document of each application.
        shown: The `show-application` document of each application.
        defaults: Whether options that have their default are written too.
    """
    applications = status.get("applications") or {}
    document: dict[str, Any] = {
        "bundle": "kubernetes",
        "applications": {
            name: _application(applications[name], config[name], shown[name], defaults=defaults)
            for name in sorted(applications)
        },
    }
    relations = [
        [entry["requirer"], entry["provider"]]
        for entry in status.get("relations") or []
        if entry["type"] != "peer"
    ]
    saas = status.get("application-endpoints") or {}
    if saas:
        document["saas"] = {name: {"url": saas[name]["url"]} for name in sorted(saas)}
    proxies = {name for relation in relations for name in _strangers(relation, applications, saas)}
    relations = [one for one in relations if not proxies & {side.split(":")[0] for side in one}]
    if relations:
        document["relations"] = sorted(relations)
    return document


def _strangers(
    relation: list[str], applications: Mapping[str, Any], saas: Mapping[str, Any]
) -> set[str]:
    """Consumers in other models: they come by themselves, once what they consume is offered."""
    names = {side.split(":")[0] for side in relation}
    return {name for name in names if name not in applications and name not in saas}


def overlay(status: Mapping[str, Any]) -> dict[str, Any]:
    """What only an overlay may say: the offers; empty if there are none."""
    applications: dict[str, Any] = {}
    for name, offer in sorted((status.get("offers") or {}).items()):
        body = applications.setdefault(offer["application"], {"offers": {}})
        body["offers"][name] = {"endpoints": sorted(offer["endpoints"]), "acl": {"admin": "admin"}}
    return {"applications": applications} if applications else {}


def _application(
    status: Mapping[str, Any],
    config: Mapping[str, Any],
    shown: Mapping[str, Any],
    *,
    defaults: bool,
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if status.get("charm-origin") == "charmhub":
        body["charm"] = status.get("charm-name")
        body["channel"] = status.get("charm-channel")
        body["revision"] = status.get("charm-rev")
    else:
        body["charm"] = shown.get("charm-source")
    base = status.get("base") or {}
    if base.get("channel"):
        body["base"] = f"{base['name']}@{base['channel']}/stable"
    body["scale"] = status.get("scale", 0)
    resources = {
        name: value["source"]
        for name, value in (shown.get("resources") or {}).items()
        if value.get("source")
    }
    sections = {
        "resources": resources,
        "expose": bool(status.get("exposed")),
        "options": _options(config, defaults=defaults),
        "annotations": dict(shown.get("annotations") or {}),
        "constraints": constraints.render(dict(shown.get("constraints") or {})),
        "storage": {
            name: f"kubernetes,{directive['count']},{directive['size'] // MIB}M"
            for name, directive in (shown.get("storage") or {}).items()
            if directive["count"]
        },
        "trust": bool(shown.get("trust")),
    }
    return body | {key: value for key, value in sections.items() if value}


def _options(config: Mapping[str, Any], *, defaults: bool) -> dict[str, Any]:
    own = {
        key: entry["value"]
        for key, entry in (config.get("application-config") or {}).items()
        if key != "trust" and entry.get("source") == "user"
    }
    wanted = ("user", "default") if defaults else ("user",)
    return own | {
        key: entry["value"]
        for key, entry in sorted((config.get("settings") or {}).items())
        if entry.get("source") in wanted and "value" in entry
    }
