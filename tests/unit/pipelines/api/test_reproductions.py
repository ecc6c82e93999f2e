"""Runs made again, and compared, over the API."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from starlette.testclient import TestClient

from toolkit_pipelines.events import Artifact, RunPhase, TaskStarted, TaskSucceeded, Values
from toolkit_pipelines.store import Store

from ..conftest import Bench
from .test_runs import created, end

Spec = dict[str, Any]
INSTALL = (
    'if ! [ -x "$(command -v pip)" ]; then\n    python3 -m ensurepip || echo\nfi\n'
    'PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet \'numpy\' && "$0" "$@"'
)
MODEL = Artifact("m", "system.Model", "file:///m", digest="none")


@pytest.fixture
def installing(pipeline: Spec) -> Spec:
    executor = pipeline["deploymentSpec"]["executors"]["exec-add"]
    executor["container"]["command"] = ["sh", "-c", INSTALL, "true"]
    return pipeline


def ran(
    store: Store,
    run_id: str,
    outputs: Values = Values({"n": 1}, {"model": (MODEL,)}),  # noqa: B008 - an immutable value
    packages: tuple[str, ...] = ("numpy==1.26.4",),
) -> None:
    """Let the run's task run and the run end."""
    common = {"run_id": run_id, "task": "add"}
    store.runs.append(
        run_id,
        [
            TaskStarted(time=20.0, pod="pod", **common),
            TaskSucceeded(
                time=30.0,
                outputs=outputs,
                image="python:3.11",
                lock=f"lock of {packages}" if packages else "",
                packages=packages,
                **common,
            ),
        ],
        store.runs.run(run_id).sequence,
    )
    end(store, run_id)


def again(client: TestClient, run_id: str) -> Any:
    reply = client.post(f"/runs/{run_id}:reproduce", json={})
    assert reply.status_code == 200, reply.text
    return reply.json()


def compared(client: TestClient, run_id: str, **query: str) -> Any:
    reply = client.get(f"/runs/{run_id}:compare", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_run_is_made_again_from_its_record(
    client: TestClient, pipeline: Spec, store: Store
) -> None:
    config = {"parameters": {"a": 7}, "pipeline_root": "team/a"}
    first = created(client, pipeline, display_name="nightly", runtime_config=config)
    ran(store, first["run_id"])
    made = again(client, first["run_id"])
    assert made["run_id"] != first["run_id"]
    for name in ("display_name", "experiment_id", "runtime_config", "spec_digest"):
        assert made[name] == first[name]
    assert made["pipeline_spec"] == pipeline
    assert (made["reproduces"], made["caching"], made["state"]) == (
        first["run_id"],
        "force",
        "PENDING",
    )
    assert client.get(f"/runs/{made['run_id']}").json()["reproduces"] == first["run_id"]
    assert store.runs.active_runs() == (made["run_id"],)


def test_a_run_of_a_version_and_of_an_instant(
    client: TestClient, pipeline: Spec, store: Store
) -> None:
    stored = client.post("/pipelines", json={"name": "p"}).json()["pipeline_id"]
    path = f"/pipelines/{stored}/versions"
    client.post(path, json={"name": "v", "pipeline_spec": pipeline})
    reference = {"pipeline_id": stored}
    first = created(client, pipeline, pipeline_spec=None, pipeline_version_reference=reference)
    ran(store, first["run_id"])
    client.post(path, json={"name": "newer", "pipeline_spec": {**pipeline, "sdkVersion": "kfp"}})
    made = again(client, first["run_id"])
    assert made["pipeline_version_reference"] == first["pipeline_version_reference"]
    assert made["spec_digest"] == first["spec_digest"]


def test_refusals_say_what_was_found(client: TestClient, pipeline: Spec, store: Store) -> None:
    run_id = created(client, pipeline)["run_id"]
    going = client.post(f"/runs/{run_id}:reproduce")
    assert (going.status_code, going.json()["code"]) == (400, 9)
    assert f"run {run_id} is PENDING" in going.json()["message"]
    unknown = client.post("/runs/none:reproduce")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 5)
    end(store, run_id, RunPhase.FAILED)
    experiment = store.runs.run(run_id).experiment_id
    client.post(f"/experiments/{experiment}:archive")
    archived = client.post(f"/runs/{run_id}:reproduce")
    assert archived.status_code == 400
    assert "archived" in archived.json()["message"]
    client.post(f"/experiments/{experiment}:unarchive")
    assert again(client, run_id)["reproduces"] == run_id


