"""When and how often a task runs: its trigger, iterator, retry and caching policies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from . import conditions
from .errors import NotSupportedError, SpecError
from .fields import flag, mapping, string
from .model import (
    ArtifactSource,
    Caching,
    Component,
    Dag,
    Importer,
    Iterator,
    Json,
    ParameterSource,
    ParameterType,
    Retry,
)

MAX_RETRIES: Final = 10_000
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
_STRATEGIES: Final = {
    "": False,
    "TRIGGER_STRATEGY_UNSPECIFIED": False,
    "ALL_UPSTREAM_TASKS_SUCCEEDED": False,
    "ALL_UPSTREAM_TASKS_COMPLETED": True,
}


def strategy(policy: Mapping[str, Json], where: str) -> bool:
    """Tell whether a task starts however its upstream tasks have ended."""
    found = string(policy.get("strategy"), where)
    if found not in _STRATEGIES:
        raise SpecError(where, f"unknown strategy {found[:80]!r}")
    return _STRATEGIES[found]


def condition(
    policy: Mapping[str, Json], parameters: Mapping[str, ParameterSource], where: str
) -> str:
    """Give the condition of a task, "" for none; SpecError if it cannot be evaluated there."""
    found = string(policy.get("condition"), where)
    if found:
        conditions.check_condition(found, parameters, where)
    return found


def iterator(
    data: Mapping[str, Json],
    component: Component,
    parameters: Mapping[str, ParameterSource],
    artifacts: Mapping[str, ArtifactSource],
    parts: Mapping[str, str],
    where: str,
) -> Iterator | None:
    """Read the loop that a task is; None if it is none.

    Args:
        data: the task.
        component: what it runs.
        parameters: where its parameters come from.
        artifacts: where its artifacts come from.
        parts: its inputs that are parts of an item, each with the part's key.
        where: the task's place in the document.
    """
    policy = mapping(data.get("iteratorPolicy"), f"{where}.iteratorPolicy", ("parallelismLimit",))
    limit = policy.get("parallelismLimit", 0)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise SpecError(
            f"{where}.iteratorPolicy.parallelismLimit", "expected a number from 0 (no limit)"
        )
    over = [kind for kind in ("parameterIterator", "artifactIterator") if data.get(kind)]
    if not over:
        return None
    if len(over) > 1:
        raise SpecError(where, "a task has one iterator, over parameters or over artifacts")
    kind, spot = over[0], f"{where}.{over[0]}"
    if not isinstance(component.body, Dag):
        raise SpecError(spot, f"a loop runs a DAG; the component {component.name!r} is none")
    _check_collected(component, spot)
    fields = mapping(data[kind], spot, ("itemInput", "items"))
    item = string(fields.get("itemInput"), f"{spot}.itemInput", required=True)
    spot = f"{spot}.items"
    if kind == "artifactIterator":
        items = mapping(fields.get("items"), spot, ("inputArtifact",))
        source = string(items.get("inputArtifact"), f"{spot}.inputArtifact", required=True)
        _find(source, artifacts, f"{spot}.inputArtifact")
        _find(item, component.inputs.artifacts, f"{where}.{kind}.itemInput")
        return Iterator(item, source=source, artifacts=True, limit=limit)
    for name in (item, *parts):
        _find(name, component.inputs.parameters, f"{where}.{kind}.itemInput")
    items = mapping(fields.get("items"), spot, ("raw", "inputParameter"))
    if "inputParameter" in items:
        source = string(items["inputParameter"], f"{spot}.inputParameter", required=True)
        _find(source, parameters, f"{spot}.inputParameter")
        return Iterator(item, source=source, limit=limit, parts=parts)
    return Iterator(item, _raw(items.get("raw"), f"{spot}.raw"), limit=limit, parts=parts)


def _find(name: str, known: Mapping[str, object], where: str) -> None:
    if name not in known:
        raise SpecError(where, f"there is no input {name[:80]!r}")


def _raw(value: Json, where: str) -> tuple[Json, ...]:
    try:
        found = json.loads(string(value, where, required=True))
    except (ValueError, RecursionError) as error:
        raise SpecError(where, f"the items of a loop are a list in JSON: {error}") from error
    if not isinstance(found, list):
        raise SpecError(where, f"the items of a loop are a list, not {type(found).__name__}")
    return tuple(found)


def _check_collected(component: Component, where: str) -> None:
    """See that what comes out of a loop is declared as what it is: lists, one entry for each."""
    single = [
        *(n for n, k in component.outputs.parameters.items() if k is not ParameterType.LIST),
        *(n for n, artifact in component.outputs.artifacts.items() if not artifact.is_list),
    ]
    if single:
        raise SpecError(
            where,
            f"a loop gives lists, but the output {single[0]!r} of its DAG is declared as one",
        )


def retry(value: Json, component: Component, where: str, *, loop: bool) -> Retry | None:
    """Read a `retryPolicy`; None if the task is not tried again.

    Args:
        value: the policy.
        component: what the task runs.
        where: its place in the document.
        loop: whether the task is a loop.
    """
    policy = mapping(
        value, where, ("maxRetryCount", "backoffDuration", "backoffFactor", "backoffMaxDuration")
    )
    count = policy.get("maxRetryCount", 0)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_RETRIES:
        raise SpecError(f"{where}.maxRetryCount", f"expected a number from 0 to {MAX_RETRIES}")
    factor = policy.get("backoffFactor", 2.0) or 2.0
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 1 <= factor <= 1e6:
        raise SpecError(f"{where}.backoffFactor", "expected a number from 1 to 1000000")
    pause = _duration(policy.get("backoffDuration"), 0.0, f"{where}.backoffDuration")
    longest = _duration(policy.get("backoffMaxDuration"), 3600.0, f"{where}.backoffMaxDuration")
    if not count:
        return None
    if isinstance(component.body, Importer) and not component.has_pod:
        # There is nothing that could be tried again.
        return None
    if loop:
        raise NotSupportedError(where, "retries of a loop as a whole (retryPolicy)")
    return Retry(count, pause, float(factor), longest)


def _duration(value: Json, default: float, where: str) -> float:
    text = string(value, where)
    if not text:
        return default
    match = _DURATION.fullmatch(text)
    if match is None:
        raise SpecError(where, f"{text[:80]!r} is not a duration such as '30s'")
    return float(match[1])


def caching(value: Json, where: str) -> Caching | None:
    """Read `cachingOptions`; None if there are none."""
    if value is None:
        return None
    options = mapping(value, where, ("enableCache", "cacheKey"))
    enabled = flag(options.get("enableCache"), f"{where}.enableCache")
    return Caching(enabled, string(options.get("cacheKey"), f"{where}.cacheKey"))
