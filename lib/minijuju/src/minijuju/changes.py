"""From a bundle and what a model holds now to the calls that close the difference.

Juju never removes what a bundle no longer names, and never upgrades the local charm of an
application that exists (`juju refresh` does); neither happens here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import constraints
from .bundle import Application, Bundle
from .endpoints import Endpoint


@dataclass(frozen=True)
class Change:
    """One call to the controller (without the model), and the line that announces it."""

    line: str
    method: str
    params: Mapping[str, Any]


def plan(
    bundle: Bundle, status: Mapping[str, Any], config: Mapping[str, Mapping[str, Any]]
) -> list[Change]:
    """What to do, in order; empty if the model is as the bundle wants it.

    Args:
        bundle: A checked bundle.
        status: The model's status document.
        config: For each application that exists, its config document
            (`{"settings": {option: {"value": ...}}, "application-config": {...}}`).
    """
    existing = status.get("applications") or {}
    changes: list[Change] = []
    for name, application in bundle.applications.items():
        if name in existing:
            changes += _update(application, existing[name], config.get(name, {}))
        else:
            changes.append(_deploy(application))
    changes += [
        Change(
            f"add relation {provider} - {requirer}",
            "integrate",
            {"endpoints": [str(provider), str(requirer)]},
        )
        for provider, requirer in bundle.relations
        if not _joined(existing, provider, requirer)
    ]
    return changes


def _deploy(application: Application) -> Change:
    units = 1 if application.scale is None else application.scale
    base = application.base or (
        str(application.charm.bases[0]) if application.charm.bases else "the charm's base"
    )
    return Change(
        f"deploy application {application.name} with {units} {'unit' if units == 1 else 'units'}"
        f" on {base} using {application.path}",
        "deploy",
        {
            "application": application.name,
            "charm": str(application.path),
            "config": dict(application.options),
            "resources": dict(application.resources),
            "num_units": units,
            "trust": application.trust,
            "storage": dict(application.storage),
            "constraints": application.constraints,
        },
    )


def _update(
    application: Application, status: Mapping[str, Any], config: Mapping[str, Any]
) -> list[Change]:
    name = application.name
    changes = []
    settings = config.get("settings") or {}
    differing = {
        key: value
        for key, value in application.options.items()
        if settings.get(key, {}).get("value") != value
    }
    if differing:
        changes.append(
            Change(
                f"set application options for {name}: {', '.join(sorted(differing))}",
                "config_set",
                {"application": name, "settings": differing, "reset": []},
            )
        )
    scale = status.get("scale", len(status.get("units") or {}))
    if application.scale is not None and application.scale != scale:
        changes.append(
            Change(
                f"scale {name} to {application.scale} units",
                "scale_application",
                {"application": name, "scale": application.scale},
            )
        )
    trusted = (config.get("application-config") or {}).get("trust", {}).get("value", False)
    if application.trust and trusted in (False, "false"):
        changes.append(Change(f"trust {name}", "trust", {"application": name}))
    return changes


def unapplied(bundle: Bundle, shown: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Warnings for what a bundle changes in an existing application and minijuju cannot yet.

    Args:
        bundle: A checked bundle.
        shown: For each application that exists, its `show-application` document.
    """
    warnings = []
    for name, application in bundle.applications.items():
        if name not in shown or not application.constraints:
            continue
        now = shown[name].get("constraints") or {}
        wanted = constraints.parse(application.constraints)
        if {key: str(value) for key, value in wanted.items()} != {
            key: str(value) for key, value in now.items()
        }:
            warnings.append(
                f"constraints of {name} stay as they are: set-constraints is not built yet"
            )
    return warnings


def _joined(existing: Mapping[str, Any], provider: Endpoint, requirer: Endpoint) -> bool:
    """Whether the status shows both applications related at these endpoints."""

    def sees(one: Endpoint, other: Endpoint) -> bool:
        relations = (existing.get(one.application) or {}).get("relations") or {}
        return any(
            entry.get("related-application") == other.application
            for entry in relations.get(one.meta.name) or []
        )

    return sees(provider, requirer) and sees(requirer, provider)
