"""Bindings and evictions; the answers are those of a real API server (1.37)."""

from __future__ import annotations

import pytest

from tinykube import kinds

PODS = "/api/v1/namespaces/default/pods"
DONE = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def eviction(name="one", **fields):
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name},
        **fields,
    }


async def test_a_pod_is_bound_once(http, create, pod, load):
    create(kinds.PODS, pod())
    answer = await http.post(f"{PODS}/one/binding?dryRun=All", json=_to("n1"))
    assert answer.status_code == 201
    assert "nodeName" not in load(kinds.PODS, "one")["spec"]
    answer = await http.post(f"{PODS}/one/binding", json=_to("n1"))
    assert (answer.status_code, answer.json()) == (201, DONE)
    made = load(kinds.PODS, "one")
    assert made["spec"]["nodeName"] == "n1"
    (condition,) = made["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    answer = await http.post(f"{PODS}/one/binding", json=_to("n2"))
    assert answer.status_code == 409
    assert answer.json()["message"] == (
        'Operation cannot be fulfilled on pods/binding "one": pod one is already assigned to '
        'node "n1"'
    )


def _to(node):
    target = {"kind": "Node", "name": node}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "one"}, "target": target}


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"target": {"kind": "Pod", "name": "x"}}, 422, 'Unsupported value: "Pod"'),
        ({"target": {}}, 422, "target.name: Required value"),
        ({"metadata": {"name": "two"}}, 400, "name in URL does not match"),
        ({"kind": "Pod"}, 400, "this takes v1, Kind=Binding"),
        ({"target": "x"}, 400, "cannot be read"),
    ],
)
async def test_refused_bindings(http, create, pod, load, change, code, message):
    create(kinds.PODS, pod())
    answer = await http.post(f"{PODS}/one/binding", json={**_to("n1"), **change})
    assert answer.status_code == code
    assert message in answer.json()["message"]
    assert "nodeName" not in load(kinds.PODS, "one")["spec"]


async def test_gates_hold_a_pod(http, create, pod):
    create(kinds.PODS, pod(schedulingGates=[{"name": "example.com/wait"}]))
    answer = await http.post(f"{PODS}/one/binding", json=_to("n1"))
    assert answer.status_code == 409
    assert "has non-empty .spec.schedulingGates" in answer.json()["message"]


async def test_an_eviction_says_whose_wish_it_was(http, create, pod, load):
    create(kinds.PODS, pod(nodeName="n1"))
    answer = await http.post(f"{PODS}/one/eviction?dryRun=All", json=eviction())
    assert (answer.status_code, answer.json()) == (201, DONE)
    assert "deletionTimestamp" not in load(kinds.PODS, "one")["metadata"]
    body = eviction(deleteOptions={"gracePeriodSeconds": 5})
    answer = await http.post(f"{PODS}/one/eviction", json=body)
    assert (answer.status_code, answer.json()) == (201, DONE)
    made = load(kinds.PODS, "one")
    assert made["metadata"]["deletionGracePeriodSeconds"] == 5
    (condition,) = made["status"]["conditions"]
    assert condition["type"] == "DisruptionTarget"
    assert condition["reason"] == "EvictionByEvictionAPI"
    assert condition["message"] == "Eviction API: evicting"


async def test_refused_evictions(http, create, pod, load):
    answer = await http.post(f"{PODS}/one/eviction", json=eviction())
    assert (answer.status_code, answer.json()["message"]) == (404, 'pods "one" not found')
    create(kinds.PODS, pod())
    answer = await http.post(f"{PODS}/one/eviction", json=eviction("two"))
    assert answer.status_code == 400
    assert answer.json()["message"] == "name in URL does not match name in Eviction object"
    body = eviction(deleteOptions={"preconditions": {"uid": "another"}})
    answer = await http.post(f"{PODS}/one/eviction", json=body)
    assert answer.status_code == 409
    assert "conditions" not in load(kinds.PODS, "one")["status"]
    answer = await http.get(f"{PODS}/one/eviction")
    assert answer.status_code == 405


async def test_they_are_told(http):
    found = {item["name"]: item for item in (await http.get("/api/v1")).json()["resources"]}
    assert found["pods/eviction"]["group"] == "policy"
    assert found["pods/binding"]["verbs"] == ["create"]
