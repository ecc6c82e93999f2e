"""Events as `events.k8s.io` shows them: another view of the same objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tinykube import names, objects, schema
from tinykube.kinds.core import EVENTS
from tinykube.kinds.resource import Resource
from tinykube.kinds.shapes import OBJECT_REFERENCE
from tinykube.objects import JSON
from tinykube.schema import Fields

# What a field is called here, by its name in the core group.
_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_BACK = {view: core for core, view in _NAMES.items()}


@dataclass(frozen=True, eq=False)
class EventView(Resource):
    """The events of the core group under other names."""

    @cached_property
    def key(self) -> str:
        """See Resource."""
        return EVENTS.key

    def shown(self, data: str) -> str:
        """See Resource."""
        obj: JSON = objects.load(data)
        found = {
            **{_NAMES.get(name, name): value for name, value in obj.items()},
            "apiVersion": self.api_version,
        }
        # What is always shown of the one is not of the other.
        schema.settle(found, self.shape)
        return objects.dump(found)

    def stored(self, obj: JSON) -> JSON:
        """See Resource."""
        found = {
            **{_BACK.get(name, name): value for name, value in obj.items()},
            "apiVersion": EVENTS.api_version,
        }
        schema.settle(found, EVENTS.shape)
        return found


EVENT_VIEWS = EventView(
    "events.k8s.io",
    "v1",
    "events",
    "Event",
    namespaced=True,
    short=("ev",),
    selectable=EVENTS.selectable,
    name_fault=names.segment_fault,
    shape=schema.kind(
        {
            "regarding": OBJECT_REFERENCE,
            "related": OBJECT_REFERENCE,
            "reason": "str",
            "note": "str",
            "type": "str",
            "action": "str",
            "eventTime": "time",
            "reportingController": "str",
            "reportingInstance": "str",
            "series": Fields(
                {"count": "int", "lastObservedTime": "time"}, always=("count", "lastObservedTime")
            ),
            "deprecatedSource": Fields({"component": "str", "host": "str"}),
            "deprecatedFirstTimestamp": "time",
            "deprecatedLastTimestamp": "time",
            "deprecatedCount": "int",
        },
        always=(
            "eventTime",
            "regarding",
            "deprecatedSource",
            "deprecatedFirstTimestamp",
            "deprecatedLastTimestamp",
        ),
    ),
)
