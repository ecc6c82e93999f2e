"""The engine against pods that a test plays."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit_jobs import (
    Appraisal,
    ClaimMount,
    EmptyMount,
    GpuRequest,
    ImageMount,
    PodPhase,
    PodStatus,
    SecretKey,
)
from toolkit_pipelines import disks, events
from toolkit_pipelines.engine import Engine
from toolkit_pipelines.environments import EnvironmentOptions, Environments
from toolkit_pipelines.events import RunPhase
from toolkit_pipelines.imagemap import ImageMap
from toolkit_pipelines.options import Transfer
from toolkit_pipelines.runstate import TaskPhase
from toolkit_pipelines.step import LABEL_RUN
from toolkit_pipelines.steps import Exchange, StepTokens
from toolkit_pipelines.steps.routes import StartingError
from toolkit_pipelines.store import Runs
from toolkit_pipelines.store.database import Database
from toolkit_pipelines.store.interface import BusyError, StoreError

from .conftest import Service, add_one, pods_of
from .specs import CHAIN, constant, container, output, parameters, pipeline, task


async def test_values_flow_from_task_to_task(played: Service) -> None:
    pods_of(played).behave = add_one
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.status.phase is RunPhase.SUCCEEDED
    assert {name: t.outputs.parameters["Output"] for name, t in state.tasks.items()} == {
        "a": 2,
        "b": 3,
        "c": 4,
    }
    assert all(isinstance(t.outputs.parameters["Output"], int) for t in state.tasks.values())


async def test_what_would_be_found_out_again_does_not_wait_for_the_disk(
    played: Service, appended: list[tuple[list[str], bool]]
) -> None:
    pods_of(played).behave = add_one
    await played.start()
    await played.wait(played.submit(CHAIN))
    assert appended == [
        (["TaskStarted"], False),
        (["TaskSucceeded", "TaskStarted"], False),
        (["TaskSucceeded", "TaskStarted"], False),
        (["TaskSucceeded", "RunEnded"], True),
    ]


async def _recorded_in(
    played: Service, monkeypatch: pytest.MonkeyPatch, text: str = "short"
) -> dict[str, set[int]]:
    """The threads in which the events of a run were recorded, by their kinds."""
    comp = {
        "executorLabel": "exec",
        "inputDefinitions": parameters(x="STRING"),
        "outputDefinitions": parameters(Output="STRING"),
    }
    tasks = {
        "a": task("comp", x=constant("x")),
        "b": task("comp", x=output("a")),
    }
    pods_of(played).behave = lambda path, given: {"parameters": {"Output": text}}
    threads: dict[str, set[int]] = {}
    append = Runs.append

    def noted(self: Runs, run_id: str, found: Any, sequence: int, **how: Any) -> Any:
        made = append(self, run_id, found, sequence, **how)
        threads.setdefault(" ".join(each.kind for each in found), set()).add(threading.get_ident())
        return made

    monkeypatch.setattr(Runs, "append", noted)
    await played.start()
    await played.wait(played.submit(pipeline(tasks, {"comp": comp})))
    return threads


async def test_what_takes_no_time_is_recorded_on_the_loop(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = await _recorded_in(played, monkeypatch)
    assert (
        threads["TaskStarted"] == threads["TaskSucceeded TaskStarted"] == {threading.get_ident()}
    )
    # It waits for the disk.
    assert threading.get_ident() not in threads["TaskSucceeded RunEnded"]


async def test_what_is_large_is_recorded_in_a_thread(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = await _recorded_in(played, monkeypatch, "x" * disks.SMALL)
    assert threading.get_ident() not in threads["TaskSucceeded TaskStarted"]


async def test_what_would_have_to_wait_is_recorded_in_a_thread(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, refused = Database.write, []

    def others(self: Database, *, wait: bool = True, **how: Any) -> Any:
        if not wait:
            refused.append(how)
            raise BusyError("another transaction is under way")
        return write(self, wait=wait, **how)

    monkeypatch.setattr(Database, "write", others)
    threads = await _recorded_in(played, monkeypatch)
    assert refused == [{"durable": False}] * 2
    assert not any(threading.get_ident() in each for each in threads.values())


async def test_what_the_engine_has_recorded_it_does_not_read(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods_of(played).behave = add_one
    read, reads = played.store.runs.events, []

    def noted(run_id: str, after: int = 0) -> Any:
        reads.append(after)
        return read(run_id, after)

    await played.start()
    with monkeypatch.context() as patch:
        patch.setattr(played.store.runs, "events", noted)
        run_id = played.submit(CHAIN)
        await played.until(lambda: played.store.runs.run(run_id).phase.ended)
    assert reads == [0]


async def test_what_is_told_late_of_a_deleted_pod_has_nothing_read(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods, read = pods_of(played), played.store.runs.events
    go, reads = pods.delete, []

    async def delete(name: str, **how: Any) -> None:
        """It is there for a while yet."""

    def noted(run_id: str, after: int = 0) -> Any:
        reads.append(run_id)
        return read(run_id, after)

    monkeypatch.setattr(pods, "delete", delete)
    engine = await played.start()
    run_id = played.submit(pipeline({"a": task("comp")}))
    await played.wait(run_id)
    await engine.cleared(run_id, 60)
    (left,) = pods.statuses.values()
    monkeypatch.setattr(played.store.runs, "events", noted)
    pods.publish(replace(left, message="it is being deleted"))
    with pytest.raises(TimeoutError):
        await played.until(lambda: bool(reads), timeout=0.2)
    # Once it is gone, one of that name is another one.
    await go(left.name)
    pods.publish(left)
    await played.until(lambda: reads == [run_id])


async def test_what_comes_next_is_asked_for_before_what_has_been_is_cleared_away(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods_of(played).behave = add_one
    calls: list[str] = []
    start, delete = played.pods.start, played.pods.delete

    async def started(request: Any) -> Any:
        calls.append(f"start {request.annotations['toolkit.canonical.com/task']}")
        return await start(request)

    async def deleted(name: str, **how: Any) -> None:
        calls.append("delete")
        await delete(name, **how)

    monkeypatch.setattr(played.pods, "start", started)
    monkeypatch.setattr(played.pods, "delete", deleted)
    await played.start()
    await played.wait(played.submit(CHAIN))
    await played.until(lambda: not played.pods.statuses)
    assert sorted(calls) == ["delete"] * 3 + ["start a", "start b", "start c"]
    assert calls.index("start b") < calls.index("delete")


async def test_pods_are_deleted_and_their_logs_kept(played: Service) -> None:
    pods_of(played).behave = add_one
    engine = await played.start()
    run_id = played.submit(CHAIN)
    state = await played.wait(run_id)
    await played.until(lambda: not played.pods.statuses)
    chunks = [chunk async for chunk in engine.logs(run_id, "b", 0)]
    assert chunks == [f"output of {state.tasks['b'].pod}\n".encode()]


async def test_a_run_is_cleared_once_all_its_logs_are_saved(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods, saved = pods_of(played), asyncio.Event()
    pods.behave = add_one
    output = pods.output

    async def held(name: str) -> AsyncIterator[bytes]:
        await saved.wait()
        async for chunk in output(name):
            yield chunk

    monkeypatch.setattr(pods, "output", held)
    engine = await played.start()
    run_id, other = played.submit(CHAIN), played.submit(CHAIN)
    await played.wait(run_id)
    await played.wait(other)
    # Its bound is kept.
    await engine.cleared(run_id, 0.05)
    assert pods.statuses
    cleared = asyncio.create_task(engine.cleared(run_id, 60))

    saved.set()
    await cleared

    assert len(list(played.root.folder.glob(f"*/{run_id}/*/*.log"))) == 3
    assert not [name for name, s in pods.statuses.items() if s.labels[LABEL_RUN] == run_id]
    await engine.cleared(str(uuid.uuid4()), 60)


async def test_a_run_whose_driver_has_given_up_is_not_waited_for(played: Service) -> None:
    pods_of(played).stay()
    engine = await played.start()
    run_id = played.submit(CHAIN)
    await played.until(lambda: run_id in engine._drivers)
    engine._drivers[run_id].cancel()
    await asyncio.wait([engine._drivers[run_id]])

    async with asyncio.timeout(30):
        await engine.cleared(run_id, 600)


async def test_a_failed_task_ends_the_run_and_skips_the_rest(played: Service) -> None:
    pods_of(played).behave = lambda path, given: {"exit_code": 3, "message": "ValueError: no"}
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.status.phase is RunPhase.FAILED
    assert "'a'" in state.status.message
    assert state.tasks["a"].message == "ValueError: no"
    assert state.tasks["b"].phase is TaskPhase.SKIPPED
    assert [name for name, count in played.pods.started.items() if count] == [state.tasks["a"].pod]


async def test_a_step_has_the_image_that_the_map_says(played: Service) -> None:
    """What the pipeline's author wrote is looked up once its placeholders are filled in."""
    images = {"hub/*": "mirror/*", "mirror/a:1": "never", "step": "never"}
    played.options = replace(played.options, images=ImageMap.read(images))
    before = {"name": "first", "image": "hub/b:2", "command": ["true"]}
    given = pipeline(
        {"a": task("comp", tag=constant("a:1")), "b": task("other", "a")},
        {
            "comp": {"executorLabel": "exec", "inputDefinitions": parameters(tag="STRING")},
            "other": {"executorLabel": "other"},
        },
        {
            "exec": container("echo", image="hub/{{$.inputs.parameters['tag']}}"),
            "other": container("echo", image="elsewhere/c:3"),
        },
    )
    executors = {"exec": {"initContainers": [before]}}
    platforms = {"kubernetes": {"deploymentSpec": {"executors": executors}}}
    await played.start()
    run_id = played.submit({"pipeline_spec": given, "platform_spec": {"platforms": platforms}})
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    first, second = (played.pods.requests[state.tasks[name].pod] for name in ("a", "b"))
    assert (first.image, second.image) == ("mirror/a:1", "elsewhere/c:3")
    assert [each.image for each in first.before] == ["mirror/b:2"]
    assert (state.tasks["a"].image, state.tasks["b"].image) == (first.image, second.image)
    mounted = {each.image for each in first.mounts if isinstance(each, ImageMount)}
    assert mounted == {"step"}


