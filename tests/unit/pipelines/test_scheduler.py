"""The scheduler against a plain interpreter of the same rules, on random pipelines with faults."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit_pipelines import events, scheduler, spec
from toolkit_pipelines.events import RunPhase, Values
from toolkit_pipelines.runstate import RunState, TaskPhase
from toolkit_pipelines.spec.model import Container, Dag, Pipeline

RUN = str(uuid.UUID(int=7))


def plain(name: str = "comp") -> dict[str, Any]:
    return {
        "executorLabel": "exec",
        "inputDefinitions": {
            "parameters": {"x": {"parameterType": "NUMBER_INTEGER", "isOptional": True}}
        },
        "outputDefinitions": {"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}},
    }


def document(components: dict[str, Any], tasks: dict[str, Any]) -> dict[str, Any]:
    return {
        "pipelineInfo": {"name": "random"},
        "components": components,
        "deploymentSpec": {"executors": {"exec": {"container": {"image": "i", "command": ["c"]}}}},
        "root": {"dag": {"tasks": tasks}},
    }


@st.composite
def dags(draw: st.DrawFn, components: dict[str, Any], depth: int = 2) -> dict[str, Any]:
    """Tasks of a DAG; nested DAGs are added to `components`."""
    tasks: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 5))):
        name = f"t{number}"
        component = "comp"
        if depth and draw(st.integers(0, 3)) == 0:
            component = f"dag{len(components)}"
            components[component] = {}
            inner = draw(dags(components, depth - 1))
            components[component] = {"dag": {"tasks": inner}}
        task: dict[str, Any] = {"componentRef": {"name": component}}
        earlier = sorted(tasks)
        if earlier:
            after = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3))
            task["dependentTasks"] = after
            sources = [each for each in earlier if tasks[each]["componentRef"]["name"] == "comp"]
            if sources and component == "comp" and draw(st.booleans()):
                producer = draw(st.sampled_from(sources))
                source = {"producerTask": producer, "outputParameterKey": "Output"}
                task["inputs"] = {"parameters": {"x": {"taskOutputParameter": source}}}
        tasks[name] = task
    return tasks


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    components: dict[str, Any] = {"comp": plain()}
    tasks = draw(dags(components))
    return spec.parse(document(components, tasks))


@dataclass
class Simulation:
    """Carries out what the scheduler decides; tasks end in the order that `choice` picks."""

    pipeline: Pipeline
    faulty: frozenset[str]
    slots: int
    choice: random.Random
    state: RunState = field(default_factory=RunState)
    started: list[str] = field(default_factory=list)
    most: int = 0
    terminate_after: int | None = None

    def add(self, event: events.Event) -> None:
        self.state.apply(event)

    def run(self) -> RunState:
        self.add(
            events.RunCreated(
                run_id=RUN,
                time=0.0,
                spec="",
                display_name="r",
                pipeline_name="random",
                experiment_id="e",
                experiment_name="Default",
            )
        )
        ends = 0
        while not self.state.status.phase.ended:
            plan = self.decide()
            again = self.decide()
            assert again == scheduler.Plan((), again.starved), "a recorded decision came again"
            if self.state.status.phase.ended:
                break
            assert self.state.running, (plan, self.state)
            path = self.choice.choice(sorted(self.state.running))
            ends += 1
            if path in self.faulty:
                self.add(
                    events.TaskFailed(run_id=RUN, time=1.0, task=path, reason="E", message="m")
                )
            else:
                outputs = Values({"Output": 1})
                self.add(events.TaskSucceeded(run_id=RUN, time=1.0, task=path, outputs=outputs))
            if ends == self.terminate_after:
                self.add(events.RunTerminating(run_id=RUN, time=2.0))
        return self.state

    def decide(self) -> scheduler.Plan:
        free = self.slots - len(self.state.running)
        plan = scheduler.decide(self.pipeline, self.state, free)
        for decision in plan.decisions:
            self.carry_out(decision)
        self.most = max(self.most, len(self.state.running))
        return plan

    def carry_out(self, decision: scheduler.Decision) -> None:
        common: dict[str, Any] = {"run_id": RUN, "time": 0.5}
        match decision:
            case scheduler.Start(path, inputs, container):
                pod = f"pod-{path}" if container else ""
                if container:
                    self.started.append(path)
                self.add(events.TaskStarted(**common, task=path, pod=pod, inputs=inputs))
            case scheduler.Succeed(path, outputs):
                self.add(events.TaskSucceeded(**common, task=path, outputs=outputs))
            case scheduler.Fail(path, reason, message):
                if path not in self.state.tasks:
                    self.add(events.TaskStarted(**common, task=path))
                self.add(events.TaskFailed(**common, task=path, reason=reason, message=message))
            case scheduler.Skip(path, reason):
                self.add(events.TaskSkipped(**common, task=path, reason=reason))
            case scheduler.Cancel(path):
                self.add(events.TaskCanceled(**common, task=path))
            case scheduler.End(phase, message, outputs):
                self.add(events.RunEnded(**common, phase=phase, message=message, outputs=outputs))


def fails(pipeline: Pipeline, dag: Dag, prefix: str, faulty: frozenset[str]) -> bool:
    """The reference: a DAG fails if some task that is bound to be reached is bound to fail.

    A task is reached for sure if nothing in its DAG can stop it: then every order of ends gives
    the same. Where a fault only may be reached the phases still agree on the run's end.
    """
    ok: dict[str, bool] = {}
    for name, task in dag.tasks.items():
        if not all(ok[each] for each in task.upstream):
            ok[name] = False
            continue
        body = pipeline.components[task.component].body
        path = prefix + name
        if isinstance(body, Container):
            ok[name] = path not in faulty
        else:
            ok[name] = not fails(pipeline, body, f"{path}/", faulty)
    return not all(ok.values())


def paths(pipeline: Pipeline) -> Iterator[str]:
    for path, _, component in pipeline.walk():
        if isinstance(component.body, Container):
            yield path


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pipelines(), st.randoms(use_true_random=False), st.data())
def test_random_pipelines_end_as_the_reference_says(
    pipeline: Pipeline, choice: random.Random, data: st.DataObject
) -> None:
    every = sorted(paths(pipeline))
    faulty = frozenset(data.draw(st.sets(st.sampled_from(every), max_size=2))) if every else set()
    slots = data.draw(st.integers(1, 4))
    simulation = Simulation(pipeline, frozenset(faulty), slots, choice)
    state = simulation.run()

    failed = fails(pipeline, pipeline.dag, "", frozenset(faulty))
    assert state.status.phase is (RunPhase.FAILED if failed else RunPhase.SUCCEEDED)
    assert len(simulation.started) == len(set(simulation.started)), "something started twice"
    assert simulation.most <= slots
    assert not state.running
    assert all(task.phase.ended for task in state.tasks.values())
    if not failed:
        assert sorted(simulation.started) == every
    for path in simulation.started:
        prefix = path[: path.rfind("/") + 1]
        upstream = pipeline.task(path).upstream
        assert all(state.tasks[prefix + e].phase is TaskPhase.SUCCEEDED for e in upstream)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pipelines(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_a_terminated_run_ends_canceled_and_starts_nothing_more(
    pipeline: Pipeline, choice: random.Random, after: int
) -> None:
    simulation = Simulation(pipeline, frozenset(), 2, choice, terminate_after=after)
    state = simulation.run()
    assert all(task.phase.ended for task in state.tasks.values())
    if state.status.phase is RunPhase.CANCELED:
        assert len(simulation.started) <= after + 2
    else:
        assert state.status.phase is RunPhase.SUCCEEDED


def test_pipelines_of_a_hundred_tasks() -> None:
    choice = random.Random(3)
    tasks: dict[str, Any] = {}
    for number in range(100):
        earlier = choice.sample(sorted(tasks), min(len(tasks), choice.randint(0, 3)))
        tasks[f"t{number}"] = {"componentRef": {"name": "comp"}, "dependentTasks": earlier}
    pipeline = spec.parse(document({"comp": plain()}, tasks))
    for _ in range(20):
        simulation = Simulation(pipeline, frozenset(), 8, choice)
        assert simulation.run().status.phase is RunPhase.SUCCEEDED
        assert len(simulation.started) == 100


def test_a_failed_task_of_a_nested_pipeline_stops_that_one_alone() -> None:
    inner = {
        "dag": {
            "tasks": {
                "bad": {"componentRef": {"name": "comp"}},
                "after": {"componentRef": {"name": "comp"}, "dependentTasks": ["bad"]},
            }
        }
    }
    tasks = {
        "inner": {"componentRef": {"name": "inner"}},
        "beside": {"componentRef": {"name": "comp"}},
        "last": {"componentRef": {"name": "comp"}, "dependentTasks": ["inner"]},
    }
    pipeline = spec.parse(document({"comp": plain(), "inner": inner}, tasks))
    state = Simulation(pipeline, frozenset({"inner/bad"}), 1, random.Random(1)).run()
    phases = {path: task.phase for path, task in state.tasks.items()}
    assert phases["inner/bad"] is TaskPhase.FAILED
    assert phases["inner/after"] is TaskPhase.SKIPPED
    assert phases["inner"] is TaskPhase.FAILED
    assert phases["last"] is TaskPhase.SKIPPED
    assert state.status.message == "task 'inner' failed"


@pytest.mark.parametrize(
    ("produced", "message"),
    [({}, "has no value"), ({"Output": "text"}, "expected an integer")],
)
def test_inputs_that_are_not_as_declared_fail_the_task(
    produced: dict[str, Any], message: str
) -> None:
    component = plain()
    component["inputDefinitions"]["parameters"]["x"]["isOptional"] = False
    source = {"producerTask": "a", "outputParameterKey": "Output"}
    tasks = {
        "a": {"componentRef": {"name": "first"}},
        "b": {
            "componentRef": {"name": "comp"},
            "inputs": {"parameters": {"x": {"taskOutputParameter": source}}},
        },
    }
    pipeline = spec.parse(document({"comp": component, "first": plain()}, tasks))
    simulation = Simulation(pipeline, frozenset(), 2, random.Random(1))
    simulation.add(
        events.RunCreated(
            run_id=RUN,
            time=0.0,
            spec="",
            display_name="r",
            pipeline_name="random",
            experiment_id="e",
            experiment_name="Default",
        )
    )
    simulation.decide()
    simulation.add(events.TaskSucceeded(run_id=RUN, time=1.0, task="a", outputs=Values(produced)))
    simulation.decide()
    assert simulation.state.tasks["b"].reason == "InputError"
    assert message in simulation.state.tasks["b"].message
    assert simulation.state.status.phase is RunPhase.FAILED
