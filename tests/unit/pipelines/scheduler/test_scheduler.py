"""The scheduler against a plain interpreter of the same programs, with faults and kills."""

from __future__ import annotations

import dataclasses
import gc
import random
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit_pipelines import events, scheduler, spec
from toolkit_pipelines.decisions import Cancel, End, Start
from toolkit_pipelines.events import RunPhase, Values
from toolkit_pipelines.runstate import RunState, TaskPhase
from toolkit_pipelines.spec.model import Dag, Pipeline, Retry, Task

from . import programs
from .programs import Body, Reference
from .simulation import RUN, Simulation, artifact, created


def gives(path: str, inputs: Values) -> Values:
    parameters, uris = programs.computed(path, inputs.parameters)
    return Values(parameters, {"art": artifact(uris[0])})


def simulated(
    program: Body, choice: random.Random, slots: int, seed: int, share: int, **more: Any
) -> Simulation:
    simulation = Simulation(
        spec.parse(programs.written(program)),
        slots,
        choice,
        fails=lambda path: programs.failures(path, seed, share),
        gives=gives,
        crash=10,
        **more,
    )
    simulation.run()
    return simulation


def limited(pipeline: Pipeline, state: RunState) -> None:
    """No loop has more iterations under way than it may."""
    for path, task in state.tasks.items():
        if task.iterations is not None:
            loop = pipeline.task(path).iterator
            assert loop is not None
            group = state.children.get(path)
            assert not loop.limit or group is None or len(group.open) <= loop.limit


some = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@some
@given(
    programs.programs(),
    st.randoms(use_true_random=False),
    st.integers(1, 5),
    st.sampled_from([0, 30, 100]),
)
def test_programs_do_what_they_are_meant_to(
    program: Body, choice: random.Random, slots: int, cached: int
) -> None:
    reference = Reference()
    end = reference.run(program, 0, 0)
    pipeline = spec.parse(programs.written(program))
    simulation = simulated(
        program,
        choice,
        slots,
        0,
        0,
        cached=cached,
        looked=lambda state: limited(pipeline, state),
    )
    state = simulation.state

    assert state.status.phase is RunPhase.SUCCEEDED
    taken = set(simulation.taken)
    assert {path for path, task in state.tasks.items() if task.phase is TaskPhase.CACHED} == taken
    assert {
        path: TaskPhase.SUCCEEDED if path in taken else task.phase
        for path, task in state.tasks.items()
    } == {path: each.phase for path, each in reference.ends.items()}
    assert Counter(simulation.started + simulation.taken) == Counter(reference.started.keys())
    assert bool(taken) == bool(reference.started) or cached < 100
    for path, inputs in reference.started.items():
        got = state.tasks[path].inputs
        assert {name: got.parameters[name] for name in inputs} == inputs
        uris = [each.uri for each in got.artifacts.get("given", ())]
        assert uris == ([reference.given[path]] if path in reference.given else [])
    assert simulation.most <= slots
    assert state.outputs.parameters.get("Output") == end.value
    assert [a.uri for a in state.outputs.artifacts.get("art", ())] == list(end.artifacts or ())
    for path, each in reference.ends.items():
        if each.phase is TaskPhase.SUCCEEDED:
            assert state.tasks[path].outputs.parameters.get("Output") == each.value