async def test_an_api_that_is_away_delays_and_nothing_more(played: Service) -> None:
    pods_of(played).behave = add_one
    played.pods.away = 3
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.status.phase is RunPhase.SUCCEEDED
    assert set(played.pods.started.values()) == {1}


async def test_images_are_asked_for_once_unless_they_are_missing(played: Service) -> None:
    engine = await played.start()
    for _ in range(2):
        assert await engine.missing(["a", "nowhere"]) == {"nowhere": "it is nowhere"}
    assert await engine.missing(["a"]) == {}
    assert played.pods.asked == [("a", "nowhere"), ("nowhere",)]


async def test_what_of_a_pod_changes_nothing_is_recorded_as_it_starts(played: Service) -> None:
    told = "spec.imagePullSecrets: has no effect here: no image is pulled"
    pods = pods_of(played)
    pods.appraisal = lambda request: Appraisal(ineffective=(told,))
    pods.behave = add_one
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert [state.tasks[path].ineffective for path in "abc"] == [(told,)] * 3
    # One component: it is asked about once.
    assert len(pods.appraised) == 1
    again = await played.wait(played.submit(CHAIN))
    assert again.tasks["a"].ineffective == (told,)
    assert len(pods.appraised) == 1


async def test_while_nobody_knows_a_step_starts_without(played: Service) -> None:
    pods = pods_of(played)
    pods.appraisal = lambda request: None
    pods.behave = add_one
    await played.start()
    state = await played.wait(played.submit(CHAIN))
    assert state.status.phase is RunPhase.SUCCEEDED
    assert len(pods.appraised) == 3


