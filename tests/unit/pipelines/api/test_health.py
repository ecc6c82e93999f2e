"""Whether the service works, and what steps wait for."""

from __future__ import annotations

import dataclasses

import pytest
from starlette.testclient import TestClient

from toolkit_objects import Location, ObjectStore
from toolkit_pipelines import api, outbox
from toolkit_pipelines.api.context import Context
from toolkit_pipelines.delivery import Delayed
from toolkit_pipelines.events import RunEnded, RunPhase
from toolkit_pipelines.store import Store
from toolkit_pipelines.store.interface import Recipient

from ..conftest import Bench, NewRun


def test_nothing_waits(client: TestClient) -> None:
    records = {"runs": 0, "reason": "", "refused": 0, "refusal": ""}
    assert client.get("/waiting").json() == {"steps": 0, "reasons": [], "records": records}


def test_what_mlflow_does_not_take(
    context: Context, store: Store, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    monkeypatch.setattr(store.runs, "_recorder", outbox.record)
    store.runs.append(
        run.run_id, [RunEnded(run_id=run.run_id, time=5.0, phase=RunPhase.FAILED)], 1
    )
    (entry,) = store.runs.outbox(Recipient.MLFLOW)
    store.runs.refused(entry.entry_id, "400: no", 6.0)
    asked = dataclasses.replace(context, clock=lambda: 7.0, delayed=lambda: Delayed(3, "away"))
    with TestClient(api.application(asked), base_url="http://test/apis/v2beta1") as client:
        found = client.get("/waiting").json()["records"]
    assert found == {"runs": 3, "reason": "away", "refused": 1, "refusal": "400: no"}
    later = dataclasses.replace(context, clock=lambda: 5.0 + 24 * 3600 + 1)
    with TestClient(api.application(later), base_url="http://test/apis/v2beta1") as client:
        assert client.get("/waiting").json()["records"]["refused"] == 0


def test_what_steps_wait_for(client: TestClient, workloads: Bench) -> None:
    workloads.steps = {f"reason {number}": 100 - number for number in range(50)}
    found = client.get("/waiting").json()
    assert found["steps"] == sum(workloads.steps.values())
    assert found["reasons"][0] == {"steps": 100, "reason": "reason 0"}
    assert len(found["reasons"]) == 20


def test_no_object_store_is_no_problem(client: TestClient) -> None:
    found = client.get("/artifact_store").json()
    assert found == {"uri": "", "problem": "", "transient": False}


def test_an_object_store_that_does_not_answer(context: Context) -> None:
    location = Location("bucket", "a", "http://127.0.0.1:1", path_style=True)
    store = ObjectStore(location, {"access-key": "key", "secret-key": "hidden"})
    application = api.application(dataclasses.replace(context, objects=store))
    with TestClient(application, base_url="http://test/apis/v2beta1") as client:
        found = client.get("/artifact_store").json()
    assert (found["uri"], found["transient"]) == ("s3://bucket/a", True)
    assert "s3://bucket/a at http://127.0.0.1:1 cannot be listed" in found["problem"]
    assert "hidden" not in found["problem"]


def test_who_has_the_token_may_do_all(client: TestClient) -> None:
    for query in ("", "?namespace=ml&resources=VIEWERS&verb=GET", "?resources=1&verb=3"):
        answer = client.get(f"/auth{query}")
        assert (answer.status_code, answer.json()) == (200, {}), query


def test_what_nobody_can_be_asked_for(client: TestClient) -> None:
    for query, said in {
        "namespace=other": "namespace",
        "resources=EVERYTHING": "must be one of UNASSIGNED_RESOURCES, VIEWERS",
        "verb=LIST": "must be one of UNASSIGNED_VERB, CREATE, GET, DELETE",
    }.items():
        answer = client.get(f"/auth?{query}")
        assert answer.status_code == 400, query
        assert said in answer.json()["message"]
