"""Custom resources over HTTP."""

import pytest

ROOT = "/apis/tuning.example.com/v1beta1/namespaces/default/experiments"
MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
def served(establish, experiments, services):
    establish(experiments)
    establish(services)


@pytest.mark.usefixtures("served")
async def test_life_of_an_object(http, experiment):
    made = await http.post(ROOT, json=experiment())
    assert made.status_code == 201
    listed = (await http.get(ROOT)).json()
    assert listed["kind"] == "ExperimentList"
    assert listed["apiVersion"] == "tuning.example.com/v1beta1"
    assert [item["kind"] for item in listed["items"]] == ["Experiment"]
    query = {"fieldSelector": "spec.algorithm.algorithmName=tpe"}
    assert (await http.get(ROOT, params=query)).json()["items"] == []
    gone = (await http.delete(f"{ROOT}/one")).json()
    assert gone["status"] == "Success"
    assert (await http.get(f"{ROOT}/one")).status_code == 404


@pytest.mark.usefixtures("served")
async def test_scale(http, experiment):
    await http.post(ROOT, json=experiment())
    path = f"{ROOT}/one/scale"
    shown = (await http.get(path)).json()
    assert shown["spec"] == {"replicas": 3}
    assert shown["status"] == {"replicas": 0}
    patched = await http.patch(path, json={"spec": {"replicas": 7}}, headers=MERGE)
    assert patched.json()["spec"] == {"replicas": 7}
    assert (await http.get(f"{ROOT}/one")).json()["spec"]["parallelTrialCount"] == 7
    for wrong in ({"spec": {"replicas": "two"}}, {"spec": "x"}, {"kind": "x"}):
        refused = await http.patch(path, json=wrong, headers=MERGE)
        assert refused.status_code == 422
        assert refused.json()["details"]["causes"][0]["field"] == "patch"
    shown["spec"]["replicas"] = 1
    stale = await http.put(path, json=shown)
    assert stale.status_code == 409
    del shown["metadata"]["resourceVersion"]
    assert (await http.put(path, json=shown)).json()["spec"] == {"replicas": 1}
    assert (
        await http.patch(path, json={"spec": {"replicas": 0}}, headers=MERGE)
    ).status_code == 422
    assert (await http.post(path, json=shown)).status_code == 405
    assert (await http.get(f"{ROOT}/two/scale")).status_code == 404


@pytest.mark.usefixtures("served")
async def test_a_version_that_is_going_away_warns(http):
    path = "/apis/serving.example.com/v1alpha1/namespaces/default/modelservices"
    answer = await http.get(path)
    assert answer.headers["warning"] == (
        '299 - "serving.example.com/v1alpha1 ModelService is deprecated; use '
        'serving.example.com/v1beta1 ModelService"'
    )
    body = {"apiVersion": "serving.example.com/v1alpha1", "kind": "ModelService"}
    refused = await http.post(path, json=body)
    assert refused.status_code == 422
    assert "is deprecated" in refused.headers["warning"]
    answer = await http.get(path.replace("v1alpha1", "v1beta1"))
    assert "warning" not in answer.headers


async def test_what_is_not_defined_is_not_there(http):
    assert (await http.get(ROOT)).status_code == 404
    assert (await http.get("/apis/tuning.example.com")).status_code == 404


@pytest.mark.usefixtures("served")
async def test_discovery_lists_them(http):
    found = (await http.get("/apis/tuning.example.com/v1beta1")).json()["resources"]
    by_name = {item["name"]: item for item in found}
    assert by_name["experiments"]["shortNames"] == ["exp"]
    assert by_name["experiments"]["categories"] == ["all", "tuning"]
    assert by_name["experiments/scale"]["group"] == "autoscaling"
    assert by_name["experiments/scale"]["verbs"] == ["get", "patch", "update"]
    assert set(by_name) == {"experiments", "experiments/status", "experiments/scale"}
    group = (await http.get("/apis/serving.example.com")).json()
    assert [item["version"] for item in group["versions"]] == ["v1beta1", "v1alpha1"]
    assert group["preferredVersion"]["version"] == "v1beta1"
