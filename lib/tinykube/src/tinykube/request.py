"""What a request asks for: its target, its query and its body."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from tinykube import objects, patch
from tinykube.catalog import Catalog
from tinykube.kinds import Resource
from tinykube.options import Deletion, Options
from tinykube.selectors import Selector, check_fields, parse_fields, parse_labels
from tinykube.status import (
    ApiError,
    Cause,
    bad_request,
    forbidden_field,
    invalid,
    required,
    unsupported,
    wrong,
)

MAX_BODY = 3 * 2**20
# YAML is read many times more slowly than JSON; a client that sends this much sends JSON.
MAX_YAML = 256 * 2**10
PROTOBUF = "application/vnd.kubernetes.protobuf"
_OWN_SUBRESOURCES = ("status", "finalize")
_VALIDATION = ("", "Ignore", "Strict", "Warn")
_PROPAGATION = ("Foreground", "Background", "Orphan")
_OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
_TYPES = ("application/json", "application/yaml")
_PATCH_TYPES = (
    patch.JSON_PATCH,
    patch.MERGE_PATCH,
    patch.STRATEGIC_PATCH,
    patch.APPLY_PATCH,
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a path points.

    Attributes:
        resource: what is served there; None for something this control plane has not.
        plural: the resource's name in the path.
        name: empty for the collection.
        subresource: empty for the object itself.
    """

    group: str
    version: str
    plural: str
    resource: Resource | None
    namespace: str
    name: str
    subresource: str


