"""Events: notes about objects, counted when they repeat, forgotten after an hour."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tinykube import kinds, objects, status
from tinykube.objects import JSON
from tinykube.options import Deletion, Options
from tinykube.rbac import SYSTEM
from tinykube.registry import Registry
from tinykube.store import StorageError

log = logging.getLogger(__name__)

_KEEP = timedelta(hours=1)
_SWEEP_SECONDS = 300.0
_MESSAGE = 1024


def record(
    registry: Registry,
    about: JSON,
    type_: Literal["Normal", "Warning"],
    reason: str,
    message: str,
    *,
    component: str,
) -> None:
    """Note an event about an object, or count one more of the same.

    Raises:
        StorageError: the disk refused it.
    """
    message = message if len(message) <= _MESSAGE else message[: _MESSAGE - 3] + "..."
    namespace = objects.namespace(about) or "default"
    parts = (objects.uid(about), type_, reason, message, component)
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    name = f"{objects.name(about)[:200]}.{digest[:16]}"
    moment = objects.now()

    def again(event: JSON) -> bool:
        event["count"] = event.get("count", 1) + 1
        event["lastTimestamp"] = moment
        return True

    if registry.modify(kinds.EVENTS, namespace, name, again):
        return
    event: JSON = {
        "metadata": {"name": name},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": namespace,
            "name": objects.name(about),
            "uid": objects.uid(about),
            "resourceVersion": about["metadata"].get("resourceVersion", ""),
        },
        "reason": reason,
        "message": message,
        "type": type_,
        "source": {"component": component},
        "reportingComponent": component,
        "count": 1,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
    }
    store = registry.store
    if all((reason, message, component, *event["involvedObject"].values())):
        if store.get(kinds.NAMESPACES.key, "", namespace) is None:
            log.debug("no event about %s/%s: its namespace is gone", namespace, name)
            return
        with store.write() as transaction:
            transaction.insert(kinds.EVENTS.key, _whole(event, namespace, component))
        return
    try:
        registry.create(kinds.EVENTS, namespace, event, SYSTEM, Options(manager=component))
    except status.ApiError as error:
        # The namespace may have gone together with what the event is about.
        log.debug("no event about %s/%s: %s", namespace, objects.name(about), error)


def _whole(event: JSON, namespace: str, component: str) -> JSON:
    """What a creation makes of an event in which nothing is empty: there are two for each pod.

    No quota counts events, and what they ask for is valid: there is nothing to admit.
    """
    moment = event["lastTimestamp"]
    fields: JSON = {f"f:{name}": {} for name in ("involvedObject", "reason", "message", "type")}
    fields["f:source"] = {"f:component": {}}
    for name in ("reportingComponent", "count", "firstTimestamp", "lastTimestamp"):
        fields[f"f:{name}"] = {}
    manager = {
        "manager": component,
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        "time": moment,
    }
    meta = {
        "name": event["metadata"]["name"],
        "namespace": namespace,
        "uid": str(uuid.uuid4()),
        "creationTimestamp": moment,
        "managedFields": [manager],
    }
    return {
        "apiVersion": kinds.EVENTS.api_version,
        "kind": kinds.EVENTS.kind,
        "metadata": meta,
        **{name: value for name, value in event.items() if name != "metadata"},
        "eventTime": None,
        "reportingInstance": "",
    }


def _seen(event: JSON) -> datetime:
    text: Any = (
        event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    moment = objects.when(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def sweep(registry: Registry, now: datetime) -> int:
    """Delete events that were last seen more than an hour ago; how many they were."""
    old = [
        row
        for row in registry.store.rows(kinds.EVENTS.key)
        if now - _seen(objects.load(row.data)) > _KEEP
    ]
    for row in old:
        registry.delete(kinds.EVENTS, row.namespace, row.name, Deletion())
    return len(old)


async def forget(registry: Registry) -> None:
    """Sweep now and then, until cancelled."""
    while True:
        try:
            sweep(registry, datetime.now(UTC))
        except StorageError as error:
            log.error("old events were not deleted: %s", error)
        await asyncio.sleep(_SWEEP_SECONDS)