async def test_terminating_kills_the_pods(played: Service) -> None:
    pods_of(played).stay()
    await played.start()
    run_id = played.submit(CHAIN)
    await played.until(lambda: "a" in played.state(run_id).tasks and bool(played.pods.statuses))
    played.terminate(run_id)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.CANCELED
    assert state.tasks["a"].phase is TaskPhase.CANCELED
    assert played.pods.deleted == [state.tasks["a"].pod]
    assert [phase for phase, _ in state.status.history] == [
        RunPhase.PENDING,
        RunPhase.RUNNING,
        RunPhase.CANCELING,
        RunPhase.CANCELED,
    ]


async def test_killed_between_any_two_events_nothing_runs_twice(played: Service) -> None:
    """The engine is killed as soon as the run has one more event, again and again."""
    pods_of(played).behave = add_one
    await played.start()
    run_id = played.submit(CHAIN)
    seen, kills = 0, 0
    while not played.store.runs.run(run_id).phase.ended:
        sequence = played.store.runs.run(run_id).sequence
        if sequence > seen:
            seen = sequence
            kills += 1
            await played.kill()
            await played.start()
        await asyncio.sleep(0.001)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED
    assert state.tasks["c"].outputs.parameters == {"Output": 4}
    assert set(played.pods.started.values()) == {1}
    assert kills >= 3
    await played.until(lambda: not played.pods.statuses)


