"""Who owns an object's number of replicas after a write through its scale subresource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinykube import objects
from tinykube.fieldsets import tree
from tinykube.fieldsets.managers import UPDATE, entry, ordered
from tinykube.fieldsets.tree import Path
from tinykube.objects import JSON

_SUBRESOURCE = "scale"


def scaled(
    entries: Sequence[JSON], path: str, numbers: tuple[int, int], manager: str, api_version: str
) -> list[JSON]:
    """The entries after `manager` set a number.

    As in Kubernetes, the Scale knows of those alone who own the number, and of no moment: while
    nobody owns it, nobody comes to; zero belongs to nobody; and whoever only updates and still
    owns it has it as an entry of its own from then on.

    Args:
        entries: those of the object.
        path: where the number is, `.spec.replicas`.
        numbers: what it was and what it is; zero where it is not there.
        manager: who wrote the Scale.
        api_version: the object's.
    """
    place: Path = tuple(f"f:{name}" for name in path.removeprefix(".").split("."))
    # Of two entries of one manager the last one counts.
    known = {_who(item): item for item in entries}
    owners = [who for who, item in known.items() if tree.has(item["fieldsV1"], place)]
    if not owners:
        return list(known.values())
    was, now = numbers
    if was != now:
        owners = [(manager, UPDATE, api_version, _SUBRESOURCE)] if now else []
    kept = []
    for who, item in known.items():
        applies = who[1] != UPDATE
        if tree.has(item["fieldsV1"], place) and not (applies and who in owners):
            fields = objects.copy(item["fieldsV1"])
            tree.drop(fields, place)
            if fields:
                kept.append({**item, "fieldsV1": fields})
        else:
            kept.append(item)
    for name, operation, version, part in owners:
        if operation == UPDATE:
            own = entry(name, operation, version, part)
            own["fieldsV1"] = tree.of([place])
            kept.append(own)
    return ordered(kept)


def _who(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    operation = item.get("operation", "")
    version = item.get("apiVersion", "") if operation == UPDATE else ""
    return item.get("manager", ""), operation, version, item.get("subresource") or ""