def target(catalog: Catalog, group: str, version: str, rest: str) -> Target | None:
    """Read the path behind `/api/v1/` or `/apis/GROUP/VERSION/`; None if it has no such form."""
    parts = rest.split("/")
    if not all(parts) or len(parts) > 6:
        return None
    namespace, inside = "", False
    if parts[0] == "namespaces" and len(parts) > 1:
        inside = len(parts) > 3 or (len(parts) == 3 and parts[2] not in _OWN_SUBRESOURCES)
    if inside:
        namespace = parts[1]
        parts = parts[2:]
    if len(parts) > 3:
        return None
    plural, name, subresource = (*parts, "", "")[:3]
    resource = catalog.by_path(group, version, plural)
    if resource is not None and (
        (inside and not resource.namespaced) or (name and resource.namespaced and not inside)
    ):
        resource = None
    return Target(group, version, plural, resource, namespace, name, subresource)


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean of the query: as in Kubernetes, all but `0` and `false` is true."""
    return name in query and query[name].lower() not in ("0", "false")


def limit(query: Mapping[str, str]) -> int | None:
    """How many objects a list shows at most, None for all of them. Raises ApiError 400."""
    found = number(query, "limit", least=-(2**63))
    return found if found is not None and found > 0 else None


def number(query: Mapping[str, str], name: str, *, least: int = 0) -> int | None:
    """A whole number of the query, None if it is absent. Raises ApiError 400."""
    value = query.get(name, "")
    if not value:
        return None
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18 or int(value) < least:
        raise bad_request(
            f"invalid value of {name}: {value[:80]!r} must be a whole number of at least {least}"
        )
    return int(value)


def selector(query: Mapping[str, str], resource: Resource) -> Selector:
    """The selectors of the query. Raises ApiError: 400, 422 for options that contradict."""
    labels = parse_labels(query.get("labelSelector", ""))
    fields = parse_fields(query.get("fieldSelector", ""))
    # Kubernetes reads both before it looks at other options, and knows the fields after.
    _check_list(query)
    check_fields(fields, resource.fields, resource.unknown_field)
    return Selector(labels=labels, fields=fields)


def options(request: Request) -> Options:
    """The options of a write. Raises ApiError: 400, 415 for an unknown kind of patch, 422."""
    query = request.query_params
    applies = False
    faults: list[Cause] = []
    if request.method == "PATCH":
        kind = media_type(request)
        if kind not in _PATCH_TYPES:
            raise ApiError(
                415, "UnsupportedMediaType", "415: Unsupported Media Type", detailed=True
            )
        applies = kind == patch.APPLY_PATCH
        if not applies and "force" in query:
            faults.append(forbidden_field("force", "may not be specified for non-apply patch"))
        if applies and not query.get("fieldManager"):
            faults.append(required("fieldManager", "is required for apply patch"))
    manager = query.get("fieldManager", "")
    if len(manager) > 128:
        why = "Too long: may not be more than 128 bytes"
        faults.append(Cause("FieldValueTooLong", why, "fieldManager"))
    if not manager.isprintable():
        faults.append(
            wrong("fieldManager", manager, "should not contain non printable characters")
        )
    dry = query.getlist("dryRun")
    faults += _dry_run(dry)
    validation = query.get("fieldValidation", "")
    if validation not in _VALIDATION:
        faults.append(unsupported("fieldValidation", validation, _VALIDATION))
    if faults:
        raise invalid(_OPTIONS[request.method], "meta.k8s.io", "", faults)
    warnings: list[str] = []
    # An answer that refuses the request has them as well.
    request.state.warnings = warnings
    if not manager:
        agent = request.headers.get("user-agent", "").partition("/")[0]
        manager = "".join(letter for letter in agent if letter.isprintable())[:128] or "unknown"
    return Options(
        dry_run=bool(dry),
        validation=validation or "Warn",
        manager=manager,
        force=flag(query, "force"),
        warnings=warnings,
    )


def _dry_run(values: Any) -> list[Cause]:
    return [] if values in ([], ["All"]) else [unsupported("dryRun", values, ("All",))]


def _check_list(query: Mapping[str, str]) -> None:
    """Check the options of a list that depend on each other. Raises ApiError 422."""
    match = query.get("resourceVersionMatch", "")
    if not match or "sendInitialEvents" in query:
        return
    field, version, faults = "resourceVersionMatch", query.get("resourceVersion", ""), []
    if not version:
        why = f"{field} is forbidden unless resourceVersion is provided"
        faults.append(forbidden_field(field, why))
    if query.get("continue"):
        faults.append(forbidden_field(field, f"{field} is forbidden when continue is provided"))
    if match not in ("Exact", "NotOlderThan"):
        faults.append(unsupported(field, match, ("Exact", "NotOlderThan", ""), ordered=True))
    if match == "Exact" and version == "0":
        why = f'{field} "exact" is forbidden for resourceVersion "0"'
        faults.append(forbidden_field(field, why))
    if faults:
        raise invalid("ListOptions", "meta.k8s.io", "", faults)


async def read_body(request: Request) -> bytes:
    """The whole body. Raises ApiError: 413 if it is larger than MAX_BODY."""
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > MAX_BODY):
        raise _too_large()
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ApiError(415, "UnsupportedMediaType", "the body must not be compressed")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise _too_large()
    return bytes(body)


def _too_large() -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BODY}")


def media_type(request: Request) -> str:
    """The body's type without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_object(request: Request) -> Any:
    """The body as JSON; YAML or protobuf where its type says so. Raises ApiError 400, 413, 415."""
    kind = media_type(request)
    body = await read_body(request)
    if kind == PROTOBUF and request.method != "PATCH":
        return _parse_protobuf(body)
    taken = _PATCH_TYPES if request.method == "PATCH" else ("", *_TYPES)
    if kind not in taken:
        raise ApiError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            f"{', '.join((*_TYPES, PROTOBUF))}",
        )
    return parse(body, yaml=kind in ("application/yaml", patch.APPLY_PATCH))


def _parse_protobuf(body: bytes) -> Any:
    # Only here: few clients send it, and the table of fields takes room.
    from tinykube import protobuf

    try:
        return protobuf.decode(body)
    except protobuf.WireError as error:
        raise bad_request(f"the body cannot be read as protobuf: {error}") from None