@some
@given(
    programs.programs(),
    st.randoms(use_true_random=False),
    st.integers(1, 5),
    st.integers(0, 1000),
    st.sampled_from([10, 30]),
    st.sampled_from([0, 30]),
)
def test_faults_end_as_they_must(
    program: Body, choice: random.Random, slots: int, seed: int, share: int, cached: int
) -> None:
    reference = Reference(seed, share)
    end = reference.run(program, 0, 0)
    simulation = simulated(program, choice, slots, seed, share, cached=cached)
    state = simulation.state

    failed = end.phase is TaskPhase.FAILED
    assert state.status.phase is (RunPhase.FAILED if failed else RunPhase.SUCCEEDED)
    assert not state.running
    assert simulation.most <= slots
    for path, task in state.tasks.items():
        around = path.rpartition("/")[0]
        doomed = (state.tasks[around].phase is TaskPhase.FAILED) if around else failed
        # What had not started when something beside it failed is skipped, or never reached.
        meant = reference.ends[path].phase
        phase = TaskPhase.SUCCEEDED if path in simulation.taken else task.phase
        assert phase is meant or (doomed and phase is TaskPhase.SKIPPED), path
        if phase is TaskPhase.SUCCEEDED:
            assert task.outputs.parameters.get("Output") == reference.ends[path].value
    attempts = Counter(simulation.started + simulation.taken)
    for path, count in attempts.items():
        task_, fails = simulation.pipeline.task(path), programs.failures(path, seed, share)
        assert count == 1 + min(fails, task_.retry.count if task_.retry else 0)
    if not failed:
        assert attempts.keys() == reference.started.keys()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs.programs(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_a_terminated_run_ends_canceled_and_starts_nothing_more(
    program: Body, choice: random.Random, after: int
) -> None:
    simulation = simulated(program, choice, 2, 1, 10, terminate_after=after)
    state = simulation.state
    assert all(task.phase.ended for task in state.tasks.values())
    if state.status.phase is RunPhase.CANCELED:
        assert len(simulation.started) <= after + 2
    else:
        assert state.status.phase in (RunPhase.SUCCEEDED, RunPhase.FAILED)


def closing(pipeline: Pipeline, path: str) -> bool:
    """Whether a task, or something that it is in, may start after another has failed."""
    around, _, name = path.rpartition("/")
    body = pipeline.component(around).body if around else pipeline.root.body
    assert isinstance(body, Dag)
    return name in body.closing or (bool(around) and closing(pipeline, around))


@some
@given(
    programs.programs(),
    st.randoms(use_true_random=False),
    st.integers(1, 5),
    st.integers(0, 1000),
    st.sampled_from([10, 30]),
    st.sampled_from([0, 30]),
    st.one_of(st.none(), st.integers(1, 10)),
)
def test_what_failed_is_done_again_and_no_more(
    program: Body,
    choice: random.Random,
    slots: int,
    seed: int,
    share: int,
    cached: int,
    after: int | None,
) -> None:
    reference = Reference()
    end = reference.run(program, 0, 0)
    simulation = simulated(
        program, choice, slots, seed, share, cached=cached, terminate_after=after
    )
    for _ in range(1000):
        before = simulation.state
        if before.status.phase is RunPhase.SUCCEEDED:
            break
        good = {path for path, task in before.tasks.items() if task.phase.succeeded and task.pod}
        done = len(simulation.started), len(simulation.taken)
        state = simulation.retry()
        again = {*simulation.started[done[0] :], *simulation.taken[done[1] :]}
        assert all(closing(simulation.pipeline, path) for path in good & again)
    state = simulation.state
    assert state.status.phase is RunPhase.SUCCEEDED, state.status.message
    assert not state.running
    assert state.outputs.parameters.get("Output") == end.value
    assert [a.uri for a in state.outputs.artifacts.get("art", ())] == list(end.artifacts or ())
    assert state.tasks.keys() == reference.ends.keys()
    for path, each in reference.ends.items():
        task = state.tasks[path]
        assert task.phase.succeeded is (each.phase is TaskPhase.SUCCEEDED)
        assert task.outputs.parameters.get("Output") == (
            each.value if task.phase.succeeded else None
        )
    # No attempt has the name of another.
    pods = [e.pod for e in simulation.recorded if isinstance(e, events.TaskStarted) and e.pod]
    assert len(pods) == len(set(pods))


# -- by hand

COMPONENT = {
    "executorLabel": "exec",
    "inputDefinitions": {
        "parameters": {"x": {"parameterType": "NUMBER_INTEGER", "isOptional": True}}
    },
    "outputDefinitions": {"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}},
}
TEXT = {
    **COMPONENT,
    "outputDefinitions": {"parameters": {"Output": {"parameterType": "STRING"}}},
}


def document(tasks: dict[str, Any], **components: Any) -> dict[str, Any]:
    return {
        "pipelineInfo": {"name": "random"},
        "components": {"comp": COMPONENT, **components},
        "deploymentSpec": {"executors": {"exec": {"container": {"image": "i", "command": ["c"]}}}},
        "root": {"dag": {"tasks": tasks}},
    }


def task(*after: str, **fields: Any) -> dict[str, Any]:
    return {"componentRef": {"name": "comp"}, "dependentTasks": list(after), **fields}


ALWAYS = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


def ended(tasks: dict[str, Any], *faulty: str, **components: Any) -> Simulation:
    pipeline = spec.parse(document(tasks, **components))
    simulation = Simulation(
        pipeline, 4, random.Random(1), fails=lambda path: 99 if path in faulty else 0
    )
    simulation.run()
    return simulation


def test_a_thousand_runs_of_a_hundred_tasks() -> None:
    choice = random.Random(3)
    for _ in range(100):
        tasks: dict[str, Any] = {}
        for number in range(100):
            earlier = choice.sample(sorted(tasks), min(len(tasks), choice.randint(0, 3)))
            tasks[f"t{number}"] = task(*earlier)
        pipeline = spec.parse(document(tasks))
        for _ in range(10):
            simulation = Simulation(pipeline, 8, choice)
            assert simulation.run().status.phase is RunPhase.SUCCEEDED
            assert len(simulation.started) == 100


def test_a_look_at_a_run_keeps_nothing_of_it() -> None:
    pipeline, state = spec.parse(document({"a": task(), "b": task("a")})), RunState()
    state.apply(created())
    gc.disable()
    try:
        before = sys.getrefcount(state)
        assert scheduler.decide(pipeline, state, 1, 0.0).decisions
        assert sys.getrefcount(state) == before
    finally:
        gc.enable()


def test_a_failed_task_of_a_nested_pipeline_stops_that_one_alone() -> None:
    inner = {"dag": {"tasks": {"bad": task(), "after": task("bad")}}}
    tasks = {
        "inner": {"componentRef": {"name": "inner"}},
        "beside": task(),
        "last": task("inner"),
    }
    state = ended(tasks, "inner/bad", inner=inner).state
    phases = {path: each.phase for path, each in state.tasks.items()}
    assert phases["inner/bad"] is TaskPhase.FAILED
    assert phases["inner/after"] is TaskPhase.SKIPPED
    assert phases["inner"] is TaskPhase.FAILED
    assert phases["last"] is TaskPhase.SKIPPED
    assert state.status.message == "task 'inner' failed"


def test_an_exit_handler_runs_after_a_failure_and_learns_of_it() -> None:
    component = {
        **COMPONENT,
        "inputDefinitions": {"parameters": {"status": {"parameterType": "TASK_FINAL_STATUS"}}},
    }
    inner = {"dag": {"tasks": {"bad": task(), "after": task("bad")}}}
    status = {"taskFinalStatus": {"producerTask": "inner"}}
    tasks = {
        "inner": {"componentRef": {"name": "inner"}},
        "exit": {
            "componentRef": {"name": "handler"},
            "inputs": {"parameters": {"status": status}},
            "triggerPolicy": ALWAYS,
        },
        "tell": task("exit"),
    }
    for faulty in ([], ["inner/bad"]):
        state = ended(tasks, *faulty, inner=inner, handler=component).state
        assert state.tasks["exit"].phase is TaskPhase.SUCCEEDED
        assert state.tasks["tell"].phase is TaskPhase.SUCCEEDED
        got = state.tasks["exit"].inputs.parameters["status"]
        assert got["pipelineTaskName"] == "inner"
        if faulty:
            assert got["state"] == "FAILED"
            assert got["error"] == {"code": 13, "message": "E: m"}
            assert state.status.phase is RunPhase.FAILED
        else:
            assert got["state"] == "COMPLETE"
            assert "error" not in got


def test_what_comes_after_a_skipped_task_is_skipped() -> None:
    tasks = {
        "a": task(triggerPolicy={"condition": "1 > 2"}),
        "b": task("a"),
        "c": task("b", triggerPolicy=ALWAYS),
    }
    state = ended(tasks).state
    assert state.tasks["a"].message == "its condition is not met: 1 > 2"
    assert state.tasks["b"].message == "task 'a' was skipped"
    assert state.tasks["c"].phase is TaskPhase.SUCCEEDED
    assert state.status.phase is RunPhase.SUCCEEDED


def test_a_condition_that_cannot_be_told_fails_its_task() -> None:
    source = {"runtimeValue": {"constant": None}}
    tasks = {
        "a": task(
            inputs={"parameters": {"x": source}},
            triggerPolicy={"condition": "inputs.parameter_values['x'] > 2"},
        )
    }
    state = ended(tasks).state
    assert state.tasks["a"].reason == "ConditionError"
    assert "No such overload" in state.tasks["a"].message


@pytest.mark.parametrize(
    ("given_", "reason"),
    [("5", "no list"), ('{"a": 1}', "no list"), ("[1, 2]", ""), (str([0] * 10_001), "at most")],
)
def test_items_that_come_as_text(given_: str, reason: str) -> None:
    body = {
        "dag": {"tasks": {"t": task()}},
        "inputDefinitions": {
            "parameters": {
                "all": {"parameterType": "STRING"},
                "item": {"parameterType": "NUMBER_INTEGER"},
            }
        },
    }
    source = {"taskOutputParameter": {"producerTask": "make", "outputParameterKey": "Output"}}
    tasks = {
        "make": {"componentRef": {"name": "text"}},
        "loop": {
            "componentRef": {"name": "body"},
            "inputs": {"parameters": {"all": source}},
            "parameterIterator": {"itemInput": "item", "items": {"inputParameter": "all"}},
        },
    }
    pipeline = spec.parse(document(tasks, text=TEXT, body=body))
    simulation = Simulation(
        pipeline, 4, random.Random(1), gives=lambda path, inputs: Values({"Output": given_})
    )
    state = simulation.run()
    if reason:
        assert state.tasks["loop"].reason == "InputError"
        assert reason in state.tasks["loop"].message
    else:
        assert state.tasks["loop/1"].inputs.parameters == {"item": 2}
        assert state.status.phase is RunPhase.SUCCEEDED


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://b/model", ""),
        ("", "is no URI"),
        ("s3://b/\0", "is no URI"),
        ("x" * 5000, "is no URI"),
    ],
)
def test_an_importer_ends_as_it_starts(uri: str, reason: str) -> None:
    importer = {
        "executorLabel": "importer",
        "inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}},
        "outputDefinitions": {
            "artifacts": {"artifact": {"artifactType": {"schemaTitle": "system.Model"}}}
        },
    }
    found = document({"make": {"componentRef": {"name": "text"}}}, text=TEXT, importer=importer)
    metadata = {"from": "{{$.inputs.parameters['uri']}}", "n": 1}
    found["deploymentSpec"]["executors"]["importer"] = {
        "importer": {"artifactUri": {"runtimeParameter": "uri"}, "metadata": metadata}
    }
    source = {"taskOutputParameter": {"producerTask": "make", "outputParameterKey": "Output"}}
    found["root"]["dag"]["tasks"]["importer"] = {
        "componentRef": {"name": "importer"},
        "inputs": {"parameters": {"uri": source}},
    }
    simulation = Simulation(
        spec.parse(found), 1, random.Random(1), gives=lambda path, inputs: Values({"Output": uri})
    )
    state = simulation.run()
    assert simulation.started == ["make"]
    if reason:
        assert reason in state.tasks["importer"].message
        assert state.status.phase is RunPhase.FAILED
        return
    (got,) = state.tasks["importer"].outputs.artifacts["artifact"]
    assert (got.type, got.uri, got.metadata) == ("system.Model", uri, {"from": uri, "n": 1})
    assert state.status.phase is RunPhase.SUCCEEDED


