"""The rules of custom resource definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tinykube import names, objects
from tinykube.crd import structure, validation
from tinykube.objects import JSON
from tinykube.rules.base import Rules, add_finalizer
from tinykube.status import Cause, forbidden_field, required, unsupported

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_APPROVED = "api-approved.kubernetes.io"
_SCOPES = ("Cluster", "Namespaced")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MOST_SELECTABLE = 8
_SIMPLE = "must be a simple json path starting with ."
_SIMPLE_PATH = re.compile(r"(\.[A-Za-z0-9_-]+)+")
# What may stand at the root of a schema whose status is written apart.
_WITH_STATUS = frozenset(
    (
        "description",
        "type",
        "format",
        "title",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "multipleOf",
        "required",
        "items",
        "properties",
        "externalDocs",
        "example",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    )
)


class DefinitionRules(Rules):
    """Custom resource definitions: structural schemas, names that fit, versions that last."""

    def prepare(self, new: JSON, old: JSON | None) -> None:
        """See Rules."""
        spec = new.setdefault("spec", {})
        given = spec.setdefault("names", {})
        if given.get("kind"):
            given.setdefault("singular", given["kind"].lower())
            given.setdefault("listKind", f"{given['kind']}List")
        for name in ("shortNames", "categories"):
            if not given.get(name):
                given.pop(name, None)
        spec.setdefault("conversion", {"strategy": "None"})
        for version in spec.get("versions") or ():
            for name in ("served", "storage"):
                version.setdefault(name, False)
        if old is None:
            new["status"] = {
                "conditions": None,
                "acceptedNames": {"plural": "", "kind": ""},
                "storedVersions": [],
            }
        kept = new["status"].setdefault("storedVersions", [])
        for version in spec.get("versions") or ():
            if version["storage"] and version.get("name") not in kept:
                kept.append(version.get("name", ""))
                break

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        spec = new["spec"]
        wanted = f"{spec['names'].get('plural', '')}.{spec.get('group', '')}"
        if objects.name(new) != wanted:
            detail = 'must be spec.names.plural+"."+spec.group'
            yield validation.invalid("metadata.name", objects.name(new), detail)
        yield from _group(spec)
        yield from _versions(spec)
        yield from _names(spec["names"])
        yield from _schemas(spec)
        yield from _extras(spec)
        yield from _conversion(spec)
        yield from _approval(new)
        yield from _stored(new)
        if old is not None:
            yield from _unchanged(spec, old)

    def deleting(self, obj: JSON) -> None:
        """See Rules."""
        add_finalizer(obj, FINALIZER)
        # As Kubernetes: a definition has no grace period to show.
        obj["metadata"].pop("deletionGracePeriodSeconds", None)
        objects.set_condition(
            obj["status"],
            "Terminating",
            "True",
            reason="InstanceDeletionPending",
            message="CustomResourceDefinition marked for deletion; CustomResource deletion will "
            "begin soon",
        )


def _group(spec: JSON) -> Iterator[Cause]:
    group = spec.get("group") or ""
    if not group:
        yield required("spec.group")
    elif fault := names.subdomain_fault(group):
        yield validation.invalid("spec.group", group, fault)
    elif "." not in group:
        detail = "should be a domain with at least one dot"
        yield validation.invalid("spec.group", group, detail)
    scope = spec.get("scope") or ""
    if not scope:
        yield required("spec.scope")
    elif scope not in _SCOPES:
        yield unsupported("spec.scope", scope, _SCOPES)
    if spec.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
            "spec.versions[*].schema instead"
        )
        yield validation.invalid("spec.preserveUnknownFields", True, detail)


def _versions(spec: JSON) -> Iterator[Cause]:
    versions = spec.get("versions") or []
    known: list[str] = []
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        name = version.get("name") or ""
        known.append(name)
        if fault := names.letter_label_fault(name):
            yield validation.invalid(f"{path}.name", name, fault)
        warning = version.get("deprecationWarning")
        if warning is not None:
            if not version.get("deprecated"):
                detail = "can only be set for deprecated versions"
                yield validation.invalid(f"{path}.deprecationWarning", warning, detail)
            if not 0 < len(warning) <= 256 or not warning.isprintable():
                detail = "must be 1 to 256 printable characters long"
                yield validation.invalid(f"{path}.deprecationWarning", warning, detail)
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            yield required(f"{path}.schema.openAPIV3Schema")
    if len(set(known)) != len(known):
        yield validation.invalid("spec.versions", known, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        yield validation.invalid("spec.versions", known, detail)


def _names(given: JSON) -> Iterator[Cause]:
    path = "spec.names"
    for field in ("plural", "singular", "kind", "listKind"):
        name = given.get(field) or ""
        mixed = field in ("kind", "listKind")
        if not name:
            yield required(f"{path}.{field}")
        elif fault := names.letter_label_fault(name.lower() if mixed else name):
            words = "may have mixed case, but should otherwise match: " if mixed else ""
            yield validation.invalid(f"{path}.{field}", name, f"{words}{fault}")
    for field in ("shortNames", "categories"):
        for index, name in enumerate(given.get(field) or ()):
            if fault := names.letter_label_fault(name):
                yield validation.invalid(f"{path}.{field}[{index}]", name, fault)
    if given.get("kind") and given["kind"] == given.get("listKind"):
        detail = "kind and listKind may not be the same"
        yield validation.invalid(f"{path}.listKind", given["kind"], detail)


def _places(spec: JSON, field: str, shared: str, own: str) -> Iterator[tuple[str, Any, JSON]]:
    """Where a field of the versions stands: once, if it is the same for all of them."""
    versions = spec.get("versions") or []
    values = [version.get(field) for version in versions]
    if values and values[0] and all(value == values[0] for value in values):
        yield f"spec.{shared}", values[0], versions[0]
        return
    for index, (value, version) in enumerate(zip(values, versions, strict=True)):
        if value:
            yield f"spec.versions[{index}].{own}", value, version


def _schemas(spec: JSON) -> Iterator[Cause]:
    with_status = any(
        "status" in (version.get("subresources") or {}) for version in spec.get("versions") or ()
    )
    for path, value, _ in _places(spec, "schema", "validation", "schema"):
        props = value.get("openAPIV3Schema")
        if not props:
            continue
        where = f"{path}.openAPIV3Schema"
        odd = sorted(name for name in props if name not in _WITH_STATUS)
        if with_status and odd:
            yield forbidden_field(
                where,
                f"{', '.join(odd)} cannot stand at the root of the schema if the status "
                "subresource is enabled",
            )
        yield from structure.faults(props, where)


def _extras(spec: JSON) -> Iterator[Cause]:
    for path, value, _ in _places(spec, "subresources", "subresources", "subresources"):
        scale = value.get("scale")
        if scale is not None:
            yield from _scale(scale, f"{path}.scale")
    field = "additionalPrinterColumns"
    for path, value, _ in _places(spec, field, field, field):
        for index, column in enumerate(value):
            yield from _column(column, f"{path}[{index}]")
    field = "selectableFields"
    for path, value, version in _places(spec, field, field, field):
        props = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        yield from _selectable(value, props, path)


def _scale(scale: JSON, path: str) -> Iterator[Cause]:
    for field, parts in (
        ("specReplicasPath", (".spec.",)),
        ("statusReplicasPath", (".status.",)),
        ("labelSelectorPath", (".spec.", ".status.")),
    ):
        value = scale.get(field) or ""
        if not value:
            if field != "labelSelectorPath":
                yield required(f"{path}.{field}")
            continue
        if not value.startswith("."):
            yield validation.invalid(f"{path}.{field}", value, _SIMPLE)
        elif not _SIMPLE_PATH.fullmatch(value):
            yield validation.invalid(f"{path}.{field}", value, "is not a simple json path")
        elif not value.startswith(parts):
            where = " or ".join(part[:-1] for part in parts)
            detail = f"should be a json path under {where}"
            yield validation.invalid(f"{path}.{field}", value, detail)


def _column(column: JSON, path: str) -> Iterator[Cause]:
    if not column.get("name"):
        yield required(f"{path}.name")
    kind, one_of = column.get("type") or "", f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        yield required(f"{path}.type", one_of)
    elif kind not in _COLUMN_TYPES:
        yield validation.invalid(f"{path}.type", kind, one_of)
    style = column.get("format")
    if style and style not in _COLUMN_FORMATS:
        detail = f"must be one of {','.join(_COLUMN_FORMATS)}"
        yield validation.invalid(f"{path}.format", style, detail)
    where = column.get("jsonPath")
    if not where:
        yield required(f"{path}.JSONPath")
    elif not where.startswith("."):
        yield validation.invalid(f"{path}.JSONPath", where, _SIMPLE)


def _selectable(fields: Sequence[JSON], props: JSON, path: str) -> Iterator[Cause]:
    seen = set()
    for index, item in enumerate(fields):
        where, value = f"{path}[{index}].jsonPath", item.get("jsonPath") or ""
        if not value:
            yield required(where)
            continue
        node: Any = props
        for name in value.removeprefix(".").split("."):
            node = (node.get("properties") or {}).get(name) if node else None
        if not value.startswith(".") or node is None:
            detail = "is an invalid path: does not refer to a valid field"
            yield validation.invalid(where, value, detail)
            continue
        if value.startswith(".metadata"):
            detail = "must not point to fields in metadata"
            yield validation.invalid(where, value, detail)
        if node.get("type") not in ("string", "boolean", "integer"):
            yield validation.invalid(
                where,
                value,
                "must point to a field of type string, boolean or integer. Enum string fields and "
                "strings with formats are allowed.",
            )
        if value in seen:
            yield Cause("FieldValueDuplicate", f"Duplicate value: {objects.dump(value)}", where)
        seen.add(value)
    if len(seen) > _MOST_SELECTABLE:
        yield validation.too_many(path, len(seen), _MOST_SELECTABLE)


def _conversion(spec: JSON) -> Iterator[Cause]:
    path, conversion = "spec.conversion", spec["conversion"]
    strategy = conversion.get("strategy") or ""
    if not strategy:
        yield required(f"{path}.strategy")
    elif strategy == "Webhook":
        yield forbidden_field(
            f"{path}.strategy",
            "webhooks are not called here; use None, which takes versions with the same fields",
        )
    elif strategy != "None":
        yield unsupported(f"{path}.strategy", strategy, ("None", "Webhook"))
    elif conversion.get("webhook"):
        detail = "should not be set when strategy is not set to Webhook"
        yield forbidden_field(f"{path}.webhookClientConfig", detail)


def _approval(new: JSON) -> Iterator[Cause]:
    group = new["spec"].get("group") or ""
    if not group.endswith((".k8s.io", ".kubernetes.io")):
        return
    where = f"metadata.annotations[{_APPROVED}]"
    value = (new["metadata"].get("annotations") or {}).get(_APPROVED)
    if not value:
        yield required(
            where,
            f'protected groups must have approval annotation "{_APPROVED}", see '
            "https://github.com/kubernetes/enhancements/pull/1111",
        )
    elif not value.startswith(("unapproved", "https://", "http://")):
        detail = (
            f'protected groups must have approval annotation "{_APPROVED}" with either a URL or a '
            'reason starting with "unapproved", see '
            "https://github.com/kubernetes/enhancements/pull/1111"
        )
        yield validation.invalid(where, value, detail)


def _stored(new: JSON) -> Iterator[Cause]:
    known = {version.get("name") for version in new["spec"].get("versions") or ()}
    if not new["status"].get("storedVersions"):
        detail = "must have at least one stored version"
        yield validation.invalid("status.storedVersions", None, detail)
    for index, name in enumerate(new["status"].get("storedVersions") or ()):
        if name and name not in known:
            yield validation.invalid(
                f"status.storedVersions[{index}]",
                name,
                f"missing from spec.versions; {name} was previously a storage version, and must "
                "remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {name} and removes {name} from status.storedVersions",
            )


def _unchanged(spec: JSON, old: JSON) -> Iterator[Cause]:
    before = old["spec"]
    fixed = [("group", spec, before), ("names.plural", spec["names"], before["names"])]
    if established(old):
        fixed += [("scope", spec, before), ("names.kind", spec["names"], before["names"])]
    for path, now, was in fixed:
        field = path.rpartition(".")[2]
        if now.get(field) != was.get(field):
            yield validation.invalid(f"spec.{path}", now.get(field), "field is immutable")


def established(definition: JSON) -> bool:
    """True if a definition's resources are served."""
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(
        item.get("type") == "Established" and item.get("status") == "True" for item in conditions
    )
