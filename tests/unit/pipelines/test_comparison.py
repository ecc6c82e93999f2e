"""When two runs gave the same, when they did not, and when nobody can tell."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from toolkit_pipelines import comparison
from toolkit_pipelines.comparison import Outcome
from toolkit_pipelines.events import (
    Artifact,
    Event,
    RunCreated,
    TaskCached,
    TaskFailed,
    TaskSkipped,
    TaskStarted,
    TaskSucceeded,
    Values,
)
from toolkit_pipelines.runstate import RunState, fold

ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
MODEL = Artifact("m", "system.Model", "s3://b/m", {"layers": 3}, ONE)
MAKER = "0b9cbc6e-5a5c-4d5e-9f3f-0d3c7d0c1f11"


def run(*events: Event, **created: Any) -> RunState:
    given = {"spec": "d", "parameters": {"a": 1}, **created}
    first = RunCreated(
        run_id="r",
        time=1.0,
        display_name="n",
        pipeline_name="p",
        experiment_id="e",
        experiment_name="Default",
        **given,
    )
    return fold([first, *events])


def started(path: str) -> TaskStarted:
    return TaskStarted(run_id="r", time=2.0, task=path, pod=path)


def task(path: str = "t", outputs: Values = Values(), **more: Any) -> list[Event]:  # noqa: B008
    ended = TaskSucceeded(run_id="r", time=3.0, task=path, outputs=outputs, **more)
    return [started(path), ended]


def giving(*models: Artifact, **parameters: Any) -> RunState:
    return run(*task(outputs=Values(parameters, {"model": models} if models else {})))


def only(first: RunState, second: RunState) -> comparison.TaskComparison:
    (found,) = comparison.compare(first, second).tasks
    return found


def test_a_run_is_the_same_as_itself() -> None:
    one = giving(MODEL, n=1, loss=float("nan"))
    found = comparison.compare(one, giving(MODEL, n=1, loss=float("nan")))
    assert found.outcome is Outcome.SAME
    (first,) = found.tasks
    assert [(each.name, each.outcome) for each in first.outputs] == [
        ("loss", Outcome.SAME),
        ("n", Outcome.SAME),
        ("model", Outcome.SAME),
    ]
    assert (first.outputs[2].first, first.outputs[2].second) == (ONE, ONE)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (giving(n=1), giving(n=2)),
        (giving(n=1), giving(n="1")),
        (giving(n=1), giving()),
        (giving(MODEL), giving(dataclasses.replace(MODEL, digest=OTHER))),
        (giving(MODEL), giving(dataclasses.replace(MODEL, digest="none"))),
        (giving(MODEL), giving(dataclasses.replace(MODEL, metadata={"layers": 4}))),
        (giving(MODEL), giving(dataclasses.replace(MODEL, digest="", metadata={}))),
        (giving(MODEL), giving(MODEL, MODEL)),
        (giving(MODEL), giving()),
    ],
)
def test_another_value_or_content_is_different(first: RunState, second: RunState) -> None:
    for pair in ((first, second), (second, first)):
        found = comparison.compare(*pair)
        assert found.outcome is Outcome.DIFFERENT
        (worst,) = (e for e in found.tasks[0].outputs if e.outcome is Outcome.DIFFERENT)
        assert worst.reason


def test_what_has_no_digest_cannot_be_compared() -> None:
    unknown = dataclasses.replace(MODEL, digest="")
    for first, second in ((unknown, MODEL), (MODEL, unknown), (unknown, unknown)):
        found = only(giving(first), giving(second))
        assert found.outcome is Outcome.NOT_COMPARABLE
        assert "no digest" in found.outputs[0].reason


def test_what_the_same_run_made_is_the_same_without_a_digest() -> None:
    made = dataclasses.replace(
        MODEL, digest="", uri=f"minio://mlpipeline/v2/artifacts/p/{MAKER}/t/{'0' * 16}/m"
    )
    assert only(giving(made), giving(made)).outcome is Outcome.SAME


def test_other_specs_and_parameters_are_different() -> None:
    assert comparison.compare(run(), run(spec="x")).outcome is Outcome.DIFFERENT
    found = comparison.compare(run(), run(parameters={"a": 2}))
    assert found.outcome is found.parameters.outcome is Outcome.DIFFERENT
    assert found.spec.outcome is Outcome.SAME


def failed(message: str = "no") -> list[Event]:
    ended = TaskFailed(run_id="r", time=3.0, task="t", reason="Error", message=message)
    return [started("t"), ended]


SKIPPED = TaskSkipped(run_id="r", time=3.0, task="t", reason="its condition is not met")
CACHED = TaskCached(
    run_id="r",
    time=3.0,
    task="t",
    outputs=Values({"n": 1}),
    origin="o",
    origin_task="t",
    origin_sequence=3,
)


@pytest.mark.parametrize(
    ("first", "second", "outcome", "words"),
    [
        (task(), failed("out of luck"), Outcome.DIFFERENT, "Error: out of luck"),
        (failed("out of luck"), task(), Outcome.DIFFERENT, "Error: out of luck"),
        (task(), [SKIPPED], Outcome.DIFFERENT, "its condition is not met"),
        (task(), [], Outcome.DIFFERENT, "only one of the runs reached it"),
        ([], task(), Outcome.DIFFERENT, "only one of the runs reached it"),
        (failed(), failed("other"), Outcome.NOT_COMPARABLE, "neither run has its outputs"),
        ([SKIPPED], [SKIPPED], Outcome.SAME, ""),
        ([started("t"), CACHED], task(outputs=Values({"n": 1})), Outcome.SAME, ""),
        ([started("t"), CACHED], task(outputs=Values({"n": 2})), Outcome.DIFFERENT, ""),
    ],
)
def test_how_tasks_ended_counts(
    first: list[Event], second: list[Event], outcome: Outcome, words: str
) -> None:
    found = only(run(*first), run(*second))
    assert found.outcome is outcome
    assert words in found.phases.reason


def test_only_what_ran_is_compared_not_what_it_is_in() -> None:
    def nested(value: int) -> RunState:
        loop = TaskStarted(run_id="r", time=2.0, task="loop", iterations=1)
        item = TaskStarted(run_id="r", time=2.0, task="loop/0", iteration=0)
        passed = TaskSucceeded(run_id="r", time=4.0, task="loop", outputs=Values({"n": value}))
        return run(loop, item, *task("loop/0/t", Values({"n": value})), passed)

    found = comparison.compare(nested(1), nested(2))
    assert [each.path for each in found.tasks] == ["loop/0/t"]
    assert found.outcome is Outcome.DIFFERENT


def test_what_tasks_ran_in_is_told_and_decides_nothing() -> None:
    first = run(*task(image="i", lock="a", packages=("x==1",)))
    second = run(*task(image="j", lock="b", packages=("x==2",)))
    found = only(first, second)
    assert found.outcome is Outcome.SAME
    assert found.lock is not None
    assert (found.lock.outcome, found.lock.first, found.lock.second) == (
        Outcome.DIFFERENT,
        "a",
        "b",
    )
    assert found.image is not None
    assert found.image.outcome is Outcome.DIFFERENT
    unknown = only(first, run(*task()))
    assert unknown.lock is not None
    assert unknown.lock.outcome is Outcome.NOT_COMPARABLE
    assert only(run(*task()), run(*task())).lock is None


def test_a_digest_of_a_value_is_that_of_its_canonical_text() -> None:
    assert comparison.digest({"b": [1.5, None], "a": "é"}) == comparison.digest(
        {"a": "é", "b": [1.5, None]}
    )
    assert len({comparison.digest(value) for value in (1, "1", 1.0, True, [1], None)}) == 6