ITEM = "pipelinechannel--make-Output-loop-item"


def parted() -> dict[str, Any]:
    """As the compiler writes a loop over maps in whose loops their parts are named."""
    whole = {"componentInputParameter": ITEM}
    part = {"componentInputParameter": f"{ITEM}-subvar-a"}
    number = {"componentInputParameter": "pipelinechannel--loop-item-param-2"}
    inner = {
        "dag": {"tasks": {"t": task(inputs={"parameters": {"x": part, "y": number}})}},
        "inputDefinitions": {
            "parameters": {
                f"{ITEM}-subvar-a": {"parameterType": "NUMBER_INTEGER"},
                "pipelinechannel--loop-item-param-2": {"parameterType": "NUMBER_INTEGER"},
            }
        },
    }
    outer = {
        "dag": {
            "tasks": {
                "inner": {
                    "componentRef": {"name": "inner"},
                    "inputs": {
                        "parameters": {
                            f"{ITEM}-subvar-a": part,
                            "pipelinechannel--loop-item-param-2": number,
                        }
                    },
                    "parameterIterator": {
                        "itemInput": "pipelinechannel--loop-item-param-2",
                        "items": {"raw": "[1, 2]"},
                    },
                },
                "tell": {
                    "componentRef": {"name": "say"},
                    "inputs": {"parameters": {"x": whole}},
                },
            }
        },
        "inputDefinitions": {
            "parameters": {
                "all": {"parameterType": "LIST"},
                ITEM: {"parameterType": "STRING"},
                f"{ITEM}-subvar-a": {"parameterType": "NUMBER_INTEGER"},
                "pipelinechannel--loop-item-param-2": {"parameterType": "NUMBER_INTEGER"},
            }
        },
    }
    say = {
        **COMPONENT,
        "inputDefinitions": {"parameters": {"x": {"parameterType": "STRING"}}},
    }
    make = {
        **COMPONENT,
        "outputDefinitions": {"parameters": {"Output": {"parameterType": "LIST"}}},
    }

    def made(key: str) -> dict[str, Any]:
        return {"taskOutputParameter": {"producerTask": "make", "outputParameterKey": key}}

    tasks = {
        "make": {"componentRef": {"name": "make"}},
        "outer": {
            "componentRef": {"name": "outer"},
            "inputs": {
                "parameters": {
                    "all": made("Output"),
                    # There is no such output, and no such input.
                    f"{ITEM}-subvar-a": made("Output-loop-item-subvar-a"),
                    "pipelinechannel--loop-item-param-2": {
                        "componentInputParameter": "loop-item-param-2"
                    },
                }
            },
            "parameterIterator": {"itemInput": ITEM, "items": {"inputParameter": "all"}},
        },
    }
    return document(tasks, inner=inner, outer=outer, say=say, make=make)


