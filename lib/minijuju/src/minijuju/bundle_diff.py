"""How a bundle and a model differ: the document of `juju diff-bundle`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import constraints
from .bundle import Application, Bundle

_EVERYWHERE = {"expose-to-cidrs": ["0.0.0.0/0", "::/0"]}


def diff(
    bundle: Bundle,
    status: Mapping[str, Any],
    config: Mapping[str, Mapping[str, Any]],
    shown: Mapping[str, Mapping[str, Any]],
    *,
    annotations: bool = False,
) -> dict[str, Any]:
    """The differences; empty if there are none.

    Args:
        bundle: A checked bundle.
        status: The model's status document.
        config: The config document of each application.
        shown: The `show-application` document of each application.
        annotations: Whether annotations are compared too.
    """
    existing = status.get("applications") or {}
    found: dict[str, Any] = {}
    for name in sorted({*bundle.applications, *existing}):
        if name not in bundle.applications:
            found[name] = {"missing": "bundle"}
        elif name not in existing:
            found[name] = {"missing": "model"}
        else:
            differing = _application(
                bundle.applications[name], existing[name], config[name], shown[name]
            )
            if annotations:
                notes = _mappings(
                    bundle.applications[name].annotations, shown[name].get("annotations") or {}, ""
                )
                differing |= {"annotations": notes} if notes else {}
            if differing:
                found[name] = differing
    document = {"applications": found} if found else {}
    relations = _relations(bundle, status)
    return document | ({"relations": relations} if relations else {})


def _application(
    wanted: Application,
    status: Mapping[str, Any],
    config: Mapping[str, Any],
    shown: Mapping[str, Any],
) -> dict[str, Any]:
    sides = {
        "charm": (wanted.origin, _charm(wanted, status, shown)),
        "channel": (
            wanted.release.channel if wanted.release else "",
            status.get("charm-channel", ""),
        ),
        "scale": (1 if wanted.scale is None else wanted.scale, status.get("scale", 0)),
        "expose": (wanted.expose, bool(status.get("exposed"))),
        "constraints": (
            wanted.constraints,
            constraints.render(dict(shown.get("constraints") or {})),
        ),
    }
    found: dict[str, Any] = {
        key: {"bundle": one, "model": other} for key, (one, other) in sides.items() if one != other
    }
    if "expose" in found:
        side = "bundle" if wanted.expose else "model"
        other = "model" if wanted.expose else "bundle"
        found["exposed_endpoints"] = {"": {side: _EVERYWHERE, other: None}}
    options = _mappings(wanted.options, _options(config), None)
    # Juju compares what is set or has a default; what a bundle leaves to the default is the same.
    defaults = {key: entry.get("default") for key, entry in (config.get("settings") or {}).items()}
    options = {
        key: entry
        for key, entry in options.items()
        if key in wanted.options or entry["model"] != defaults.get(key)
    }
    return found | ({"options": options} if options else {})


def _charm(wanted: Application, status: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    """What the model says where the bundle says `charm:`."""
    if status.get("charm-origin") == "charmhub":
        return str(status.get("charm-name", ""))
    return str(shown.get("charm-source", ""))


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        key: entry["value"]
        for key, entry in (config.get("application-config") or {}).items()
        if key != "trust" and "value" in entry
    }
    return own | {
        key: entry["value"]
        for key, entry in (config.get("settings") or {}).items()
        if "value" in entry
    }


def _mappings(wanted: Mapping[str, Any], known: Mapping[str, Any], nothing: Any) -> dict[str, Any]:
    return {
        key: {"bundle": wanted.get(key, nothing), "model": known.get(key, nothing)}
        for key in sorted({*wanted, *known})
        if wanted.get(key, nothing) != known.get(key, nothing)
    }


def _relations(bundle: Bundle, status: Mapping[str, Any]) -> dict[str, Any]:
    pairs = [*bundle.relations, *bundle.crossings]
    wanted = {tuple(sorted((str(one), str(other)))) for one, other in pairs}
    known = {
        tuple(sorted((entry["provider"], entry["requirer"])))
        for entry in status.get("relations") or []
        if entry["type"] != "peer"
    }
    sides = {
        "bundle-additions": sorted(list(pair) for pair in wanted - known),
        "model-additions": sorted(list(pair) for pair in known - wanted),
    }
    return {side: pairs for side, pairs in sides.items() if pairs}