async def test_parallelism_is_bounded_for_a_run_and_for_all(played: Service) -> None:
    wide = pipeline({f"t{number}": task("comp") for number in range(12)})
    running: set[str] = set()
    full = asyncio.Event()
    most = 0

    async def gate(path: str) -> None:
        nonlocal most
        token = f"{path}-{id(asyncio.current_task())}"
        running.add(token)
        most = max(most, len(running))
        if len(running) == 3:
            full.set()
        # Nothing ends before as many run as may: that they do run must not depend on timing.
        await full.wait()
        await asyncio.sleep(0.005)
        running.discard(token)

    pods_of(played).gate = gate
    played.options = replace(played.options, parallelism=3, run_parallelism=2)
    await played.start()
    runs = [played.submit(wide) for _ in range(3)]
    for run_id in runs:
        assert (await played.wait(run_id)).status.phase is RunPhase.SUCCEEDED
    assert most == 3


async def test_a_step_gets_its_own_folder_and_its_run_read_only(played: Service) -> None:
    pods_of(played).behave = add_one
    await played.start()
    run_id = played.submit(CHAIN)
    await played.wait(run_id)
    request = next(iter(played.pods.requests.values()))
    claims = [m for m in request.mounts if getattr(m, "claim", None) == "root"]
    run, own = claims
    assert (run.sub_path, run.read_only) == (f"test-pipeline/{run_id}", True)  # type: ignore[union-attr]
    assert own.sub_path.startswith(f"test-pipeline/{run_id}/a/")  # type: ignore[union-attr]
    assert not own.read_only  # type: ignore[union-attr]
    assert request.env["MLFLOW_TRACKING_URI"] == "http://mlflow"
    assert request.env["MLFLOW_TRACKING_TOKEN"] == SecretKey("mlflow", "token")
    assert request.env["MLFLOW_EXPERIMENT_NAME"] == "Default"


@pytest.fixture
def remote(played: Service) -> Service:
    """Its steps mount no volume."""
    transfer = Transfer("http://here:1", StepTokens(b"key"), Exchange(played.root))
    played.options = replace(played.options, transfer=transfer)
    return played


async def test_a_step_without_a_volume_has_a_token_instead(remote: Service) -> None:
    pods = pods_of(remote)
    known: list[object] = []

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        assert remote.engine is not None
        pod = next(reversed(pods.requests))
        known.append(remote.engine.under_way(remote.runs[0], pod))
        known.append(remote.engine.under_way("another", pod))
        return add_one(path, given)

    pods.behave = behave
    engine = await remote.start()
    run_id = remote.submit(CHAIN)
    state = await remote.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED
    request = next(iter(pods.requests.values()))
    assert not [m for m in request.mounts if isinstance(m, ClaimMount)]
    assert EmptyMount(remote.root.mount) in request.mounts
    assert request.command[2:] == ("remote", "http://here:1/steps/v1")
    token = request.secret_env["TOOLKIT_STEP_TOKEN"]
    assert StepTokens(b"key").verify(token) == f"{run_id}.{request.name}"
    assert token not in str(request.env)
    first = remote.root.attempt("", "test-pipeline", run_id, "a", 0)
    assert known[:2] == [first, None]
    assert engine.under_way(run_id, request.name) is None


