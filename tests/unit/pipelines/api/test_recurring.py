from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from starlette.testclient import TestClient

from toolkit_pipelines.api.context import Context
from toolkit_pipelines.firings import Firings
from toolkit_pipelines.store import Store

Spec = dict[str, Any]
CRON = {"cron_schedule": {"cron": "0 30 7 * * mon-fri"}}
SECOND = {"periodic_schedule": {"interval_second": 1}}


def body(pipeline: Spec | None, **more: Any) -> dict[str, Any]:
    return {
        "display_name": "nightly",
        "pipeline_spec": pipeline,
        "runtime_config": {"parameters": {"a": 1}},
        "trigger": CRON,
        "mode": "ENABLE",
        "max_concurrency": "1",
        **more,
    }


def created(client: TestClient, pipeline: Spec | None, **more: Any) -> dict[str, Any]:
    reply = client.post("/recurringruns", json=body(pipeline, **more))
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def version(client: TestClient, pipeline: Spec) -> dict[str, str]:
    made = client.post("/pipelines", json={"name": "p"}).json()
    path = f"/pipelines/{made['pipeline_id']}/versions"
    reply = client.post(path, json={"name": "v", "pipeline_spec": pipeline}).json()
    return {name: reply[name] for name in ("pipeline_id", "pipeline_version_id")}


def test_create_and_get(client: TestClient, pipeline: Spec) -> None:
    made = created(client, pipeline, description="text", no_catchup=True)
    experiment = client.get(f"/experiments/{made['experiment_id']}").json()
    assert experiment["display_name"] == "Default"
    assert made == {
        "recurring_run_id": made["recurring_run_id"],
        "display_name": "nightly",
        "description": "text",
        "pipeline_spec": pipeline,
        "runtime_config": {"parameters": {"a": 1}},
        "max_concurrency": "1",
        "trigger": CRON,
        "mode": "ENABLE",
        "status": "ENABLED",
        "no_catchup": True,
        "created_at": "2027-01-15T08:00:00.000000Z",
        "updated_at": "2027-01-15T08:00:00.000000Z",
        "experiment_id": made["experiment_id"],
        # It is a Friday; what comes next does not, before Monday.
        "next_scheduled_at": "2027-01-18T07:30:00.000000Z",
        "run_count": 0,
    }
    assert client.get(f"/recurringruns/{made['recurring_run_id']}").json() == made


@pytest.mark.parametrize(
    ("trigger", "shown", "following"),
    [
        (
            {"periodic_schedule": {"interval_second": "90"}},
            {"periodic_schedule": {"interval_second": "90"}},
            "2027-01-15T08:01:30.000000Z",
        ),
        (
            {
                "cron_schedule": {
                    "cron": " @daily ",
                    "start_time": "2027-02-01T01:00:00+01:00",
                    "end_time": "2027-02-09T00:00:00.9Z",
                }
            },
            {
                "cron_schedule": {
                    "cron": "@daily",
                    "start_time": "2027-02-01T00:00:00.000000Z",
                    "end_time": "2027-02-09T00:00:00.000000Z",
                }
            },
            "2027-02-02T00:00:00.000000Z",
        ),
        (None, None, "2027-01-15T08:00:00.000000Z"),
        ({}, None, "2027-01-15T08:00:00.000000Z"),
    ],
)
def test_triggers(
    client: TestClient, pipeline: Spec, trigger: Any, shown: Any, following: str
) -> None:
    made = created(client, pipeline, trigger=trigger)
    assert made.get("trigger") == shown
    assert made["next_scheduled_at"] == following
    listed = client.get("/recurringruns").json()["recurringRuns"]
    assert [each.get("trigger") for each in listed] == [shown]


@pytest.mark.parametrize(
    ("mode", "status"),
    [("ENABLE", "ENABLED"), (1, "ENABLED"), ("DISABLE", "DISABLED"), (None, "DISABLED")],
)
def test_modes(client: TestClient, pipeline: Spec, mode: Any, status: str) -> None:
    made = created(client, pipeline, mode=mode)
    assert made["status"] == status
    assert ("next_scheduled_at" in made) == (status == "ENABLED")


