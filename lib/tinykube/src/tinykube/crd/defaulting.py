"""Defaults: what a schema puts where a client says nothing."""

from __future__ import annotations

from typing import Any

from tinykube import objects
from tinykube.crd.structural import UNSET, Node


def drop_nulls(value: Any, node: Node | None) -> None:
    """Take out nulls, in place, where the schema neither allows them nor has a default."""
    if isinstance(value, dict):
        for name in list(value):
            child = None if node is None else node.child(name)
            item = value[name]
            if item is not None:
                drop_nulls(item, child)
            elif child is not None and not child.nullable and child.default is UNSET:
                del value[name]
    elif isinstance(value, list):
        for item in value:
            drop_nulls(item, None if node is None else node.items)


def fill(value: Any, node: Node) -> None:
    """Put the defaults in, in place."""
    if isinstance(value, dict):
        for name, child in node.properties.items():
            if child.default is UNSET:
                continue
            if name not in value or (value[name] is None and not child.nullable):
                value[name] = objects.copy(child.default)
        for name, item in value.items():
            child_ = node.child(name)
            if child_ is None:
                continue
            if item is None and not child_.nullable and child_.default is not UNSET:
                value[name] = item = objects.copy(child_.default)
            fill(item, child_)
    elif isinstance(value, list) and node.items is not None:
        for index, item in enumerate(value):
            if item is None and not node.items.nullable and node.items.default is not UNSET:
                value[index] = item = objects.copy(node.items.default)
            fill(item, node.items)