@pytest.mark.parametrize(
    ("items", "problem"),
    [([{"a": 5}, {"a": 6}], ""), ([{"a": 5}, {"b": 6}], "has no 'a'"), ([{"a": "z"}], "integer")],
)
def test_parts_of_items_reach_the_loops_inside(items: list[Any], problem: str) -> None:
    simulation = Simulation(
        spec.parse(parted()), 2, random.Random(1), gives=lambda path, _: Values({"Output": items})
    )
    state = simulation.run()
    if problem:
        assert state.status.phase is RunPhase.FAILED
        assert any(problem in each.message for each in state.tasks.values())
        return
    assert state.status.phase is RunPhase.SUCCEEDED
    got = {path: task.inputs.parameters for path, task in state.tasks.items() if task.pod}
    assert got["outer/1/inner/0/t"] == {"x": 6, "y": 1}
    # The compiler says STRING where it does not know the type; a step that takes text gets text.
    assert got["outer/0/tell"] == {"x": '{"a": 5}'}


def test_a_failed_iteration_lets_the_others_end_and_starts_no_more() -> None:
    body = {
        "dag": {"tasks": {"t": task()}},
        "inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}},
    }
    loop = {
        "componentRef": {"name": "body"},
        "parameterIterator": {"itemInput": "item", "items": {"raw": "[1, 2, 3, 4, 5, 6]"}},
        "iteratorPolicy": {"parallelismLimit": 2},
    }
    state = ended({"loop": loop}, "loop/0/t", body=body).state
    assert state.tasks["loop"].phase is TaskPhase.FAILED
    assert state.tasks["loop"].message == "task 'loop/0' failed"
    assert state.tasks["loop/1"].phase is TaskPhase.SUCCEEDED
    assert state.tasks["loop"].iterations == 6
    assert state.tasks["loop/1"].iteration == 1
    assert "loop/5" not in state.tasks


