"""The node's client against the API itself, and against one that breaks."""

from __future__ import annotations

import json

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tinykube import kinds
from tinykube.node.client import NotFoundError
from tinykube.node.connection import Connection
from tinykube.node.remote import RefusedError, RemoteClient


@pytest.fixture
async def client(app, keys, admin):
    """A client of tinykube's own API, without a socket."""
    connection = Connection("https://kube", keys.authority.read_text(), token=admin)
    made = RemoteClient(connection, "test")
    await made._http.aclose()
    made._http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://kube")
    yield made
    await made.close()


def node(**capacity):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"a": "b"}},
        "spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


async def test_a_node_is_made_kept_up_and_made_again(client, load, registry):
    await client.register(node(cpu="1", **{"example.com/x": "2"}))
    made = load(kinds.NODES, "n")
    assert made["spec"]["taints"][0]["key"] == "t"
    assert made["status"]["allocatable"] == {"cpu": "1", "example.com/x": "2"}
    version = made["metadata"]["resourceVersion"]
    await client.register(node(cpu="1", **{"example.com/x": "2"}))
    assert load(kinds.NODES, "n")["metadata"]["resourceVersion"] == version
    # What is gone is taken away, which a merge alone would not do.
    await client.register(node(cpu="2"))
    assert load(kinds.NODES, "n")["status"]["allocatable"] == {"cpu": "2"}


async def test_the_lease_is_renewed(client, load):
    await client.heartbeat("n", 40)
    first = load(kinds.LEASES, "n", "kube-node-lease")["spec"]
    await client.heartbeat("n", 40)
    assert load(kinds.LEASES, "n", "kube-node-lease")["spec"]["renewTime"] > first["renewTime"]


async def test_a_pods_status_is_that_of_this_very_pod(client, create, pod, load):
    made = create(kinds.PODS, pod(nodeName="n"))
    uid = made["metadata"]["uid"]
    assert await client.patch_status("default", "one", uid, {"phase": "Running"})
    assert load(kinds.PODS, "one")["status"]["phase"] == "Running"
    assert not await client.patch_status("default", "one", "another", {"phase": "Failed"})
    assert not await client.patch_status("default", "none", uid, {"phase": "Failed"})
    assert load(kinds.PODS, "one")["status"]["phase"] == "Running"


async def test_a_pod_is_removed_once_and_no_other(client, create, pod, load):
    uid = create(kinds.PODS, pod(nodeName="n"))["metadata"]["uid"]
    await client.remove_pod("default", "one", "another")
    assert load(kinds.PODS, "one")
    await client.remove_pod("default", "one", uid)
    await client.remove_pod("default", "one", uid)
    assert load(kinds.PODS, "one") is None


async def test_tokens_are_bound_to_their_pod(client, create, pod, tokens, registry):
    made = create(kinds.PODS, pod(nodeName="n"))
    token = await client.token("default", "default", made, [], 3600)
    assert tokens.authenticate(token).name == "system:serviceaccount:default:default"
    await client.remove_pod("default", "one", made["metadata"]["uid"])
    assert tokens.authenticate(token) is None


async def test_events_are_counted(client, create, pod, store):
    made = create(kinds.PODS, pod())
    for _ in range(3):
        await client.create_event(made, "Normal", "Started", "it runs")
    (row,) = store.rows(kinds.EVENTS.key)
    event = json.loads(row.data)
    assert (event["count"], event["involvedObject"]["name"]) == (3, "one")


async def test_an_event_about_the_node_is_in_the_default_namespace(client, store):
    about = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "n"}}
    await client.create_event(about, "Warning", "GPULost", "gone")
    (row,) = store.rows(kinds.EVENTS.key)
    assert row.namespace == "default"


async def test_what_is_not_there(client):
    with pytest.raises(NotFoundError, match='secrets "x" not found'):
        await client.get("Secret", "default", "x")


class Breaking:
    """A control plane whose watches do as they are told: lines, or a status."""

    def __init__(self, *watches):
        self.watches = list(watches)
        self.asked = []
        self.app = Starlette(routes=[Route("/api/v1/pods", self.answer)])

    async def answer(self, request):
        query = request.query_params
        if "watch" not in query:
            return JSONResponse({"metadata": {"resourceVersion": "5"}, "items": [item(1, "5")]})
        self.asked.append(query["resourceVersion"])
        now = self.watches.pop(0)
        if isinstance(now, int):
            return JSONResponse({"message": "no", "code": now}, now)
        return Response("".join(json.dumps(line) + "\n" for line in now))


def item(number, version):
    return {"metadata": {"name": f"p{number}", "resourceVersion": version}}


def event(type_, number, version):
    return {"type": type_, "object": item(number, version)}


@pytest.fixture
async def followed(keys):
    async def follow(*watches):
        plane = Breaking(*watches)
        client = RemoteClient(Connection("https://kube", keys.authority.read_text()), "test")
        await client._http.aclose()
        client._http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(plane.app), base_url="https://kube"
        )
        seen = [
            (e.type, e.pod.get("metadata", {}).get("name")) async for e in client.watch_pods("n")
        ]
        await client.close()
        return seen, plane.asked

    return follow


GONE = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}


async def test_a_broken_watch_goes_on_where_it_broke_until_its_history_is_gone(followed):
    seen, asked = await followed(
        [event("ADDED", 2, "7"), event("BOOKMARK", 0, "9")],
        500,
        [event("DELETED", 2, "11")],
        [GONE],
    )
    assert seen == [("ADDED", "p1"), ("SYNCED", None), ("ADDED", "p2"), ("DELETED", "p2")]
    assert asked == ["5", "9", "9", "11"]


async def test_a_refusal_by_410_ends_the_watch_as_well(followed):
    seen, _ = await followed(410)
    assert seen == [("ADDED", "p1"), ("SYNCED", None)]


async def test_an_answer_that_is_no_json_is_tried_again(keys):
    async def garbage(_):
        return Response("<html>")

    client = RemoteClient(Connection("https://kube", keys.authority.read_text()), "test")
    await client._http.aclose()
    app = Starlette(routes=[Route("/{rest:path}", garbage)])
    client._http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://kube")
    with pytest.raises(OSError, match="is not JSON"):
        await client.get("Secret", "default", "x")
    await client.close()


def test_a_refusal_tells_code_and_words():
    error = RefusedError(403, "forbidden")
    assert (error.code, str(error)) == (403, "forbidden (403)")
