"""The kinds of `apiextensions.k8s.io`: definitions of custom resources."""

from __future__ import annotations

from typing import Any

from tinykube import schema
from tinykube.kinds.resource import Resource
from tinykube.kinds.shapes import CONDITIONS
from tinykube.objects import JSON
from tinykube.schema import Fields, Findings, Many, Shape, Table

API_EXTENSIONS = "apiextensions.k8s.io"
# Levels of JSON; a schema of a pod's template has about forty.
_DEPTH = 128

_props: dict[str, Shape] = {
    "$ref": "str",
    "$schema": "str",
    "id": "str",
    "title": "str",
    "description": "str",
    "type": "str",
    "format": "str",
    "default": "any",
    "example": "any",
    "nullable": "bool",
    "enum": Many("any"),
    "maximum": "number",
    "exclusiveMaximum": "bool",
    "minimum": "number",
    "exclusiveMinimum": "bool",
    "multipleOf": "number",
    "maxLength": "int",
    "minLength": "int",
    "pattern": "str",
    "maxItems": "int",
    "minItems": "int",
    "uniqueItems": "bool",
    "maxProperties": "int",
    "minProperties": "int",
    "required": Many("str"),
    "externalDocs": Fields({"description": "str", "url": "str"}),
    "x-kubernetes-preserve-unknown-fields": "bool",
    "x-kubernetes-embedded-resource": "bool",
    "x-kubernetes-int-or-string": "bool",
    "x-kubernetes-list-type": "str",
    "x-kubernetes-list-map-keys": Many("str"),
    "x-kubernetes-map-type": "str",
    "x-kubernetes-validations": Many(
        Fields(
            {
                "rule": "str",
                "message": "str",
                "messageExpression": "str",
                "reason": "str",
                "fieldPath": "str",
                "optionalOldSelf": "bool",
            },
            optional=("reason", "optionalOldSelf"),
            always=("rule",),
        ),
        key="rule",
    ),
    # Either true, false or a schema; see `Definition.read`.
    "additionalProperties": "any",
    "additionalItems": "any",
    "dependencies": "any",
}
# A schema is made of schemas.
PROPS = Fields(
    _props,
    optional=(
        "$ref",
        "maximum",
        "minimum",
        "multipleOf",
        "maxLength",
        "minLength",
        "maxItems",
        "minItems",
        "maxProperties",
        "minProperties",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
    ),
)
_props.update(
    {
        "items": PROPS,
        "not": PROPS,
        "allOf": Many(PROPS),
        "anyOf": Many(PROPS),
        "oneOf": Many(PROPS),
        "properties": Table(PROPS),
        "patternProperties": Table(PROPS),
        "definitions": Table(PROPS),
    }
)
_NAMES = Fields(
    {
        "plural": "str",
        "singular": "str",
        "kind": "str",
        "listKind": "str",
        "shortNames": Many("str"),
        "categories": Many("str"),
    },
    always=("plural", "kind"),
)
_VERSION = Fields(
    {
        "name": "str",
        "served": "bool",
        "storage": "bool",
        "deprecated": "bool",
        "deprecationWarning": "str",
        "schema": Fields({"openAPIV3Schema": PROPS}),
        "subresources": Fields(
            {
                "status": Fields({}),
                "scale": Fields(
                    {
                        "specReplicasPath": "str",
                        "statusReplicasPath": "str",
                        "labelSelectorPath": "str",
                    },
                    optional=("labelSelectorPath",),
                    always=("specReplicasPath", "statusReplicasPath"),
                ),
            }
        ),
        "additionalPrinterColumns": Many(
            Fields(
                {
                    "name": "str",
                    "type": "str",
                    "format": "str",
                    "description": "str",
                    "priority": "int",
                    "jsonPath": "str",
                },
                always=("name", "type", "jsonPath"),
            )
        ),
        "selectableFields": Many(Fields({"jsonPath": "str"}, always=("jsonPath",))),
    },
    optional=("deprecationWarning",),
    always=("name", "served", "storage"),
)


class _Definition(Resource):
    """Definitions: their schemas are read as deep as they go."""

    def read(self, body: JSON, findings: Findings, *, part: bool = False) -> JSON:
        """See Resource."""
        schema.bound(body, "", _DEPTH)
        clean = super().read(body, findings, part=part)
        for index, version in enumerate((clean.get("spec") or {}).get("versions") or ()):
            props = (version.get("schema") or {}).get("openAPIV3Schema")
            if props is not None:
                _additional(props, f"spec.versions[{index}].schema.openAPIV3Schema", findings)
        return clean


def _additional(props: JSON, path: str, findings: Findings) -> None:
    """Read the schemas that stand where `true` or `false` may stand as well."""
    free = props.get("additionalProperties")
    if free is not None and not isinstance(free, bool):
        where = f"{path}.additionalProperties"
        props["additionalProperties"] = free = schema.read(free, PROPS, where, findings)
        _additional(free, where, findings)
    inside: list[tuple[str, Any]] = [(name, props.get(name)) for name in ("items", "not")]
    for name in ("allOf", "anyOf", "oneOf"):
        inside += [(f"{name}[{index}]", item) for index, item in enumerate(props.get(name) or ())]
    inside += [
        (f"properties[{name}]", item) for name, item in (props.get("properties") or {}).items()
    ]
    for name, item in inside:
        if item is not None:
            _additional(item, f"{path}.{name}", findings)


DEFINITIONS = _Definition(
    API_EXTENSIONS,
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    short=("crd", "crds"),
    categories=("api-extensions",),
    status=True,
    generation=True,
    unconditional=False,
    shape=schema.kind(
        {
            "spec": Fields(
                {
                    "group": "str",
                    "scope": "str",
                    "names": _NAMES,
                    "versions": Many(_VERSION),
                    "preserveUnknownFields": "bool",
                    "conversion": Fields(
                        {
                            "strategy": "str",
                            "webhook": Fields(
                                {
                                    "clientConfig": "any",
                                    "conversionReviewVersions": Many("str"),
                                }
                            ),
                        },
                        always=("strategy",),
                    ),
                },
                always=("group", "scope", "names"),
            ),
            "status": Fields(
                {
                    "conditions": CONDITIONS,
                    "acceptedNames": _NAMES,
                    "storedVersions": Many("str"),
                    "observedGeneration": "int",
                }
            ),
        }
    ),
)
