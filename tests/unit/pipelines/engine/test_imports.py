"""Importers: what another run made is there for the step that takes it, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit_jobs import ClaimMount
from toolkit_pipelines.events import RunPhase
from toolkit_pipelines.naming import salt
from toolkit_pipelines.runstate import TaskPhase

from .conftest import PlayedPods, Service
from .specs import ARTIFACTS, constant, container, pipeline, task

EXECUTORS = {
    "exec": container("echo"),
    "importer": {"importer": {"artifactUri": {"runtimeParameter": "uri"}, "metadata": {"k": 1}}},
}
MAKING = pipeline({"make": task("make")}, ARTIFACTS, EXECUTORS)


def importing(uri: str) -> dict[str, Any]:
    source = {"producerTask": "importer", "outputArtifactKey": "artifact"}
    tasks = {
        "importer": task("importer", uri=constant(uri)),
        "use": {
            **task("use"),
            "inputs": {"artifacts": {"model": {"taskOutputArtifact": source}}},
        },
    }
    return pipeline(tasks, ARTIFACTS, EXECUTORS)


async def made(service: Service) -> str:
    """Let a run make a model; give its URI."""

    def behave(path: str, given: dict[str, Any]) -> dict[str, Any]:
        if path != "make":
            return {}
        (out,) = given["executor_input"]["outputs"]["artifacts"]["out"]["artifacts"]
        return {"artifacts": {"out": [{**out, "metadata": {}}]}}

    pods = service.pods
    assert isinstance(pods, PlayedPods)
    pods.behave = behave
    await service.start()
    state = await service.wait(service.submit(MAKING))
    (model,) = state.tasks["make"].outputs.artifacts["out"]
    return model.uri


async def test_a_step_has_what_another_run_made_read_only(played: Service) -> None:
    uri = await made(played)
    run_id = played.submit(importing(uri))
    state = await played.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED, state.tasks
    importer = state.tasks["importer"]
    assert (importer.phase, importer.pod) == (TaskPhase.SUCCEEDED, "")
    (model,) = state.tasks["use"].inputs.artifacts["model"]
    assert (model.uri, model.type, model.metadata) == (uri, "system.Model", {"k": 1})
    below = played.root.below(uri)
    assert below is not None
    folder = below.rpartition("/")[0]
    assert folder.endswith(salt(played.runs[0], "make", 0))
    request = played.pods.requests[state.tasks["use"].pod]
    mounts = [m for m in request.mounts if isinstance(m, ClaimMount) and m.sub_path == folder]
    assert [(m.path, m.read_only) for m in mounts] == [(f"{played.root.mount}/{folder}", True)]
    (record,) = played.store.runs.artifacts_of(run_id)
    assert (record.task, record.uri) == ("importer", uri)


async def test_what_is_elsewhere_is_recorded_and_not_fetched(played: Service) -> None:
    await made(played)
    state = await played.wait(played.submit(importing("gs://bucket/model")))
    assert state.status.phase is RunPhase.SUCCEEDED
    (model,) = state.tasks["use"].inputs.artifacts["model"]
    assert model.uri == "gs://bucket/model"


@pytest.mark.parametrize(
    ("below", "problem"),
    [
        ("test-pipeline/{run}", "is no artifact of a run"),
        ("test-pipeline/{run}/make/{salt}.json", "is no artifact of a run"),
        ("test-pipeline/{run}/make/{salt}", "is no artifact of a run"),
        ("test-pipeline/{run}/make/0123456789abcdef/out", "is not there"),
    ],
)
async def test_what_is_no_artifact_is_not_for_steps(
    played: Service, below: str, problem: str
) -> None:
    await made(played)
    run = played.runs[0]
    place = below.format(run=run, salt=salt(run, "make", 0))
    state = await played.wait(played.submit(importing(f"{played.root.uri}/{place}")))
    assert state.tasks["use"].reason == "CannotStart"
    assert problem in state.tasks["use"].message
