"""The documents of OpenAPI v3: an index, and one document for each group and version."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator

from tinykube import discovery, objects, patch
from tinykube.catalog import Catalog
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.openapi.descriptions import Descriptions
from tinykube.openapi.schemas import Schemas, kind

_KEPT = 32


def path(resource: Resource) -> str:
    """The name of the document that a resource is in: `api/v1`, `apis/batch/v1`."""
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


class Documents:
    """Makes documents when they are asked for; keeps them compressed."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._made: dict[str, bytes] = {}

    def index(self) -> JSON:
        """The answer of `/openapi/v3`."""
        return {
            "paths": {
                name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={_hash(found)}"}
                for name, found in sorted(self._groups().items())
            }
        }

    def document(self, name: str) -> tuple[bytes, str] | None:
        """A document as JSON, with its hash; None if there is none of this name."""
        found = self._groups().get(name)
        if found is None:
            return None
        digest = _hash(found)
        packed = self._made.get(digest)
        if packed is None:
            if len(self._made) >= _KEPT:
                self._made.clear()
            packed = zlib.compress(objects.dump(_document(found)).encode("ascii"))
            self._made[digest] = packed
        return zlib.decompress(packed), digest

    def _groups(self) -> dict[str, list[Resource]]:
        groups: dict[str, list[Resource]] = {}
        for resource in self._catalog:
            groups.setdefault(path(resource), []).append(resource)
        return groups


def _hash(resources: list[Resource]) -> str:
    """What changes when a document does: built-in kinds change with the program alone."""
    told = [
        [
            discovery.GIT_VERSION,
            item.plural,
            item.kind,
            item.namespaced,
            item.status,
            sorted(item.subresources),
            item.document,
        ]
        for item in resources
    ]
    return hashlib.sha256(objects.dump(told).encode("ascii")).hexdigest().upper()


def _document(resources: list[Resource]) -> JSON:
    schemas = Schemas(Descriptions())
    paths: JSON = {}
    for resource in resources:
        name = schemas.add(resource)
        paths.update(_paths(resource, f"#/components/schemas/{name}"))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": discovery.GIT_VERSION},
        "paths": paths,
        "components": {"schemas": schemas.components},
    }


def _paths(resource: Resource, schema: str) -> Iterator[tuple[str, JSON]]:
    root = f"/{path(resource)}"
    space = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
    verbs = resource.verbs
    whole: JSON = {}
    if "list" in verbs:
        whole["get"] = _operation(resource, "list", schema)
    if "create" in verbs:
        whole["post"] = _operation(resource, "post", schema)
    if "deletecollection" in verbs:
        whole["delete"] = _operation(resource, "deletecollection", schema)
    yield f"{space}/{resource.plural}", whole
    if resource.namespaced and "list" in verbs:
        yield f"{root}/{resource.plural}", {"get": _operation(resource, "list", schema)}
    single: JSON = {
        method: _operation(resource, action, schema)
        for verb, method, action in (
            ("get", "get", "get"),
            ("update", "put", "put"),
            ("patch", "patch", "patch"),
            ("delete", "delete", "delete"),
        )
        if verb in verbs
    }
    yield f"{space}/{resource.plural}/{{name}}", single
    if resource.status:
        state: JSON = {
            method: single[method] for method in ("get", "put", "patch") if method in single
        }
        yield f"{space}/{resource.plural}/{{name}}/status", state


def _operation(resource: Resource, action: str, schema: str) -> JSON:
    content = {"application/json": {"schema": {"$ref": schema}}}
    operation: JSON = {
        "tags": [f"{resource.group.partition('.')[0] or 'core'}_{resource.version}"],
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind(resource),
    }
    names = {
        "list": ("labelSelector", "fieldSelector", "limit", "continue", "watch"),
        "post": ("dryRun", "fieldManager", "fieldValidation"),
        "put": ("dryRun", "fieldManager", "fieldValidation"),
        "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
        "delete": ("dryRun", "gracePeriodSeconds", "propagationPolicy"),
    }.get(action, ())
    if names:
        operation["parameters"] = [_parameter(name) for name in names]
    if action in ("post", "put"):
        operation["requestBody"] = {"content": content, "required": True}
    elif action == "patch":
        kinds = [patch.APPLY_PATCH, patch.JSON_PATCH, patch.MERGE_PATCH]
        if resource.strategic:
            kinds.append(patch.STRATEGIC_PATCH)
        body = {kind_: {"schema": {"type": "object"}} for kind_ in kinds}
        operation["requestBody"] = {"content": body, "required": True}
    return operation


def _parameter(name: str) -> JSON:
    types = {"limit": "integer", "gracePeriodSeconds": "integer"}
    flags = ("watch", "force")
    kind_ = "boolean" if name in flags else types.get(name, "string")
    return {"name": name, "in": "query", "schema": {"type": kind_, "uniqueItems": True}}
