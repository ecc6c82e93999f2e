"""How long runs may take and what is left of them: `dsl.PipelineConfig` but for its workspace.

Field names are those of the message `PipelineConfig` (kfp-pipeline-spec 2.17) in JSON. The times
to live are of what a run has in Kubernetes once it has ended. This service leaves nothing there,
so whatever they say is kept; they are checked all the same.
"""

from __future__ import annotations

from typing import Final

from .errors import SpecError
from .fields import mapping
from .model import Json

TIMES_TO_LIVE: Final = ("resourceTtlOnCompletion", "resourceTtlOnSuccess", "resourceTtlOnFailure")
DEADLINE: Final = "activeDeadlineSeconds"
FIELDS: Final = ("workspace", DEADLINE, *TIMES_TO_LIVE)
_LONGEST: Final = 2**31 - 1
"""The fields are of 32 bits."""


def read(platform_spec: Json) -> int | None:
    """Give the seconds that a run may take; None for any number.

    As in KFP, 0 is what nobody has set and less is no limit.

    Raises:
        SpecError: a number of seconds is none; the message names its place.
    """
    where, found = "platform spec", mapping(platform_spec, "platform spec")
    for part in ("platforms", "kubernetes", "pipelineConfig"):
        where = f"{where}.{part}"
        found = mapping(found.get(part), where)
    for name in TIMES_TO_LIVE:
        _seconds(found.get(name), f"{where}.{name}")
    deadline = _seconds(found.get(DEADLINE), f"{where}.{DEADLINE}")
    return deadline if deadline > 0 else None


def _seconds(value: Json, where: str) -> int:
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LONGEST:
        raise SpecError(where, f"{str(value)[:80]!r} is not a whole number of seconds")
    return value
