"""Shapes as schemas of OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinykube import objects
from tinykube.kinds import Resource
from tinykube.objects import JSON
from tinykube.openapi.descriptions import Described, Descriptions, Model
from tinykube.schema import METADATA, Fields, Many, Refused, Shape, Table

_META = Model("meta_v1", "ObjectMeta")
_SCALARS: Mapping[str, JSON] = {
    "str": {"type": "string"},
    "int": {"type": "integer", "format": "int64"},
    "number": {"type": "number", "format": "double"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "int-or-str": {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}
_NOTHING = Described("", False, None)


class Schemas:
    """The components of one document: schemas that refer to one another by name."""

    def __init__(self, descriptions: Descriptions) -> None:
        self._descriptions = descriptions
        self._shapes: dict[str, Shape] = {}
        self.components: dict[str, JSON] = {}

    def add(self, resource: Resource) -> str:
        """Put a resource's schema among the components. Returns its name."""
        if resource.document:
            return self._add_custom(resource)
        model = _model(resource)
        name = self._name(model)
        self._component(name, resource.shape, model)
        schema = self.components[name]
        schema["x-kubernetes-group-version-kind"] = [kind(resource)]
        return name

    def _add_custom(self, resource: Resource) -> str:
        parts = [*reversed(resource.group.split(".")), resource.version, resource.kind]
        name = ".".join(parts)
        schema = objects.copy(dict(resource.document))
        known = self._descriptions.fields(Model("core_v1", "Pod"))
        properties = schema.setdefault("properties", {})
        for field in ("apiVersion", "kind"):
            text = known.get(field, _NOTHING).text
            properties[field] = {"type": "string", **_text(text)}
        meta = self._convert(METADATA, _META)
        properties["metadata"] = _reference(meta, known.get("metadata", _NOTHING).text)
        schema["x-kubernetes-group-version-kind"] = [kind(resource)]
        self.components[name] = schema
        return name

    def _convert(self, shape: Shape, model: Model | None) -> JSON:
        match shape:
            case Fields():
                return self._object(shape, model)
            case Many():
                return self._list(shape, model)
            case Table():
                # A model of a map is that of its items: the package does not name maps.
                return {"type": "object", "additionalProperties": self._convert(shape.item, None)}
            case Refused():
                return {}
        return dict(_SCALARS.get(shape, {}))

    def _object(self, shape: Fields, model: Model | None) -> JSON:
        name = self._name(model) if model else ""
        if not name or self._shapes.get(name, shape) is not shape:
            if self._shapes.get(f"local.{id(shape)}") is shape:
                return {"type": "object"}
            self._shapes[f"local.{id(shape)}"] = shape
            inline = self._fields(shape, model)
            del self._shapes[f"local.{id(shape)}"]
            return inline
        self._component(name, shape, model)
        return {"$ref": f"#/components/schemas/{name}"}

    def _component(self, name: str, shape: Fields, model: Model | None) -> None:
        if name in self._shapes:
            return
        # Known before it is made: a schema may hold itself.
        self._shapes[name] = shape
        self.components[name] = self._fields(shape, model)

    def _fields(self, shape: Fields, model: Model | None) -> JSON:
        known = self._descriptions.fields(model) if model else {}
        properties: JSON = {}
        required = []
        for name, item in shape.fields.items():
            if isinstance(item, Refused):
                # It is not to be had here.
                continue
            described = known.get(name, _NOTHING)
            made = self._convert(item, described.model)
            properties[name] = _reference(made, described.text)
            if described.required:
                required.append(name)
        about = _text(self._descriptions.about(model)) if model else {}
        schema: JSON = {"type": "object", **about, "properties": properties}
        if required:
            schema["required"] = required
        return schema

    def _list(self, shape: Many, model: Model | None) -> JSON:
        schema: JSON = {"type": "array", "items": self._convert(shape.item, model)}
        if shape.key == "*":
            schema["x-kubernetes-list-type"] = "set"
            schema["x-kubernetes-patch-strategy"] = "merge"
        elif shape.key:
            schema["x-kubernetes-list-type"] = "map"
            schema["x-kubernetes-list-map-keys"] = [shape.key]
            schema["x-kubernetes-patch-merge-key"] = shape.key
            schema["x-kubernetes-patch-strategy"] = "merge"
        else:
            schema["x-kubernetes-list-type"] = "atomic"
        return schema

    def _name(self, model: Model | None) -> str:
        if model is None or not self._descriptions.knows(model):
            return "" if model is None else f"local.{model.module}.{model.name}"
        group, _, version = model.module.rpartition("_")
        if group == "meta":
            return f"io.k8s.apimachinery.pkg.apis.meta.{version}.{model.name}"
        return f"io.k8s.api.{group}.{version}.{model.name}"


def kind(resource: Resource) -> JSON:
    """A resource's `x-kubernetes-group-version-kind`."""
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _model(resource: Resource) -> Model:
    group = resource.group.partition(".")[0] or "core"
    return Model(f"{group}_{resource.version}", resource.kind)


def _text(text: str) -> dict[str, Any]:
    return {"description": text} if text else {}


def _reference(schema: JSON, text: str) -> JSON:
    """A schema with what its field means: beside a reference there may stand nothing else."""
    if "$ref" in schema:
        return {"allOf": [schema], "default": {}, **_text(text)}
    return {**schema, **_text(text)}