def cron(expression: Any, **more: Any) -> dict[str, Any]:
    return {"trigger": {"cron_schedule": {"cron": expression, **more}}}


def every(seconds: Any, **more: Any) -> dict[str, Any]:
    return {"trigger": {"periodic_schedule": {"interval_second": seconds, **more}}}


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"display_name": ""}, "display_name", "needs a name"),
        ({"display_name": "../x"}, "display_name", "path"),
        ({"display_name": "x" * 1_000_000}, "display_name", "255"),
        ({"description": "\0"}, "description", "U+0000"),
        ({"namespace": "other"}, "namespace", "leave it out"),
        ({"service_account": "admin"}, "service_account", "leave it out"),
        ({"max_concurrency": None}, "max_concurrency", "from 1 to 10"),
        ({"max_concurrency": 0}, "max_concurrency", "from 1 to 10, not 0"),
        ({"max_concurrency": "11"}, "max_concurrency", "from 1 to 10, not 11"),
        ({"max_concurrency": "-1"}, "max_concurrency", "not -1"),
        ({"max_concurrency": 1.5}, "max_concurrency", "whole number"),
        ({"max_concurrency": True}, "max_concurrency", "whole number"),
        ({"max_concurrency": "9" * 20}, "max_concurrency", "64 bits"),
        ({"max_concurrency": "9" * 5000}, "max_concurrency", "whole number"),
        ({"no_catchup": "yes"}, "no_catchup", "true or false"),
        ({"mode": "ON"}, "mode", "ENABLE or DISABLE, not 'ON'"),
        ({"mode": True}, "mode", "ENABLE"),
        ({"mode": ["ENABLE"]}, "mode", "ENABLE"),
        ({"trigger": []}, "trigger", "must be an object"),
        ({"trigger": {"cron": "@daily"}}, "trigger", "knows cron_schedule, periodic_schedule"),
        ({"trigger": {"cron_schedule": {}}}, "trigger", "give cron_schedule a cron"),
        ({"trigger": {"cron_schedule": "x"}}, "trigger.cron_schedule", "object"),
        ({"trigger": CRON | SECOND}, "trigger", "not both"),
        (cron(""), "trigger.cron_schedule.cron", "say when"),
        (cron(5), "trigger.cron_schedule.cron", "string"),
        (cron("0 60 * * * *"), "trigger.cron_schedule.cron", "the minute '60'"),
        (cron("30 7 * *"), "trigger.cron_schedule.cron", "six"),
        (cron("0 0 0 31 6 *"), "trigger.cron_schedule.cron", "never comes"),
        (cron("@every -5s"), "trigger.cron_schedule.cron", "no interval"),
        (cron("* " * 5000), "trigger.cron_schedule.cron", "1000"),
        (cron("@daily", timezone="UTC"), "trigger.cron_schedule", "not 'timezone'"),
        (cron("@daily", start_time="soon"), "trigger.cron_schedule.start_time", "no time such"),
        (cron("@daily", start_time=5), "trigger.cron_schedule.start_time", "string"),
        (
            cron("@daily", end_time="2028-01-01T00:00:00"),
            "trigger.cron_schedule.end_time",
            "time zone",
        ),
        (
            cron("@daily", start_time="1969-12-31T23:59:59Z"),
            "trigger.cron_schedule.start_time",
            "not between 1970",
        ),
        (
            cron("@daily", end_time="9999-12-31T23:59:59-01:00"),
            "trigger.cron_schedule.end_time",
            "and 9999",
        ),
        (
            cron("@daily", start_time="2029-01-01T00:00:00Z", end_time="2028-01-01T00:00:00Z"),
            "trigger.cron_schedule.end_time",
            "before start_time",
        ),
        (
            every(60, end_time="2027-01-15T08:00:30Z"),
            "trigger.periodic_schedule.end_time",
            "nothing would run",
        ),
        (every(0), "trigger.periodic_schedule.interval_second", "at least one second"),
        (every(-5), "trigger.periodic_schedule.interval_second", "not -5"),
        (every(None), "trigger", ""),
        (every("x"), "trigger.periodic_schedule.interval_second", "whole number"),
        (every(str(2**63)), "trigger.periodic_schedule.interval_second", "64 bits"),
        (every(2**62), "trigger.periodic_schedule", "nothing would run"),
        ({"pipeline_spec": None}, "pipeline_spec", "give either"),
        ({"pipeline_version_id": "x"}, "pipeline_version_id", "pipeline_version_reference"),
        ({"runtime_config": {}}, "", "a"),
        ({"runtime_config": {"parameters": {"a": "[[Index]]"}}}, "", "integer"),
        (
            {"runtime_config": {"parameters": {"a": 1}, "pipeline_root": "../x"}},
            "runtime_config.pipeline_root",
            "root",
        ),
    ],
)
def test_refused(
    client: TestClient, pipeline: Spec, change: dict[str, Any], field: str, said: str
) -> None:
    reply = client.post("/recurringruns", content=json.dumps(body(pipeline, **change)))
    assert reply.status_code == 400, reply.text
    assert reply.json()["code"] == 3
    assert said in reply.json()["message"]
    if field:
        (details,) = reply.json()["details"]
        assert details["field_violations"][0]["field"].startswith(field)
    assert len(reply.content) < 10_000
    assert client.get("/recurringruns").json()["total_size"] == 0
    assert client.get("/experiments").json()["total_size"] == 0


