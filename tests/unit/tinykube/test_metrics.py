from __future__ import annotations

import pytest

from tinykube import kinds
from tinykube.node.usage import Usage

BASE = "/apis/metrics.k8s.io/v1beta1"


@pytest.fixture
def measured(create, registry, pod, node, logs):
    """Two pods that run on a node, of one of which nothing is known."""
    node("node", nothing="1")
    uids = {}
    for name in ("one", "two", "waiting"):
        body = pod(name, nodeName="node")
        body["metadata"]["labels"] = {"name": name}
        uids[name] = create(kinds.PODS, body)["metadata"]["uid"]
    for name in ("one", "two"):

        def run(current):
            current["status"]["phase"] = "Running"
            return True

        registry.modify(kinds.PODS, "default", name, run)

    async def usage(pods):
        assert {item["metadata"]["name"] for item in pods} <= {"one", "two"}
        return {(uids["one"], "main"): Usage(0.25, 3 << 20, 15.0)}

    async def machines():
        return {"node": Usage(1.5, 1 << 30, 0.5)}

    logs.usage, logs.machines = usage, machines


async def test_pods(http, measured):
    (item,) = (await http.get(f"{BASE}/namespaces/default/pods")).json()["items"]

    assert item["metadata"]["name"] == "one"
    assert item["metadata"]["labels"] == {"name": "one"}
    assert item["window"] == "15.000s"
    assert item["containers"] == [
        {"name": "main", "usage": {"cpu": "250000000n", "memory": "3072Ki"}}
    ]
    one = (await http.get(f"{BASE}/namespaces/default/pods/one")).json()
    assert (one["kind"], one["apiVersion"]) == ("PodMetrics", "metrics.k8s.io/v1beta1")


async def test_selectors(http, measured):
    for selector, count in (("name=one", 1), ("name=other", 0)):
        answer = await http.get(f"{BASE}/pods", params={"labelSelector": selector})
        assert len(answer.json()["items"]) == count


async def test_nodes(http, measured):
    answer = (await http.get(f"{BASE}/nodes/node")).json()

    assert answer["kind"] == "NodeMetrics"
    assert answer["usage"] == {"cpu": "1500000000n", "memory": "1048576Ki"}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/namespaces/default/pods/two", 404),
        ("GET", "/namespaces/default/pods/none", 404),
        ("GET", "/nodes/none", 404),
        ("DELETE", "/namespaces/default/pods/one", 405),
        ("POST", "/namespaces/default/pods", 405),
    ],
)
async def test_what_is_not_there(http, measured, method, path, code):
    assert (await http.request(method, f"{BASE}{path}")).status_code == code


async def test_rights(http, measured, account):
    token = account("reader", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}])
    headers = {"Authorization": f"Bearer {token}"}

    assert (await http.get(f"{BASE}/pods", headers=headers)).status_code == 403


async def test_discovery(http):
    found = (await http.get(BASE)).json()["resources"]

    assert {(item["name"], item["kind"]) for item in found} == {
        ("pods", "PodMetrics"),
        ("nodes", "NodeMetrics"),
    }
