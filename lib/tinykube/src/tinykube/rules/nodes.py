"""The rules of nodes."""

from __future__ import annotations

from collections.abc import Iterator

from tinykube import podspec
from tinykube.objects import JSON
from tinykube.rules.base import Rules
from tinykube.status import Cause


class NodeRules(Rules):
    """Nodes: their taints are well-formed."""

    def validate(self, new: JSON, old: JSON | None) -> Iterator[Cause]:
        """See Rules."""
        del old
        yield from podspec.taints("spec.taints", (new.get("spec") or {}).get("taints") or ())
