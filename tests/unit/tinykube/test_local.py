import asyncio
import contextlib

import pytest

from tinykube import kinds
from tinykube.local import LocalClient
from tinykube.node.client import Endpoint, NotFoundError
from tinykube.options import Deletion
from tinykube.store import StorageError


@pytest.fixture
def client(registry, hub, tokens):
    return LocalClient(registry, hub, tokens, Endpoint("127.0.0.1", 1, "ca"))


def body(name="n", **labels):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {
            "capacity": {"cpu": "1"},
            "allocatable": {"cpu": "1"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


async def test_registering_keeps_what_others_wrote(client, registry, load):
    await client.register(body(a="b"))

    def alter(current):
        current["metadata"]["labels"]["mine"] = "x"
        current["spec"] = {"unschedulable": True}
        return True

    registry.modify(kinds.NODES, "", "n", alter)
    await client.register(body(a="c"))
    found = load(kinds.NODES, "n")
    assert found["metadata"]["labels"] == {"a": "c", "mine": "x"}
    assert found["spec"] == {"unschedulable": True}
    assert found["status"]["capacity"] == {"cpu": "1"}


async def test_heartbeats(client, load):
    await client.heartbeat("n", 40)
    first = load(kinds.LEASES, "n", "kube-node-lease")["spec"]
    await client.heartbeat("n", 40)
    second = load(kinds.LEASES, "n", "kube-node-lease")["spec"]
    assert second["leaseDurationSeconds"] == 40
    assert second["renewTime"] > first["renewTime"]


async def test_pods_of_the_node_are_followed(client, create, pod, registry):
    create(kinds.PODS, pod("here", nodeName="n"))
    create(kinds.PODS, pod("there", nodeName="m"))
    watch = client.watch_pods("n")
    async with asyncio.timeout(5):
        first = await anext(watch)
        assert (first.type, first.pod["metadata"]["name"]) == ("ADDED", "here")
        assert (await anext(watch)).type == "SYNCED"
        create(kinds.PODS, pod("unbound"))
        create(kinds.PODS, pod("more", nodeName="n"))
        event = await anext(watch)
        assert (event.type, event.pod["metadata"]["name"]) == ("ADDED", "more")
        registry.delete(kinds.PODS, "default", "here", Deletion(grace=0))
        # First that it is to go, then that it is gone.
        assert [(await anext(watch)).type for _ in range(2)] == ["MODIFIED", "DELETED"]
    await watch.aclose()


async def test_the_watch_ends_with_the_daemon(client, hub):
    watch = client.watch_pods("n")
    async with asyncio.timeout(5):
        assert (await anext(watch)).type == "SYNCED"
        asyncio.get_running_loop().call_soon(hub.close)
        assert [event async for event in watch] == []


async def test_reading(client):
    found = await client.get("ConfigMap", "default", "kube-root-ca.crt")
    assert found["kind"] == "ConfigMap"
    with pytest.raises(NotFoundError, match='secrets "x" not found'):
        await client.get("Secret", "default", "x")


async def test_tokens_are_bound_to_the_pod(client, create, pod, tokens, registry):
    made = create(kinds.PODS, pod())
    token = await client.token("default", "default", made, [], 3600)
    assert tokens.authenticate(token)
    registry.delete(kinds.PODS, "default", "one", Deletion(grace=0))
    assert tokens.authenticate(token) is None


async def test_status_is_merged_key_by_key(client, create, pod, load):
    made = create(kinds.PODS, pod())
    uid = made["metadata"]["uid"]
    ready = {"type": "Ready", "status": "True"}
    assert await client.patch_status(
        "default", "one", uid, {"phase": "Running", "conditions": [ready]}
    )
    found = load(kinds.PODS, "one")["status"]
    assert (found["phase"], found["qosClass"]) == ("Running", "BestEffort")
    assert not await client.patch_status("default", "one", "other", {"phase": "Failed"})
    assert not await client.patch_status("default", "gone", uid, {"phase": "Failed"})


async def test_the_schedulers_condition_stays(client, create, pod, load, registry):
    made = create(kinds.PODS, pod())

    def bind(current):
        current["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
        return True

    registry.modify(kinds.PODS, "default", "one", bind)
    ready = {"type": "Ready", "status": "True"}
    await client.patch_status("default", "one", made["metadata"]["uid"], {"conditions": [ready]})
    types = [item["type"] for item in load(kinds.PODS, "one")["status"]["conditions"]]
    assert types == ["PodScheduled", "Ready"]


async def test_removing(client, create, pod, load):
    made = create(kinds.PODS, pod(nodeName="n"))
    await client.remove_pod("default", "one", "other")
    assert load(kinds.PODS, "one")
    await client.remove_pod("default", "one", made["metadata"]["uid"])
    assert load(kinds.PODS, "one") is None
    await client.remove_pod("default", "one", made["metadata"]["uid"])


async def test_a_full_disk_is_an_oserror(client, create, pod, store, monkeypatch):
    made = create(kinds.PODS, pod())

    @contextlib.contextmanager
    def full():
        raise StorageError("database or disk is full")
        yield

    monkeypatch.setattr(store, "write", full)
    with pytest.raises(OSError, match="full"):
        await client.patch_status("default", "one", made["metadata"]["uid"], {"message": "x"})