def test_a_pipeline_that_is_not_there(client: TestClient, pipeline: Spec) -> None:
    known = version(client, pipeline)
    for reference in (
        {"pipeline_id": "none"},
        {"pipeline_id": known["pipeline_id"], "pipeline_version_id": "none"},
        {"pipeline_id": "none", "pipeline_version_id": known["pipeline_version_id"]},
    ):
        asked = body(None, pipeline_version_reference=reference)
        reply = client.post("/recurringruns", json=asked)
        assert (reply.status_code, reply.json()["code"]) == (400, 3)
        assert "'none'" in reply.json()["message"]
        assert "upload it first" in reply.json()["message"]
    reply = client.post("/recurringruns", json=body(pipeline, experiment_id=str(uuid.uuid4())))
    assert (reply.status_code, reply.json()["code"]) == (404, 5)


def test_a_version_and_the_newest(client: TestClient, pipeline: Spec, store: Store) -> None:
    known = version(client, pipeline)
    pinned = created(client, None, pipeline_version_reference=known)
    assert pinned["pipeline_version_reference"] == known
    assert "pipeline_spec" not in pinned
    newest = {"pipeline_id": known["pipeline_id"]}
    moving = created(client, None, pipeline_version_reference=newest)
    assert moving["pipeline_version_reference"] == newest
    assert client.get(f"/recurringruns/{moving['recurring_run_id']}").json() == moving
    kept = [store.recurring.get(each["recurring_run_id"]).spec != "" for each in (pinned, moving)]
    assert kept == [True, False]


def test_enable_disable_delete(client: TestClient, pipeline: Spec) -> None:
    made = created(client, pipeline)
    path = f"/recurringruns/{made['recurring_run_id']}"
    for verb, status in (("disable", "DISABLED"), ("enable", "ENABLED")):
        assert client.post(f"{path}:{verb}").json() == {}
        found = client.get(path).json()
        assert (found["status"], found["mode"]) == (status, status.removesuffix("D"))
        assert found["updated_at"] > made["updated_at"]
    assert client.delete(path).json() == {}
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "verb"), [("GET", ""), ("DELETE", ""), ("POST", ":enable"), ("POST", ":disable")]
)
def test_unknown(client: TestClient, method: str, verb: str) -> None:
    reply = client.request(method, f"/recurringruns/{uuid.uuid4()}{verb}")
    assert (reply.status_code, reply.json()["code"]) == (404, 5)


def test_an_archived_experiment(client: TestClient, pipeline: Spec) -> None:
    made = created(client, pipeline)
    experiment = f"/experiments/{made['experiment_id']}"
    client.post(f"{experiment}:archive")
    path = f"/recurringruns/{made['recurring_run_id']}"
    assert client.get(path).json()["status"] == "DISABLED"
    for reply in (
        client.post(f"{path}:enable"),
        client.post("/recurringruns", json=body(pipeline)),
    ):
        assert (reply.status_code, reply.json()["code"]) == (400, 9)
        assert "unarchive it first" in reply.json()["message"]
    client.post(f"{experiment}:unarchive")
    assert client.get(path).json()["status"] == "DISABLED"
    assert client.post(f"{path}:enable").status_code == 200