def test_a_spec_that_is_not_the_recorded_one_is_refused(
    client: TestClient, pipeline: Spec, store: Store, tmp_path: Path
) -> None:
    run = created(client, pipeline)
    end(store, run["run_id"])
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/pipelines.db")
    with engine.begin() as connection:
        changed = sqlalchemy.text("UPDATE specs SET body = :body WHERE digest = :digest")
        connection.execute(changed, {"body": b"{}", "digest": run["spec_digest"]})
    engine.dispose()
    reply = client.post(f"/runs/{run['run_id']}:reproduce")
    assert (reply.status_code, reply.json()["code"]) == (400, 9)
    assert f"had the SHA-256 {run['spec_digest']}" in reply.json()["message"]


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"python:3.11 numpy": ("numpy==2.3.5",)}, "numpy==1.26.4 is numpy==2.3.5 now"),
        ({"python:3.11 numpy": ("numpy==1.26.4",)}, ""),
        # Not installed yet, or nobody can know before.
        ({}, ""),
    ],
)
def test_other_packages_are_refused_by_name(
    client: TestClient,
    installing: Spec,
    store: Store,
    workloads: Bench,
    now: Mapping[str, tuple[str, ...]],
    words: str,
) -> None:
    workloads.locks.update(now)
    run_id = created(client, installing)["run_id"]
    ran(store, run_id)
    reply = client.post(f"/runs/{run_id}:reproduce")
    if not words:
        assert reply.status_code == 200, reply.text
        return
    assert (reply.status_code, reply.json()["code"]) == (400, 9)
    assert words in reply.json()["message"]
    assert "task 'add'" in reply.json()["message"]
    assert store.runs.active_runs() == ()


def test_a_comparison_waits_for_the_end_and_then_tells(
    client: TestClient, pipeline: Spec, store: Store
) -> None:
    first = created(client, pipeline)["run_id"]
    ran(store, first)
    second = again(client, first)["run_id"]
    assert compared(client, second) == {
        "run_id": second,
        "with": first,
        "states": ["SUCCEEDED", "PENDING"],
        "outcome": "PENDING",
    }
    other = dataclasses.replace(MODEL, digest=f"sha256:{'a' * 64}")
    ran(store, second, Values({"n": 1}, {"model": (other,)}), ("numpy==2.3.5",))
    found = compared(client, second)
    assert found["outcome"] == "DIFFERENT"
    assert found["counts"] == {"SAME": 0, "NOT_COMPARABLE": 0, "DIFFERENT": 1}
    assert len(set(found["spec_digests"])) == len(set(found["parameters_digests"])) == 1
    (task,) = found["tasks"]
    assert task["images"] == ["python:3.11", "python:3.11"]
    assert task["packages_changed"] == ["numpy==1.26.4 is numpy==2.3.5 now"]
    assert [each["outcome"] for each in task["outputs"]] == ["SAME", "DIFFERENT"]
    assert task["outputs"][1]["digests"] == ["none", other.digest]


def test_any_runs_can_be_compared(client: TestClient, pipeline: Spec, store: Store) -> None:
    first, second = (created(client, pipeline)["run_id"] for _ in range(2))
    for run_id in (first, second):
        ran(store, run_id)
    found = compared(client, second, **{"with": first})
    assert (found["outcome"], found["with"]) == ("SAME", first)
    assert "packages_changed" not in found["tasks"][0]
    alone = client.get(f"/runs/{second}:compare")
    assert alone.status_code == 400
    assert "reproduces none" in alone.json()["message"]
    gone = client.get(f"/runs/{second}:compare?with=none")
    assert gone.status_code == 404
    assert "'none'" in gone.json()["message"]