def test_ten_thousand_iterations_open_as_slots_are_free() -> None:
    body = {
        "dag": {"tasks": {"t": task(), "u": task("t")}},
        "inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}},
    }
    loop = {
        "componentRef": {"name": "body"},
        "parameterIterator": {"itemInput": "item", "items": {"raw": str(list(range(10_000)))}},
    }
    pipeline = spec.parse(document({"loop": loop}, body=body))
    most = 0

    def looked(state: RunState) -> None:
        nonlocal most
        most = max(most, len(state.children["loop"].open))

    simulation = Simulation(pipeline, 8, random.Random(2), looked=looked)
    assert simulation.run().status.phase is RunPhase.SUCCEEDED
    assert len(simulation.started) == 20_000
    assert most <= 16


@pytest.mark.parametrize(
    ("count", "message"),
    [(99, "the run has had 100 tasks"), (101, "the loop has 101 items; with the 0 tasks")],
)
def test_no_iteration_starts_once_a_run_has_had_as_many_tasks_as_it_may(
    count: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in them, and however many loops there are beside each other."""
    monkeypatch.setattr(scheduler, "MAX_REACHED", 100)
    body = {
        "dag": {"tasks": {"t": task(), "never": task("t", triggerPolicy={"condition": "1 > 2"})}},
        "inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}},
    }
    loop = {
        "componentRef": {"name": "body"},
        "parameterIterator": {"itemInput": "item", "items": {"raw": str(list(range(count)))}},
    }
    state = ended({f"loop{number}": loop for number in range(3)}, body=body).state
    assert state.status.phase is RunPhase.FAILED
    # An iteration that has started goes on, and each loop tells that it got no further.
    assert len(state.tasks) <= 100 + 3 * 4
    assert any(message in each.message for each in state.tasks.values())


@pytest.mark.parametrize(
    ("retry", "pauses"),
    [
        (None, [None]),
        (Retry(2), [0.0, 0.0, None]),
        (Retry(4, 10.0, 3.0, 100.0), [10.0, 30.0, 90.0, 100.0, None]),
        (Retry(10_000, 1.0, 1e6, 1e9), [1.0, 1e6, 1e9, 1e9]),
    ],
)
def test_attempts_are_spaced(retry: Retry | None, pauses: list[float | None]) -> None:
    given_ = Task("t", "t", "comp", retry=retry)
    for attempt, pause in enumerate(pauses):
        found = scheduler.next_attempt(given_, attempt, 1000.0)
        assert found == (None if pause is None else 1000.0 + pause)


NESTED = {
    "first": task(),
    "often": task("first", retryPolicy={"maxRetryCount": 1}),
    "exit": task("often", triggerPolicy=ALWAYS),
}


def tried(fails: int, times: int, **policy: Any) -> Simulation:
    """A pipeline that may be tried again, whose step `often` fails so many times."""
    inner = {"dag": {"tasks": NESTED}}
    tasks = {
        "inner": {
            "componentRef": {"name": "inner"},
            "retryPolicy": {"maxRetryCount": times, **policy},
        },
        "after": task("inner"),
    }
    simulation = Simulation(
        spec.parse(document(tasks, inner=inner)),
        2,
        random.Random(1),
        fails=lambda path: fails if path == "inner/often" else 0,
        crash=30,
    )
    simulation.run()
    return simulation


def test_a_nested_pipeline_that_is_tried_again_runs_all_of_it_with_all_its_attempts() -> None:
    simulation = tried(fails=3, times=2)
    assert simulation.state.status.phase is RunPhase.SUCCEEDED
    # Two attempts of `often` in each of two of the pipeline; its other steps run in both.
    assert Counter(simulation.started) == {
        "inner/first": 2,
        "inner/often": 4,
        "inner/exit": 2,
        "after": 1,
    }
    task_ = simulation.state.tasks["inner"]
    assert (task_.attempt, task_.phase) == (1, TaskPhase.SUCCEEDED)
    (failed,) = (
        e for e in simulation.recorded if isinstance(e, events.TaskFailed) and e.task == "inner"
    )
    assert (failed.attempt, failed.nested) == (0, True)
    assert failed.message == "task 'inner/often' failed: E: m"
    # No attempt has the name of another.
    pods = [e.pod for e in simulation.recorded if isinstance(e, events.TaskStarted) and e.pod]
    assert len(pods) == len(set(pods))


def test_a_nested_pipeline_fails_after_its_last_attempt() -> None:
    simulation = tried(fails=99, times=2)
    state = simulation.state
    assert state.status.phase is RunPhase.FAILED
    assert Counter(simulation.started) == {
        "inner/first": 3,
        "inner/often": 6,
        "inner/exit": 3,
    }
    # What failed in the last one is still to be seen.
    assert state.tasks["inner/often"].phase is TaskPhase.FAILED
    assert (state.tasks["inner"].attempt, state.tasks["after"].phase) == (2, TaskPhase.SKIPPED)
    # A retried run tries it as often as it may once more, from what was lost.
    simulation.retry()
    assert simulation.state.tasks["inner"].attempt == 4
    assert Counter(simulation.started)["inner/often"] == 12


def test_attempts_of_a_nested_pipeline_are_spaced() -> None:
    simulation = tried(fails=99, times=2, backoffDuration="60s")
    failed = [
        e for e in simulation.recorded if isinstance(e, events.TaskFailed) and e.task == "inner"
    ]
    begun = [
        e for e in simulation.recorded if isinstance(e, events.TaskStarted) and e.task == "inner"
    ]
    assert [e.retry and e.retry - e.time for e in failed] == [60, 120, None]
    assert [b.time - f.time for f, b in zip(failed, begun[1:], strict=False)] == [60, 120]
    assert [e.attempt for e in begun] == [0, 1, 2]


def test_retries_of_pipelines_in_pipelines_multiply() -> None:
    policy = {"maxRetryCount": 1}
    tasks = {"outer": {"componentRef": {"name": "outer"}, "retryPolicy": policy}}
    components = {
        "outer": {
            "dag": {"tasks": {"inner": {"componentRef": {"name": "inner"}, "retryPolicy": policy}}}
        },
        "inner": {"dag": {"tasks": {"step": task(retryPolicy=policy)}}},
    }
    simulation = ended(tasks, "outer/inner/step", **components)
    assert simulation.state.status.phase is RunPhase.FAILED
    assert len(simulation.started) == 8
    pods = [e.pod for e in simulation.recorded if isinstance(e, events.TaskStarted) and e.pod]
    assert len(pods) == len(set(pods))


def test_a_run_is_stopped_at_its_deadline_and_not_before() -> None:
    parsed = spec.parse(
        document({"a": task(), "b": task("a")}),
        {"platforms": {"kubernetes": {"pipelineConfig": {"activeDeadlineSeconds": 60}}}},
    )
    state = RunState()
    state.apply(dataclasses.replace(created(), time=1000.0))
    plan = scheduler.decide(parsed, state, 1, 1059.0)
    assert [type(each) for each in plan.decisions] == [Start]
    assert (plan.wake, plan.stops) == (1060.0, False)
    state.apply(events.TaskStarted(run_id=RUN, time=1059.0, task="a", pod="pod"))
    plan = scheduler.decide(parsed, state, 1, 1060.0)
    assert [type(each) for each in plan.decisions] == [Cancel, End]
    assert plan.stops
    end = plan.decisions[-1]
    assert isinstance(end, End)
    assert end.phase is RunPhase.FAILED
    # What has ended has: the deadline of a run that needs nothing more is of no interest.
    state.apply(events.TaskSucceeded(run_id=RUN, time=1059.5, task="a"))
    state.apply(events.TaskStarted(run_id=RUN, time=1059.5, task="b", pod="other"))
    state.apply(events.TaskSucceeded(run_id=RUN, time=1060.5, task="b"))
    (end,) = scheduler.decide(parsed, state, 1, 1061.0).decisions
    assert isinstance(end, End)
    assert end.phase is RunPhase.SUCCEEDED


def test_a_clock_that_is_set_back_holds_no_attempt_up() -> None:
    tasks = {"a": task(retryPolicy={"maxRetryCount": 1, "backoffDuration": "60s"})}
    simulation = Simulation(spec.parse(document(tasks)), 1, random.Random(1), now=100_000.0)
    simulation.add(created())
    simulation.decide()
    simulation.add(
        events.TaskFailed(
            run_id=RUN, time=100_000.0, task="a", reason="E", message="m", retry=100_060.0
        )
    )
    plan = simulation.decide()
    assert (plan.decisions, plan.wake) == ((), 100_060.0)
    assert simulation.state.tasks["a"].phase is TaskPhase.PENDING
    simulation.now = 13_600.0
    simulation.decide()
    assert simulation.state.tasks["a"].attempt == 1


@pytest.mark.parametrize(
    ("produced", "message"),
    [({}, "has no value"), ({"Output": "text"}, "expected an integer")],
)
def test_inputs_that_are_not_as_declared_fail_the_task(
    produced: dict[str, Any], message: str
) -> None:
    component = {
        **COMPONENT,
        "inputDefinitions": {"parameters": {"x": {"parameterType": "NUMBER_INTEGER"}}},
    }
    source = {"producerTask": "a", "outputParameterKey": "Output"}
    tasks = {
        "a": task(),
        "b": {
            "componentRef": {"name": "strict"},
            "inputs": {"parameters": {"x": {"taskOutputParameter": source}}},
        },
    }
    pipeline = spec.parse(document(tasks, strict=component))
    simulation = Simulation(
        pipeline, 2, random.Random(1), gives=lambda path, inputs: Values(produced)
    )
    state = simulation.run()
    assert state.tasks["b"].reason == "InputError"
    assert message in state.tasks["b"].message
    assert state.status.phase is RunPhase.FAILED