def test_list_filter_and_sort(client: TestClient, pipeline: Spec) -> None:
    other = client.post("/experiments", json={"display_name": "e"}).json()["experiment_id"]
    for name, more in (
        ("b", {}),
        ("c", {"mode": "DISABLE"}),
        ("a", {"experiment_id": other}),
    ):
        created(client, pipeline, display_name=name, **more)

    def names(**params: Any) -> list[str]:
        reply = client.get("/recurringruns", params=params)
        assert reply.status_code == 200, reply.text
        return [each["display_name"] for each in reply.json()["recurringRuns"]]

    def filtered(key: str, value: str) -> str:
        predicate = {"operation": "EQUALS", "key": key, "string_value": value}
        return json.dumps({"predicates": [predicate]})

    assert names() == ["b", "c", "a"]
    assert names(sort_by="name") == ["a", "b", "c"]
    assert names(sort_by="created_at desc") == ["a", "c", "b"]
    assert names(sort_by="updated_at desc", page_size="1") == ["a"]
    assert names(experiment_id=other) == ["a"]
    assert names(namespace="ml") == ["b", "c", "a"]
    assert names(filter=filtered("display_name", "c")) == ["c"]
    assert names(filter=filtered("status", "DISABLED")) == ["c"]
    assert "pipeline_spec" not in client.get("/recurringruns").json()["recurringRuns"][0]
    for wrong in ({"sort_by": "unknown"}, {"filter": "x"}, {"namespace": "other"}):
        assert client.get("/recurringruns", params=wrong).status_code == 400

    first = client.get("/recurringruns", params={"page_size": "2", "sort_by": "name"}).json()
    assert first["total_size"] == 3
    token = first["next_page_token"]
    assert names(page_token=token, page_size="2") == ["c"]
    for params in (
        {"page_token": token[:-2] + "xx"},
        {"page_token": token, "experiment_id": other},
        {"page_token": token, "sort_by": "created_at"},
    ):
        assert client.get("/recurringruns", params=params).status_code == 400
    assert client.get("/runs", params={"page_token": token}).status_code == 400


async def test_its_runs(client: TestClient, pipeline: Spec, context: Context) -> None:
    made = created(client, pipeline, trigger=SECOND, max_concurrency=2)
    key = made["recurring_run_id"]
    client.post("/runs", json={**body(pipeline), "trigger": None})
    await Firings(context.store).round(1_800_000_100.5)
    text = json.dumps(
        {"predicates": [{"operation": 1, "key": "recurring_run_id", "stringValue": key}]}
    )
    (run,) = client.get("/runs", params={"filter": text}).json()["runs"]
    assert run["recurring_run_id"] == key
    assert run["display_name"] == "nightly-1"
    assert run["created_at"] == "2027-01-15T08:01:40.500000Z"
    assert run["scheduled_at"] == "2027-01-15T08:00:01.000000Z"
    found = client.get(f"/recurringruns/{key}").json()
    assert found["last_scheduled_at"] == run["scheduled_at"]
    assert found["next_scheduled_at"] == "2027-01-15T08:00:02.000000Z"
    assert (found["last_run_id"], found["run_count"]) == (run["run_id"], 1)
    first = client.get("/runs", params={"sort_by": "scheduled_at", "page_size": "1"}).json()
    assert first["runs"] == [run]
    # They stay when it goes.
    client.delete(f"/recurringruns/{key}")
    assert client.get("/runs", params={"filter": text}).json()["total_size"] == 1


async def test_why_there_is_no_run(client: TestClient, pipeline: Spec, context: Context) -> None:
    known = version(client, pipeline)
    newest = {"pipeline_id": known["pipeline_id"]}
    made = created(client, None, pipeline_version_reference=newest, trigger=SECOND)
    client.delete(f"/pipelines/{known['pipeline_id']}", params={"cascade": "true"})
    await Firings(context.store).round(1_800_000_100.5)
    found = client.get(f"/recurringruns/{made['recurring_run_id']}").json()
    assert found["error"]["code"] == 13
    assert "no pipeline" in found["error"]["message"]
