"""Whether two runs gave the same, task by task; pure.

An output parameter is the same if its value is. An artifact is the same if its content, by its
digest, and its metadata are. What has no digest in one of the runs can be told to differ, by its
metadata, but not to be the same. Nested pipelines and loops pass on what their tasks gave, so only
these are compared.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from . import naming
from .events import Artifact, Json, RunCreated
from .runstate import RunState, TaskPhase, TaskState


class Outcome(enum.StrEnum):
    """What a comparison comes to, the worst of its parts."""

    SAME = "SAME"
    NOT_COMPARABLE = "NOT_COMPARABLE"
    DIFFERENT = "DIFFERENT"


_BADNESS = tuple(Outcome)


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing in both runs.

    Attributes:
        name: what it is called.
        outcome: what its comparison comes to.
        first, second: what each run has: a digest, a state; "" if it has none.
        reason: why they are not the same, for people; "" if they are.
    """

    name: str
    outcome: Outcome
    first: str
    second: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """One task in both runs.

    Attributes:
        path: its path.
        phases: the state that it ended in.
        lock: the packages that it had; None if neither run knows.
        image: the reference of its image; None likewise.
        outputs: parameters, then artifacts (`model`, `models[1]` in a list), by name.
    """

    path: str
    phases: Pair
    lock: Pair | None
    image: Pair | None
    outputs: tuple[Pair, ...]

    @property
    def outcome(self) -> Outcome:
        """What it comes to; what it ran in is evidence, not a result."""
        return _worst(self.phases, *self.outputs)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs.

    Attributes:
        spec: the digests of their specs.
        parameters: the digests of the parameters that they were given.
        tasks: all that either of them reached, in the order of the first.
    """

    spec: Pair
    parameters: Pair
    tasks: tuple[TaskComparison, ...]

    @property
    def outcome(self) -> Outcome:
        """What it comes to."""
        return _worst(self.spec, self.parameters, *self.tasks)


def compare(first: RunState, second: RunState) -> Comparison:
    """Compare what two runs gave; neither changes any more if both have ended."""
    one, other = _created(first), _created(second)
    leaves = [path for path in first.tasks if path not in first.children]
    leaves += [
        path for path in second.tasks if path not in second.children and path not in first.tasks
    ]
    return Comparison(
        spec=_pair("spec", one.spec, other.spec),
        parameters=_pair(
            "parameters", digest(dict(one.parameters)), digest(dict(other.parameters))
        ),
        tasks=tuple(_task(path, first.tasks.get(path), second.tasks.get(path)) for path in leaves),
    )


def digest(value: Json) -> str:
    """Give the digest of a JSON value: SHA-256 of its text with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _created(state: RunState) -> RunCreated:
    assert state.created is not None  # noqa: S101 - a run's first event
    return state.created


def _pair(name: str, first: str, second: str) -> Pair:
    if first == second:
        return Pair(name, Outcome.SAME, first, second)
    return Pair(name, Outcome.DIFFERENT, first, second, "they differ")


def _known(name: str, first: str, second: str) -> Pair | None:
    if not first and not second:
        return None
    if not first or not second:
        reason = "one run does not know"
        return Pair(name, Outcome.NOT_COMPARABLE, first, second, reason)
    return _pair(name, first, second)


def _task(path: str, first: TaskState | None, second: TaskState | None) -> TaskComparison:
    return TaskComparison(
        path=path,
        phases=_phases(first, second),
        lock=_known("lock", first.lock if first else "", second.lock if second else ""),
        image=_known("image", first.image if first else "", second.image if second else ""),
        outputs=tuple(_outputs(first, second)) if first and second else (),
    )


def _phases(first: TaskState | None, second: TaskState | None) -> Pair:
    before, after = (task.phase.value if task else "" for task in (first, second))
    if first is None or second is None:
        reason = "only one of the runs reached it"
    elif first.phase.succeeded and second.phase.succeeded:
        # Taken from the cache, it gave what it would have given.
        return Pair("state", Outcome.SAME, before, after)
    elif first.phase is not second.phase:
        reason = next((f"{t.reason}: {t.message}" for t in (second, first) if t.message), "")
        reason = reason or "it ended otherwise"
    elif first.phase is TaskPhase.SKIPPED:
        return Pair("state", Outcome.SAME, before, after)
    else:
        return Pair("state", Outcome.NOT_COMPARABLE, before, after, "neither run has its outputs")
    return Pair("state", Outcome.DIFFERENT, before, after, reason)


def _outputs(first: TaskState, second: TaskState) -> Iterator[Pair]:
    if not (first.phase.succeeded and second.phase.succeeded):
        return
    old, new = first.outputs, second.outputs
    for name in sorted(old.parameters.keys() | new.parameters.keys()):
        before, after = (
            digest(each.parameters[name]) if name in each.parameters else "" for each in (old, new)
        )
        yield _pair(name, before, after)
    for name in sorted(old.artifacts.keys() | new.artifacts.keys()):
        listed = old.artifacts.get(name, ()), new.artifacts.get(name, ())
        longest = max(map(len, listed))
        for place in range(longest):
            label = name if longest == 1 else f"{name}[{place}]"
            yield _artifact(
                label, *(each[place] if place < len(each) else None for each in listed)
            )


def _artifact(name: str, first: Artifact | None, second: Artifact | None) -> Pair:
    if first is None or second is None:
        before, after = (each.digest if each else "" for each in (first, second))
        return Pair(name, Outcome.DIFFERENT, before, after, "only one of the runs has it")
    before, after = first.digest, second.digest
    if before and after and before != after:
        return Pair(name, Outcome.DIFFERENT, before, after, "they differ")
    if digest(dict(first.metadata)) != digest(dict(second.metadata)):
        return Pair(name, Outcome.DIFFERENT, before, after, "their metadata differ")
    # What a run made changes no more: the same place is the same content.
    same = first.uri == second.uri and naming.maker(first.uri) != ""
    if same or (before and after):
        return Pair(name, Outcome.SAME, before, after)
    return Pair(name, Outcome.NOT_COMPARABLE, before, after, "it has no digest in one of the runs")


def _worst(*parts: Pair | TaskComparison) -> Outcome:
    return max((part.outcome for part in parts), key=_BADNESS.index, default=Outcome.SAME)
