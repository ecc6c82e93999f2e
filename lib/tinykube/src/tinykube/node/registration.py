"""What a node writes into its Node object, and when: pure functions of what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tinykube import objects
from tinykube.node.client import JSON

# Written at least this often although nothing changed, as a kubelet does; its lease says in
# between that it is alive.
REPORT = timedelta(minutes=5)


def labels(current: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, str]:
    """Those of the node's labels that the existing object has otherwise; others' stay."""
    found = current["metadata"].get("labels") or {}
    wanted = node["metadata"].get("labels") or {}
    return {key: value for key, value in wanted.items() if found.get(key) != value}


def status(current: Mapping[str, Any], node: Mapping[str, Any], now: datetime) -> JSON | None:
    """The status to write; None if the existing one says the same and is recent.

    Conditions of others stay; a condition keeps its transition time while its status is the same.
    """
    found: Mapping[str, Any] = current.get("status") or {}
    wanted = node["status"]
    named = {item["type"] for item in wanted["conditions"]}
    before = {item["type"]: item for item in found.get("conditions") or ()}
    conditions = [item for kind, item in before.items() if kind not in named]
    same = True
    for item in wanted["conditions"]:
        old = before.get(item["type"], {})
        moment = objects.stamp(now)
        turned = old.get("status") != item["status"]
        conditions.append(
            {
                **item,
                "lastHeartbeatTime": moment,
                "lastTransitionTime": moment if turned else old.get("lastTransitionTime", moment),
            }
        )
        same = same and not turned and old.get("reason") == item["reason"]
    fields = {key: value for key, value in wanted.items() if key != "conditions"}
    same = same and all(found.get(key) == value for key, value in fields.items())
    if same and not _due(before.values(), named, now):
        return None
    return {**found, **objects.copy(fields), "conditions": conditions}


def _due(conditions: Any, named: set[str], now: datetime) -> bool:
    seen: Sequence[str] = [
        item.get("lastHeartbeatTime") or "" for item in conditions if item["type"] in named
    ]
    return not seen or not all(seen) or now - objects.when(min(seen)) >= REPORT
