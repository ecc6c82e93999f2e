"""Pruning: fields that a schema does not know are dropped."""

from __future__ import annotations

from typing import Any

from tinykube import schema
from tinykube.crd.structural import META_FIELDS, Node, identity_of
from tinykube.objects import JSON
from tinykube.schema import Findings

_UNKNOWN = Node()


def prune(obj: JSON, root: Node, findings: Findings) -> None:
    """Drop the unknown fields of a whole object in place; their paths go into `findings`.

    The metadata of resources inside it is cleaned as every object's metadata is.

    Raises:
        ShapeError: the metadata of an embedded resource has values of wrong types.
    """
    _prune_object(obj, root, "", findings, keep=META_FIELDS)


def _prune(value: Any, node: Node, path: str, findings: Findings) -> None:
    if isinstance(value, dict):
        keep = META_FIELDS if node.embedded else frozenset[str]()
        _prune_object(value, node, path, findings, keep=keep)
        if node.embedded and isinstance(value.get("metadata"), dict):
            where = f"{path}.metadata"
            value["metadata"] = schema.read(value["metadata"], schema.METADATA, where, findings)
    elif isinstance(value, list):
        if node.items is None and node.preserve:
            return
        for index, item in enumerate(value):
            where = f"[{index}]"
            if findings.part and node.list_type == "map" and isinstance(item, dict):
                where = schema.named(item, identity_of(node))
            _prune(item, node.items or _UNKNOWN, f"{path}{where}", findings)


def _prune_object(
    value: JSON, node: Node, path: str, findings: Findings, *, keep: frozenset[str]
) -> None:
    for name in list(value):
        if name in keep:
            continue
        where = f"{path}.{name}" if path else name
        known = node.properties.get(name)
        if known is not None:
            _prune(value[name], known, where, findings)
        elif isinstance(node.additional, Node):
            _prune(value[name], node.additional, where, findings)
        elif node.additional:
            # Any value may stand here, but nothing is known of its inside.
            _prune(value[name], _UNKNOWN, where, findings)
        elif not node.preserve:
            findings.unknown.append(where[:200])
            del value[name]