async def test_a_run_that_is_just_taken_up_asks_steps_to_come_again(remote: Service) -> None:
    pods = pods_of(remote)
    gate = asyncio.Event()

    async def wait(path: str) -> None:
        await gate.wait()

    pods.behave, pods.gate = add_one, wait
    engine = await remote.start()
    run_id = remote.submit(CHAIN)
    await remote.until(lambda: bool(pods.requests))
    (pod,) = pods.requests
    assert engine.under_way(run_id, pod) is not None
    await remote.kill()
    # As a new process finds it: first nothing, then the run, then its attempt.
    engine = Engine(
        remote.store.runs,
        pods,
        remote.root,
        Environments(pods, EnvironmentOptions(remote.environments, "", "step")),
        remote.options,
    )
    with pytest.raises(StartingError):
        engine.under_way(run_id, pod)
    engine = await remote.start()
    with pytest.raises(StartingError):
        engine.under_way(run_id, pod)
    gate.set()
    assert (await remote.wait(run_id)).status.phase is RunPhase.SUCCEEDED


async def test_what_a_killed_step_had_sent_is_removed(remote: Service) -> None:
    pods = pods_of(remote)
    staged: list[Path] = []

    def behave(path: str, given: dict[str, Any]) -> PodStatus:
        folder = Path(given["folder"])
        staged.append(folder.with_name(f"{folder.name}.part"))
        staged[-1].mkdir()
        return PodStatus("", PodPhase.FAILED, reason="OOMKilled")

    pods.behave = behave
    await remote.start()
    state = await remote.wait(remote.submit(CHAIN))
    assert state.tasks["a"].reason == "OOMKilled"
    await remote.until(lambda: not staged[0].exists())


async def test_packages_are_for_the_step_itself_without_a_volume(remote: Service) -> None:
    pods = pods_of(remote)
    seen: list[dict[str, Any]] = []

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        seen.append(given)
        return {"packages": ["humanize==4.14.0"]}

    pods.behave = behave
    await remote.start()
    script = (
        'if ! [ -x "$(command -v pip)" ]; then\n    python3 -m ensurepip || echo\nfi\n'
        'PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet \'humanize\' && "$0" "$@"'
    )
    installing = pipeline(
        {"a": task("comp")}, executors={"exec": container("sh", "-c", script, "true")}
    )
    state = await remote.wait(remote.submit(installing))
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks["a"].message
    assert list(pods.started) == [state.tasks["a"].pod]
    assert seen[0]["environment"] == "/toolkit/environment/site"
    assert seen[0]["install"]["groups"][0]["requirements"] == ["humanize"]
    assert seen[0]["command"] == ["true"]
    assert EmptyMount("/toolkit/environment") in pods.requests[state.tasks["a"].pod].mounts
    assert state.locks[state.tasks["a"].lock] == ("humanize==4.14.0",)


async def test_resources_and_image_take_placeholders(played: Service) -> None:
    spec = pipeline(
        {"a": task("comp", size=constant("512Mi"), tag=constant("3.11"))},
        {
            "comp": {
                "executorLabel": "exec",
                "inputDefinitions": parameters(size="STRING", tag="STRING"),
            }
        },
        {
            "exec": container(
                "true",
                image="python:{{$.inputs.parameters['tag']}}",
                resources={
                    "resourceMemoryLimit": "{{$.inputs.parameters['size']}}",
                    "resourceCpuLimit": "500m",
                },
                env=[{"name": "A", "value": "b"}],
            )
        },
    )
    await played.start()
    await played.wait(played.submit(spec))
    request = next(iter(played.pods.requests.values()))
    assert request.image == "python:3.11"
    assert request.resources.memory_limit == "512Mi"
    assert request.resources.cpu_limit == "500m"
    assert request.env["A"] == "b"


async def test_a_foreign_pipeline_root_is_refused(played: Service) -> None:
    await played.start()
    state = await played.wait(played.submit(CHAIN, root="gs://elsewhere/x"))
    assert state.status.phase is RunPhase.FAILED
    assert "gs://elsewhere/x" in state.status.message
    assert not played.pods.started


