"""Whether what is to be stored is valid."""

from __future__ import annotations

from collections.abc import Sequence

from tinykube import rules, status
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.schema import Findings
from tinykube.status import Cause

_SHOWN_CAUSES = 50


def judge(resource: Resource, new: JSON, old: JSON | None, findings: Findings) -> None:
    """Raise ApiError 422 for an object that is not valid, or that cannot be had here."""
    own = rules.of(resource)
    common = list(rules.metadata(resource, new, old))
    faults = list(own.validate(new, old))
    if not faults or not own.apart:
        faults = [*common, *faults]
    # What Kubernetes would take is not held against what it would not take.
    _refuse(resource, new, faults or [*findings.refused, *own.lacking(new)])


def judge_part(resource: Resource, new: JSON, old: JSON) -> None:
    """Raise ApiError 422 for an object that a write through a subresource made invalid."""
    own = rules.of(resource)
    _refuse(resource, new, [*rules.metadata(resource, new, old), *own.validate_status(new, old)])


def _refuse(resource: Resource, obj: JSON, faults: Sequence[Cause]) -> None:
    if not faults:
        return
    name = str(obj["metadata"].get("name") or obj["metadata"].get("generateName") or "")
    raise status.invalid(resource.kind, resource.group, name[:253], faults[:_SHOWN_CAUSES])
