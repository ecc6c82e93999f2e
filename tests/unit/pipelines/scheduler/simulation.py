"""Runs a pipeline without pods: carries out what the scheduler decides, in simulated time."""

from __future__ import annotations

import dataclasses
import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from toolkit_pipelines import events, records, reset, runstate, scheduler
from toolkit_pipelines.decisions import Plan
from toolkit_pipelines.events import Artifact, Event, Values
from toolkit_pipelines.runstate import RunState
from toolkit_pipelines.spec.model import Pipeline

RUN = str(uuid.UUID(int=7))


def created(**fields: Any) -> events.RunCreated:
    return events.RunCreated(
        run_id=RUN,
        time=0.0,
        spec="",
        display_name="r",
        pipeline_name="program",
        experiment_id="e",
        experiment_name="Default",
        **fields,
    )


def one(path: str, inputs: Values) -> Values:
    """What a step gives unless a test says otherwise."""
    return Values({"Output": 1})


@dataclass
class Simulation:
    """One run; its steps end in the order that `choice` picks.

    Attributes:
        fails: how many attempts of a step fail, by its path.
        gives: what a step gives.
        cached: how often, of 100 steps, the cache has what a step would give.
        crash: how often, of 100 steps, everything but what was recorded is lost; 0 for speed.
        looked: called after each look at the run.
        state: all that is known of the run.
        driven: the same, as an engine has it: without what the run does not ask for any more;
            where `crash` is 0 there is none.
        started: the paths of the attempts that had a pod.
        taken: the paths of the tasks that the cache had.
    """

    pipeline: Pipeline
    slots: int
    choice: random.Random
    fails: Callable[[str], int] = lambda path: 0
    gives: Callable[[str, Values], Values] = one
    cached: int = 0
    crash: int = 0
    looked: Callable[[RunState], None] = lambda state: None
    terminate_after: int | None = None
    now: float = 0.0
    state: RunState = field(default_factory=RunState)
    driven: RunState = field(default_factory=RunState)
    recorded: list[Event] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    most: int = 0

    def add(self, *found: Event) -> None:
        for each in found:
            event = dataclasses.replace(each, sequence=len(self.recorded) + 1)
            self.recorded.append(event)
            self.state.apply(event)
            if self.crash:
                self.drive(event)

    def drive(self, event: Event) -> None:
        if isinstance(event, events.RunRetried):
            self.driven = runstate.fold(self.recorded)
            self.driven.let_go(list(self.driven.tasks))
            return
        self.driven.apply(event)
        if task := getattr(event, "task", ""):
            self.driven.let_go([task])

    def run(self) -> RunState:
        self.add(created())
        return self.go_on()

    def retry(self) -> RunState:
        """Have what failed done again, until the run has ended once more."""
        again = reset.reset(self.pipeline, self.state)
        self.add(
            events.RunRetried(
                run_id=RUN, time=self.now, dropped=again.dropped, reopened=again.reopened
            )
        )
        self.terminate_after = None
        return self.go_on()

    def go_on(self) -> RunState:
        ends = 0
        while True:
            taken = len(self.taken)
            plan = self.decide()
            if len(self.taken) > taken:
                # What comes after it may start at once.
                if self.choice.randrange(100) < self.crash:
                    self.recover()
                continue
            if self.crash:
                # A nested pipeline may begin its next attempt at once.
                again = set(map(repr, self.plan().decisions))
                assert not again & set(map(repr, plan.decisions)), "a decision came again"
            if self.state.status.phase.ended:
                return self.state
            if not self.state.running:
                assert plan.wake is not None, (plan, self.state)
                self.now = plan.wake
                continue
            self.now += 1
            self.end(self.choice.choice(sorted(self.state.running)))
            ends += 1
            if ends == self.terminate_after:
                self.add(events.RunTerminating(run_id=RUN, time=self.now))
            if self.choice.randrange(100) < self.crash:
                self.recover()

    def end(self, path: str) -> None:
        task = self.state.tasks[path]
        common: dict[str, Any] = {"run_id": RUN, "time": self.now, "task": path}
        if task.attempt < self.fails(path):
            given = self.pipeline.task(path)
            attempt = task.attempt - self.state.spent.get(path, 0)
            retry = scheduler.next_attempt(given, attempt, self.now)
            self.add(events.TaskFailed(**common, reason="E", message="m", retry=retry))
        else:
            self.add(events.TaskSucceeded(**common, outputs=self.gives(path, task.inputs)))

    def looked_up(self, event: Event) -> list[Event]:
        """Give how a task starts, and that the cache had it, as the engine does."""
        if not isinstance(event, events.TaskStarted) or not event.pod:
            return [event]
        if event.attempt < self.fails(event.task) or self.choice.randrange(100) >= self.cached:
            return [event]
        self.taken.append(event.task)
        cached = events.TaskCached(
            run_id=RUN,
            time=self.now,
            task=event.task,
            attempt=event.attempt,
            outputs=self.gives(event.task, event.inputs),
            origin="earlier",
            origin_task=event.task,
            origin_sequence=3,
        )
        return [dataclasses.replace(event, pod=""), cached]

    def recover(self) -> None:
        """Read the run again from what was recorded, as after a kill."""
        stored = [
            (each.kind, json.dumps(events.encode(each)), each.time) for each in self.recorded
        ]
        read = [
            events.decode(kind, json.loads(body), run_id=RUN, time=time, sequence=number)
            for number, (kind, body, time) in enumerate(stored, 1)
        ]
        before, self.state = self.state, runstate.fold(read)
        assert self.state == before

    def plan(self) -> Plan:
        free = self.slots - len(self.state.running)
        plan = scheduler.decide(self.pipeline, self.state, free, self.now)
        if self.crash:
            assert scheduler.decide(self.pipeline, self.driven, free, self.now) == plan
        return plan

    def decide(self) -> Plan:
        plan = self.plan()
        planned = records.recorded(plan.decisions, self.state, self.pipeline.name, self.now)
        found = [each for event in planned for each in self.looked_up(event)]
        self.started += [
            each.task for each in found if isinstance(each, events.TaskStarted) and each.pod
        ]
        self.add(*found)
        self.most = max(self.most, len(self.state.running))
        self.looked(self.state)
        return plan


def artifact(uri: str) -> tuple[Artifact, ...]:
    return (Artifact("art", "system.Artifact", uri),)