@pytest.mark.parametrize("lost", ["all", "ends"])
async def test_an_answer_of_the_store_that_is_lost(
    played: Service, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """What was committed when the connection broke is neither lost nor recorded twice."""
    pods_of(played).behave = add_one
    append, told = played.store.runs.append, set()

    def commits_and_breaks(run_id: str, found: Any, sequence: int, **how: Any) -> Any:
        ends = any(isinstance(each, events.TaskSucceeded) for each in found)
        breaks = sequence not in told and (ends or lost == "all")
        if breaks:
            # Before the end is there to be seen by who waits for it.
            told.add(sequence)
        recorded = append(run_id, found, sequence, **how)
        if breaks:
            raise StoreError("the connection was lost")
        return recorded

    monkeypatch.setattr("toolkit_pipelines.engine._STORE_PAUSE", 0.01)
    monkeypatch.setattr(played.store.runs, "append", commits_and_breaks)
    await played.start()
    run_id = played.submit(CHAIN)
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED
    assert len(told) >= 3
    ended = [each.task for each in played.events(run_id) if isinstance(each, events.TaskSucceeded)]
    assert sorted(ended) == sorted(state.tasks)
    assert set(played.pods.started.values()) == {1}
    # Their pods are cleaned up as ever.
    await played.until(lambda: not played.pods.statuses)


async def test_many_runs_at_once(played: Service) -> None:
    pods_of(played).behave = add_one
    await played.start()
    runs = [played.submit(CHAIN) for _ in range(20)]
    for run_id in runs:
        assert (await played.wait(run_id)).status.phase is RunPhase.SUCCEEDED


async def test_a_deleted_run_leaves_no_files_and_no_pod(played: Service) -> None:
    pods_of(played).behave = add_one
    engine = await played.start()
    run_id = played.submit(CHAIN)
    await played.wait(run_id)
    await played.until(lambda: not played.pods.statuses)
    assert list(played.root.folder.rglob(run_id))
    played.store.runs.delete(run_id)
    await asyncio.to_thread(engine.forget, run_id)
    assert not list(played.root.folder.rglob(run_id))


async def test_a_run_that_ends_just_as_it_is_taken_up_leaves_no_pod(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods_of(played).behave = add_one
    await played.start()
    run_id = played.submit(CHAIN)
    await played.wait(run_id)
    await played.until(lambda: not played.pods.statuses)
    await played.kill()
    # The last one was not deleted, and the run's end comes after it was found under way.
    (name, request) = list(played.pods.requests.items())[-1]
    played.pods.statuses[name] = PodStatus(name, PodPhase.SUCCEEDED, labels=request.labels)
    monkeypatch.setattr(type(played.store.runs), "active_runs", lambda runs: (run_id,))
    await played.start()
    await played.until(lambda: not played.pods.statuses)


async def test_a_damaged_run_does_not_stop_the_others(
    played: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods_of(played).behave = add_one
    bad = played.submit(CHAIN)
    read = played.store.runs.events

    def damaged(run_id: str, after: int = 0) -> tuple[events.Event, ...]:
        if run_id == bad:
            raise ValueError(f"run {run_id}, event 1: damaged")
        return read(run_id, after)

    monkeypatch.setattr(type(played.store.runs), "events", lambda self, *a: damaged(*a))
    await played.start()
    good = played.submit(CHAIN)
    assert (await played.wait(good)).status.phase is RunPhase.SUCCEEDED
    assert played.store.runs.run(bad).phase is RunPhase.PENDING


async def test_nested_pipelines_hand_values_in_and_out(played: Service) -> None:
    inner = {
        "dag": {
            "tasks": {
                "first": task("comp", x={"componentInputParameter": "n"}),
                "second": task("comp", x=output("first")),
            },
            "outputs": {
                "parameters": {
                    "result": {
                        "valueFromParameter": {
                            "producerSubtask": "second",
                            "outputParameterKey": "Output",
                        }
                    }
                }
            },
        },
        "inputDefinitions": parameters(n="NUMBER_INTEGER"),
        "outputDefinitions": parameters(result="NUMBER_INTEGER"),
    }
    spec = pipeline(
        {
            "inner": task("inner", n=constant(10)),
            "last": task("comp", x=output("inner", "result")),
        },
        {**CHAIN["components"], "inner": inner},
    )
    pods_of(played).behave = add_one
    await played.start()
    state = await played.wait(played.submit(spec))
    assert state.status.phase is RunPhase.SUCCEEDED
    assert state.tasks["inner"].outputs.parameters == {"result": 12}
    assert state.tasks["inner/second"].outputs.parameters == {"Output": 12}
    assert state.tasks["last"].outputs.parameters == {"Output": 13}
    assert state.tasks["inner"].pod == ""


async def test_settings_of_the_platform_come_from_the_dag_and_from_other_tasks(
    played: Service,
) -> None:
    components = {
        "made": {
            "executorLabel": "made",
            "outputDefinitions": parameters(Output="STRING"),
        },
        "comp": {"executorLabel": "exec"},
        "inner": {
            "inputDefinitions": parameters(selector="STRUCT"),
            "dag": {"tasks": {"made": task("made"), "t": task("comp")}},
        },
    }
    executors = {
        "made": container("echo"),
        "exec": container("echo", resources={"accelerator": {"resourceType": "nvidia.com/gpu"}}),
    }
    document = pipeline(
        {"inner": task("inner", selector={"componentInputParameter": "selector"})},
        components,
        executors,
        inputDefinitions=parameters(selector="STRUCT"),
    )
    platform = {
        "nodeSelector": {"nodeSelectorJson": {"componentInputParameter": "selector"}},
        "imagePullSecret": [{"secretNameParameter": output("made")}],
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    executors_of = {"deploymentSpec": {"executors": {"exec": platform}}}
    both = {
        "pipeline_spec": document,
        "platform_spec": {"platforms": {"kubernetes": executors_of}},
        "pipelineInfo": document["pipelineInfo"],
    }
    pods_of(played).behave = lambda path, given: (
        {"parameters": {"Output": "hub"}} if path == "inner/made" else {}
    )
    await played.start()
    state = await played.wait(played.submit(both, {"selector": {"pool": "gpu"}}))
    assert state.status.phase is RunPhase.SUCCEEDED, state.status.message
    request = played.pods.requests[state.tasks["inner/t"].pod]
    assert request.placement.node_selector == {"pool": "gpu"}
    assert request.placement.tolerations == ({"key": "nvidia.com/gpu", "operator": "Exists"},)
    assert request.pull_secrets == ("hub",)
    assert request.gpus == GpuRequest(None, "nvidia.com/gpu")


async def test_a_setting_that_is_none_fails_its_task_alone(played: Service) -> None:
    document = pipeline({"t": task("comp")}, inputDefinitions=parameters(name="STRING"))
    platform = {"imagePullSecret": [{"secretNameParameter": {"componentInputParameter": "name"}}]}
    executors_of = {"deploymentSpec": {"executors": {"exec": platform}}}
    both = {
        "pipeline_spec": document,
        "platform_spec": {"platforms": {"kubernetes": executors_of}},
        "pipelineInfo": document["pipelineInfo"],
    }
    await played.start()
    state = await played.wait(played.submit(both, {"name": "Not A Name"}))
    assert state.tasks["t"].reason == "CannotStart"
    assert "'Not A Name' is not the name of an object" in state.tasks["t"].message
    assert not played.pods.started


async def test_why_steps_wait_is_counted_over_all_runs(played: Service) -> None:
    reason = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."

    async def gate(path: str) -> None:
        for name in list(played.pods.statuses):
            played.pods.publish(
                PodStatus(name, PodPhase.PENDING, reason="Unschedulable", message=reason)
            )
        await asyncio.Event().wait()

    pods_of(played).gate = gate
    engine = await played.start()
    assert engine.waiting_steps() == {}
    for _ in range(2):
        played.submit(pipeline({"a": task("comp")}))
    await played.until(lambda: engine.waiting_steps() == {reason: 2})


async def test_a_step_may_not_mount_what_is_not_for_steps(played: Service) -> None:
    played.options = replace(played.options, reserved_labels=("storage.juju.is/name",))
    played.pods.objects["persistentvolumeclaims", "pipelines-state"] = {
        "labels": {"storage.juju.is/name": "state"}
    }
    document = pipeline({"t": task("comp"), "u": task("comp")})
    mount = {"pvcMount": [{"constant": "pipelines-state", "mountPath": "/mnt"}]}
    both = {
        "pipeline_spec": document,
        "platform_spec": {
            "platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec": mount}}}}
        },
        "pipelineInfo": document["pipelineInfo"],
    }
    await played.start()
    state = await played.wait(played.submit(both))
    assert state.tasks["t"].reason == "CannotStart"
    assert "the claim 'pipelines-state' is not for steps" in state.tasks["t"].message
    assert not played.pods.started