def parse(body: bytes, *, yaml: bool) -> Any:
    """Read JSON, or YAML (of which JSON is a part) if `yaml`. Raises ApiError 400."""
    try:
        return objects.parse(body)
    except ValueError as error:
        if not yaml:
            detail = f"the body is not JSON: {error}"
            raise bad_request(f"couldn't get version/kind; json parse error: {detail}") from None
    return _parse_yaml(body)


def _parse_yaml(body: bytes) -> Any:
    import yaml

    if len(body) > MAX_YAML:
        raise bad_request(f"YAML of more than {MAX_YAML} bytes is not read; send JSON")
    try:
        # An alias can stand for any size: none is followed.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(body, yaml.SafeLoader)):
            raise bad_request("the YAML must not use aliases")
        # By way of JSON: keys become strings, and dates are refused.
        return objects.parse(objects.dump(yaml.safe_load(body)))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise bad_request(f"error parsing YAML: {str(error)[:500]}") from None


async def deletion(request: Request) -> tuple[Deletion, bool]:
    """The options of a deletion, and whether it is a dry run. Raises ApiError 400."""
    body = await read_body(request)
    query = request.query_params
    given: Any = {}
    if body.strip():
        binary = media_type(request) == PROTOBUF
        given = _parse_protobuf(body) if binary else parse(body, yaml=False)
    if given is None:
        given = {}
    if not isinstance(given, dict) or given.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request("the body of a deletion must be an object of kind DeleteOptions")
    grace = given.get("gracePeriodSeconds")
    if grace is None:
        grace = number(query, "gracePeriodSeconds", least=-1)
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        raise bad_request("gracePeriodSeconds must be a whole number")
    if grace is not None and grace > 2**31:
        raise bad_request("gracePeriodSeconds is larger than 2147483648")
    propagation = given.get("propagationPolicy") or query.get("propagationPolicy")
    if propagation is None:
        orphan = given.get("orphanDependents")
        if orphan is None and "orphanDependents" in query:
            orphan = flag(query, "orphanDependents")
        propagation = "" if orphan is None else "Orphan" if orphan else "Background"
    faults: list[Cause] = []
    if propagation and propagation not in _PROPAGATION:
        allowed = (*_PROPAGATION, "nil")
        faults.append(unsupported("propagationPolicy", propagation, allowed, ordered=True))
    preconditions = given.get("preconditions")
    if preconditions is None:
        preconditions = {}
    if not isinstance(preconditions, dict):
        raise bad_request("preconditions must be an object")
    dry = given.get("dryRun") or query.getlist("dryRun")
    faults += _dry_run(dry)
    if faults:
        raise invalid("DeleteOptions", "meta.k8s.io", "", faults)
    return Deletion(
        grace=grace,
        propagation=propagation,
        uid=str(preconditions.get("uid") or ""),
        version=str(preconditions.get("resourceVersion") or ""),
    ), bool(dry)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: in the state of `version`, behind this namespace and name."""

    version: int
    namespace: str
    name: str

    def token(self) -> str:
        """The `continue` token."""
        text = objects.dump(
            {"v": "tinykube/v1", "rv": self.version, "at": [self.namespace, self.name]}
        )
        return base64.urlsafe_b64encode(text.encode("ascii")).decode("ascii").rstrip("=")


def place(token: str) -> Place:
    """Read a `continue` token. Raises ApiError 400."""
    try:
        padded = token + "=" * (-len(token) % 4)
        data = objects.parse(base64.b64decode(padded, altchars=b"-_", validate=True))
        namespace, name = data["at"]
        version = data["rv"]
        good = (
            data["v"] == "tinykube/v1"
            and isinstance(version, int)
            and not isinstance(version, bool)
            and 0 <= version < 2**63
            and isinstance(namespace, str)
            and isinstance(name, str)
        )
    except (ValueError, KeyError, TypeError, binascii.Error, AttributeError):
        good = False
    if not good:
        raise bad_request("continue key is not valid")
    return Place(version, namespace, name)
