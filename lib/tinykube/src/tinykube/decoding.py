"""Bodies of requests as objects: of what version and kind they are, and what of them is known."""

from __future__ import annotations

from typing import Any

from tinykube import kinds, objects, status
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.options import Options
from tinykube.schema import Findings, ShapeError


def decode(
    resource: Resource, body: Any, options: Options, *, part: bool = False
) -> tuple[JSON, Findings]:
    """A client's object, checked against the resource's shape. Raises ApiError 400.

    Args:
        resource: what it is to be.
        body: the object as it came.
        options: what warnings are added to.
        part: it is what a manager applies, and need not be whole.
    """
    if body is None and resource.typed:
        # As Go's JSON has it: what is null is empty.
        body = {}
    if not isinstance(body, dict):
        raise status.bad_request(f"the body must be an object of kind {resource.kind}")
    for member in ("kind", "apiVersion"):
        value = body.get(member)
        if value is not None and not isinstance(value, str):
            raise status.bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): "
                f"couldn't get version/kind; json parse error: {member}: expected a string"
            )
    if not resource.typed and not body.get("kind"):
        text = objects.dump(body)[:1024]
        raise status.bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): Object "
            f"'Kind' is missing in '{text}' ({text})"
        )
    kind = body.get("kind") or resource.kind
    version = body.get("apiVersion") or (resource.api_version if resource.typed else "")
    if not resource.typed and version != resource.api_version:
        raise status.bad_request(
            f"the API version in the data ({str(version)[:80]}) does not match the expected "
            f"API version ({resource.api_version})"
        )
    if not resource.typed and kind != resource.kind:
        meta = body.get("metadata")
        name = str(meta.get("name", ""))[:253] if isinstance(meta, dict) else ""
        fault = status.wrong("kind", kind, f"must be {resource.kind}")
        raise status.invalid(str(kind)[:80], resource.group, name, [fault])
    if (version, kind) != (resource.api_version, resource.kind):
        raise status.bad_request(
            f'{kind[:80]} in version "{version.rpartition("/")[2][:80]}" cannot be handled as '
            f'a {resource.kind}: no kind "{kind[:80]}" is registered for version '
            f'"{version[:80]}" here; this takes {resource.api_version}, Kind={resource.kind}'
        )
    findings = Findings(part=part)
    try:
        clean = resource.read(body, findings, part=part)
    except ShapeError as error:
        raise status.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a '
            f"{resource.kind}: {error}"
        ) from None
    if findings.unknown and options.validation == "Strict":
        listed = ", ".join(f'unknown field "{path}"' for path in findings.unknown[:20])
        raise status.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a '
            f"{resource.kind}: strict decoding error: {listed}"
        )
    if options.validation == "Warn":
        options.warnings += [f'unknown field "{path}"' for path in findings.unknown[:20]]
    clean = kinds.body(resource, clean)
    clean.setdefault("metadata", {})
    return clean, findings


def check_kind(resource: Resource, body: Any) -> None:
    """An apply must say what it is of. Raises ApiError 400."""
    if not isinstance(body, dict):
        return
    given = (body.get(key) for key in ("apiVersion", "kind"))
    version, kind = (value[:80] if isinstance(value, str) else "" for value in given)
    if (version, kind) != (resource.api_version, resource.kind):
        named = version if "/" in version else f"/{version}"
        if version.count("/") > 1:
            # No group and version at all: Kubernetes tells of nothing.
            named, kind = "/", ""
        raise status.bad_request(f"invalid object type: {named}, Kind={kind}")


def unversioned(resource: Resource, patched: Any) -> bool:
    """True if a patch took an object's version away: for Kubernetes none such has fields."""
    return (
        isinstance(patched, dict)
        and patched.get("apiVersion") in (None, "")
        and patched.get("kind") in (None, "", resource.kind)
    )
