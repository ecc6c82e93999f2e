"""From a bundle and what a model holds now to the calls that close the difference.

Juju never removes what a bundle no longer names, and never upgrades the local charm of an
application that exists (`juju refresh` does); neither happens here. A store's charm follows the
bundle's channel and revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import constraints
from .applications import APPLICATION_KEYS
from .bundle import Application, Bundle
from .charm_store import Release
from .endpoints import Endpoint

EVERYWHERE = "0.0.0.0/0 and ::/0"


@dataclass(frozen=True)
class Change:
    """One call to the controller (without the model), and the line that announces it."""

    line: str
    method: str
    params: Mapping[str, Any]


def plan(
    bundle: Bundle,
    status: Mapping[str, Any],
    config: Mapping[str, Mapping[str, Any]],
    shown: Mapping[str, Mapping[str, Any]],
) -> list[Change]:
    """What to do, in order; empty if the model is as the bundle wants it.

    Args:
        bundle: A checked bundle.
        status: The model's status document.
        config: For each application that exists, its config document
            (`{"settings": {option: {"value": ...}}, "application-config": {...}}`).
        shown: For each application that exists, its `show-application` document.
    """
    existing = status.get("applications") or {}
    changes: list[Change] = []
    for name, application in bundle.applications.items():
        if name in existing:
            changes += _update(
                application, existing[name], config.get(name, {}), shown.get(name, {})
            )
        else:
            changes.append(_deploy(application))
            changes += _notes(application, {})
            changes += _expose(application, exposed=False)
    changes += _consume(bundle, status.get("application-endpoints") or {})
    changes += _offer(bundle, status.get("offers") or {})
    changes += [
        Change(
            f"add relation {requirer} - {provider}",
            "integrate",
            {"endpoints": [str(requirer), str(provider)]},
        )
        for provider, requirer in bundle.relations
        if not _joined(existing, provider, requirer)
    ]
    changes += [
        Change(f"add relation {own} - {far}", "integrate", {"endpoints": [own, far]})
        for own, far in bundle.crossings
        if not _crossed(existing, own, far)
    ]
    return changes


def _consume(bundle: Bundle, consumed: Mapping[str, Any]) -> list[Change]:
    return [
        Change(f"consume offer {name} at {url}", "consume", {"url": url, "name": name})
        for name, url in bundle.saas.items()
        if name not in consumed
    ]


def _offer(bundle: Bundle, known: Mapping[str, Any]) -> list[Change]:
    """Offers that are not there yet, or have other endpoints."""
    found = []
    for application in bundle.applications.values():
        for name, endpoints in application.offers.items():
            offered = known.get(name) or {}
            if (offered.get("application"), set(offered.get("endpoints") or ())) != (
                application.name,
                set(endpoints),
            ):
                found.append(
                    Change(
                        f"create offer {name} using {application.name}:{','.join(endpoints)}",
                        "offer",
                        {
                            "application": application.name,
                            "endpoints": list(endpoints),
                            "name": name,
                        },
                    )
                )
    return found


def _crossed(existing: Mapping[str, Any], own: str, far: str) -> bool:
    """Whether the status shows an application related with what the model consumes."""
    application, _, endpoint = own.partition(":")
    relations = (existing.get(application) or {}).get("relations") or {}
    return any(
        entry.get("related-application") == far.partition(":")[0]
        for name, entries in relations.items()
        if endpoint in ("", name)
        for entry in entries or []
    )


def _deploy(application: Application) -> Change:
    units = 1 if application.scale is None else application.scale
    base = application.base or (
        str(application.charm.bases[0]) if application.charm.bases else "the charm's base"
    )
    stored = " from charm-hub" if application.release else ""
    return Change(
        f"deploy application {application.name}{stored} with {units} "
        f"{'unit' if units == 1 else 'units'} on {base} using {application.origin}",
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
            **release_params(application.release),
        },
    )


def release_params(release: Release | None) -> dict[str, Any]:
    """What tells the controller that a charm is a store's."""
    return {"channel": release.channel, "revision": release.revision} if release else {}


def _update(
    application: Application,
    status: Mapping[str, Any],
    config: Mapping[str, Any],
    shown: Mapping[str, Any],
) -> list[Change]:
    name = application.name
    changes = _upgrade(application, status)
    differing = {
        key: value
        for key, value in application.options.items()
        if _configured(config, key) != value
    }
    if differing:
        changes.append(
            Change(
                f"set application options for {name}: {', '.join(sorted(differing))}",
                "config_set",
                {"application": name, "settings": differing, "reset": []},
            )
        )
    if application.constraints:
        wanted = constraints.parse(application.constraints)
        if wanted != (shown.get("constraints") or {}):
            changes.append(
                Change(
                    f'set constraints for {name} to "{application.constraints}"',
                    "set_constraints",
                    {"application": name, "constraints": application.constraints},
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
    changes += _notes(application, shown.get("annotations") or {})
    changes += _expose(application, exposed=bool(status.get("exposed")))
    return changes


def _configured(config: Mapping[str, Any], key: str) -> Any:
    section = "application-config" if key in APPLICATION_KEYS else "settings"
    settings = config.get(section) or {}
    return settings.get(key, {}).get("value")


def _upgrade(application: Application, status: Mapping[str, Any]) -> list[Change]:
    """The charm of the channel and revision that the bundle wants; local charms stay."""
    release = application.release
    if release is None:
        return []
    revision, channel = status.get("charm-rev"), status.get("charm-channel")
    if (revision, channel) == (release.revision, release.channel):
        return []
    same = revision == release.revision and status.get("charm-origin") == "charmhub"
    return [
        Change(
            f"upgrade {application.name} from charm-hub using charm {release.name} "
            f"from channel {release.channel}",
            "refresh",
            {
                "application": application.name,
                **({} if same else {"path": str(release.path)}),
                **({} if same else {"resources": dict(application.resources)}),
                **release_params(release),
            },
        )
    ]


def _notes(application: Application, known: Mapping[str, str]) -> list[Change]:
    differing = {k: v for k, v in application.annotations.items() if known.get(k, "") != v}
    if not differing:
        return []
    return [
        Change(
            f"set annotations for {application.name}",
            "annotate",
            {"application": application.name, "annotations": differing},
        )
    ]


def _expose(application: Application, *, exposed: bool) -> list[Change]:
    if not application.expose or exposed:
        return []
    return [
        Change(
            f"expose all endpoints of {application.name} and allow access from CIDRs {EVERYWHERE}",
            "expose",
            {"application": application.name},
        )
    ]


def _joined(existing: Mapping[str, Any], provider: Endpoint, requirer: Endpoint) -> bool:
    """Whether the status shows both applications related at these endpoints."""

    def sees(one: Endpoint, other: Endpoint) -> bool:
        relations = (existing.get(one.application) or {}).get("relations") or {}
        return any(
            entry.get("related-application") == other.application
            for entry in relations.get(one.meta.name) or []
        )

    return sees(provider, requirer) and sees(requirer, provider)
