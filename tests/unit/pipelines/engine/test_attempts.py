"""Attempts seen to their end, with pods that a test plays."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit_jobs import (
    PodPhase,
    PodStatus,
)
from toolkit_pipelines import disks, disposal, events
from toolkit_pipelines.events import RunPhase
from toolkit_pipelines.imagemap import ImageMap
from toolkit_pipelines.root import Attempt, PipelineRoot
from toolkit_pipelines.runstate import TaskPhase
from toolkit_pipelines.store.interface import StoreError

from .conftest import Service, add_one, pods_of
from .specs import CHAIN, constant, parameters, pipeline, task


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (PodStatus("", PodPhase.FAILED, reason="OOMKilled"), "OOMKilled", "memory"),
        (
            PodStatus("", PodPhase.FAILED, reason="TooManyProcesses"),
            "TooManyProcesses",
            "processes",
        ),
        (PodStatus("", PodPhase.FAILED, reason="Error", exit_code=9), "Error", "exit code 9"),
        (PodStatus("", PodPhase.SUCCEEDED), "Error", "without recording"),
        (PodStatus("", PodPhase.FAILED, reason="Lost"), "Lost", "lost"),
    ],
)
async def test_an_end_without_a_record_is_a_failure(
    played: Service, status: PodStatus, reason: str, words: str
) -> None:
    pods_of(played).behave = lambda path, given: status
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.tasks["a"].reason == reason
    assert words in state.tasks["a"].message


@pytest.mark.parametrize("reason", ["Lost", "OOMKilled", "DeadlineExceeded", "Error"])
async def test_what_was_recorded_counts_though_the_pod_was_killed_after_it(
    played: Service, reason: str
) -> None:
    def behave(path: str, given: dict[str, Any]) -> PodStatus:
        record = {"exit_code": 0, "message": "", "artifacts": {}, **add_one(path, given)}
        Path(given["folder"], "result.json").write_text(json.dumps(record))
        return PodStatus("", PodPhase.FAILED, reason=reason, exit_code=137)

    pods_of(played).behave = behave
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    assert set(played.pods.started.values()) == {1}


async def test_outputs_must_be_what_the_component_declares(played: Service) -> None:
    pods_of(played).behave = lambda path, given: {"parameters": {"Output": "two"}}
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.tasks["a"].reason == "OutputError"
    assert "'two'" in state.tasks["a"].message


async def test_a_task_cannot_claim_an_artifact_of_another_run(played: Service) -> None:
    spec = pipeline(
        {"a": task("comp")},
        {
            "comp": {
                "executorLabel": "exec",
                "outputDefinitions": {
                    "artifacts": {"out": {"artifactType": {"schemaTitle": "system.Model"}}}
                },
            }
        },
    )
    forged = {"name": "out", "uri": f"{played.root.uri}/test-pipeline/other/a/x", "metadata": {}}
    pods_of(played).behave = lambda path, given: {"artifacts": {"out": [forged]}}
    await played.start()
    state = await played.wait(played.submit(spec))
    assert state.tasks["a"].reason == "OutputError"
    assert "another run" in state.tasks["a"].message


async def test_a_link_in_place_of_the_record_is_not_followed(
    played: Service, tmp_path: Any
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"exit_code": 0, "message": "", "parameters": {}, "artifacts": {}}')

    def behave(path: str, given: dict[str, Any]) -> Any:
        (tmp_path / given["folder"] / "result.json").symlink_to(secret)
        return PodStatus("", PodPhase.SUCCEEDED)

    pods_of(played).behave = behave
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.tasks["a"].reason == "OutputError"


async def test_what_ran_is_recorded_though_the_map_has_changed_meanwhile(played: Service) -> None:
    running, go = asyncio.Event(), asyncio.Event()

    async def gate(path: str) -> None:
        running.set()
        await go.wait()

    pods_of(played).gate = gate
    played.options = replace(played.options, images=ImageMap.read({"*": "before/*"}))
    await played.start()
    run_id = played.submit(pipeline({"a": task("comp")}))
    await asyncio.wait_for(running.wait(), 60)
    await played.kill()
    played.options = replace(played.options, images=ImageMap.read({"*": "after/*"}))
    await played.start()
    go.set()
    state = await played.wait(run_id)
    assert state.tasks["a"].image == "before/python:3.11"


async def test_a_refused_pod_fails_its_task(played: Service) -> None:
    played.pods.refuse = lambda request: "spec.containers[0].image: invalid"
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.tasks["a"].reason == "PodRefused"
    assert "image: invalid" in state.tasks["a"].message


async def test_what_waits_for_kubernetes_says_so(played: Service) -> None:
    pods, forever = pods_of(played), asyncio.Event()

    async def gate(path: str) -> None:
        await forever.wait()

    pods.gate = gate
    engine = await played.start()
    run_id = played.submit(CHAIN)
    pods.away = 1_000_000
    wanted = "KubernetesUnavailable: the API is away"
    await played.until(lambda: list(engine.waiting(run_id).values()) == [wanted])
    pods.away = 0
    await played.until(lambda: bool(pods.started) and not engine.waiting(run_id))
    pods.away = 1_000_000
    played.terminate(run_id)
    await played.until(lambda: list(engine.waiting(run_id).values()) == [wanted])
    assert played.state(run_id).status.phase is RunPhase.CANCELING
    pods.away = 0
    assert (await played.wait(run_id)).status.phase is RunPhase.CANCELED
    assert not engine.waiting(run_id)


async def test_an_attempt_that_was_lost_fails_and_does_not_run_again(played: Service) -> None:
    pods_of(played).stay()
    await played.start()
    run_id = played.submit(CHAIN)
    await played.until(
        lambda: any(p.phase is PodPhase.RUNNING for p in played.pods.statuses.values())
    )
    await played.kill()
    played.pods.statuses.clear()
    await played.start()
    state = await played.wait(run_id)
    assert state.tasks["a"].reason == "Lost"
    assert set(played.pods.started.values()) == {1}


async def test_a_result_found_after_its_pod_is_gone_counts(played: Service) -> None:
    pods_of(played).behave = add_one
    await played.start()
    run_id = played.submit(CHAIN)
    await played.until(lambda: "b" in played.state(run_id).tasks)
    await played.kill()
    await played.until(lambda: all(p.phase.ended for p in played.pods.statuses.values()))
    played.pods.statuses.clear()
    await played.start()
    assert (await played.wait(run_id)).status.phase is RunPhase.SUCCEEDED
    assert set(played.pods.started.values()) == {1}


async def test_why_a_pod_waits_is_told(played: Service) -> None:
    pods = pods_of(played)
    message = "0/1 nodes are available: 1 Insufficient cpu."

    async def gate(path: str) -> None:
        name = next(iter(pods.statuses))
        status = pods.statuses[name]
        pods.publish(
            replace(status, phase=PodPhase.PENDING, reason="Unschedulable", message=message)
        )
        await asyncio.Event().wait()

    pods.gate = gate
    engine = await played.start()
    run_id = played.submit(CHAIN)
    await played.until(lambda: bool(engine.waiting(run_id)))
    assert engine.waiting(run_id) == {"a": f"Unschedulable: {message}"}
    assert played.state(run_id).tasks["a"].phase is TaskPhase.RUNNING


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImagePull"])
async def test_an_image_that_cannot_be_had_fails_the_task(played: Service, reason: str) -> None:
    pods_of(played).behave = lambda path, given: PodStatus(
        "", PodPhase.PENDING, reason=reason, message="no such image"
    )
    played.options = replace(played.options, pull_patience=0.05)
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.tasks["a"].reason == reason
    assert "no such image" in state.tasks["a"].message


async def test_an_attempt_goes_on_though_its_run_is_read_anew(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    comp = {
        "executorLabel": "exec",
        "inputDefinitions": parameters(x="NUMBER_INTEGER"),
        "outputDefinitions": parameters(Output="NUMBER_INTEGER"),
    }
    spec = pipeline(
        {"quick": task("comp", x=constant(1)), "slow": task("comp", x=constant(2))}, {"comp": comp}
    )
    pods_of(played).behave = add_one
    begun, go, failed = threading.Event(), threading.Event(), threading.Event()
    prepare, append = PipelineRoot.prepare, played.store.runs.append

    def held(root: PipelineRoot, attempt: Attempt, given: Any) -> None:
        if attempt.task.endswith("/slow"):
            begun.set()
            assert go.wait(10)
        prepare(root, attempt, given)

    def fails_once(run_id: str, found: Any, sequence: int, **how: Any) -> Any:
        ends = any(isinstance(each, events.TaskSucceeded) for each in found)
        if ends and begun.is_set() and not failed.is_set():
            failed.set()
            raise StoreError("the disk is full")
        return append(run_id, found, sequence, **how)

    monkeypatch.setattr(disks, "near", lambda folder: False)
    monkeypatch.setattr(PipelineRoot, "prepare", held)
    monkeypatch.setattr(played.store.runs, "append", fails_once)
    await played.start()
    run_id = played.submit(spec)
    # The engine has let go of what it knows of the run, and waits until it reads it again.
    await asyncio.to_thread(failed.wait, 10)
    assert failed.is_set()
    go.set()
    state = await played.wait(run_id)
    assert {path: each.phase for path, each in state.tasks.items()} == {
        "quick": TaskPhase.SUCCEEDED,
        "slow": TaskPhase.SUCCEEDED,
    }
    assert set(played.pods.started.values()) == {1}


@pytest.mark.parametrize(
    ("near", "text", "here"),
    [(True, "short", True), (False, "short", False), (True, "x" * disks.SMALL, False)],
)
async def test_files_are_written_and_read_on_the_loop_where_that_takes_no_time(
    played: Service, monkeypatch: pytest.MonkeyPatch, near: bool, text: str, here: bool
) -> None:
    comp = {
        "executorLabel": "exec",
        "inputDefinitions": parameters(x="STRING"),
        "outputDefinitions": parameters(Output="STRING"),
    }
    pods_of(played).behave = lambda path, given: {"parameters": {"Output": text}}
    threads: dict[str, int] = {}
    prepare, result = PipelineRoot.prepare, PipelineRoot.result

    def prepared(*given: Any) -> None:
        threads["prepare"] = threading.get_ident()
        prepare(*given)

    def found(*given: Any) -> Any:
        threads["result"] = threading.get_ident()
        return result(*given)

    monkeypatch.setattr(PipelineRoot, "prepare", prepared)
    monkeypatch.setattr(PipelineRoot, "result", found)
    monkeypatch.setattr(disks, "near", lambda folder: near)
    await played.start()
    spec = pipeline({"a": task("comp", x=constant(text))}, {"comp": comp})
    state = await played.wait(played.submit(spec))
    assert state.tasks["a"].outputs.parameters == {"Output": text}
    assert {k: v == threading.get_ident() for k, v in threads.items()} == {
        "prepare": here,
        "result": here,
    }


def _recorded(given: dict[str, Any], record: dict[str, Any], phase: PodPhase) -> PodStatus:
    """Write a record as a launcher does; give what the pod is just then."""
    whole = {"exit_code": 0, "message": "", "parameters": {}, "artifacts": {}, **record}
    Path(given["folder"], "result.json").write_text(json.dumps(whole))
    return PodStatus("", phase)


async def test_a_step_has_ended_once_it_says_so_though_its_pod_runs_on(played: Service) -> None:
    pods = pods_of(played)
    pods.behave = lambda path, given: _recorded(given, add_one(path, given), PodPhase.RUNNING)
    await played.start()

    run_id = played.submit(CHAIN)
    state = await played.wait(run_id)

    assert state.status.phase is RunPhase.SUCCEEDED
    assert {each.phase for each in pods.statuses.values()} == {PodPhase.RUNNING}
    # They are cleared away once they have ended, not before.
    assert not pods.deleted
    for status in list(pods.statuses.values()):
        pods.publish(replace(status, phase=PodPhase.SUCCEEDED))
    await played.until(lambda: not pods.statuses)


async def test_a_pod_that_does_not_end_after_its_step_is_killed(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disposal, "_ENDING", 0.05)
    pods = pods_of(played)
    pods.behave = lambda path, given: _recorded(given, add_one(path, given), PodPhase.RUNNING)
    await played.start()

    await played.wait(played.submit(CHAIN))

    await played.until(lambda: not pods.statuses)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"exit_code": 137, "message": "killed"}, "OOMKilled"),
        ({"exit_code": "no number"}, "OutputError"),
    ],
)
async def test_how_a_step_failed_is_its_pod_s_to_say(
    played: Service, record: dict[str, Any], reason: str
) -> None:
    pods = pods_of(played)
    pods.behave = lambda path, given: _recorded(given, record, PodPhase.RUNNING)
    engine = await played.start()
    run_id = played.submit(CHAIN)

    def looked_at() -> bool:
        found = [engine._attempts.within(name) for name in pods.statuses]
        return any(w and w.recorded and w.task and w.task.done() for w in found)

    await played.until(looked_at)
    assert played.state(run_id).tasks["a"].phase is TaskPhase.RUNNING

    (status,) = pods.statuses.values()
    pods.publish(replace(status, phase=PodPhase.FAILED, reason="OOMKilled"))

    assert (await played.wait(run_id)).tasks["a"].reason == reason
