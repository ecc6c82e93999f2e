import pytest

from tinykube import kinds
from tinykube.kubelets import Kubelets
from tinykube.node.client import LogOptions, LogsError, Streams, VisitError


@pytest.fixture
def kubelets(store, keys, logs):
    logs.texts["main"] = [b"local"]
    return Kubelets(store, "own", logs, keys.authority, keys.client, keys.client_key)


@pytest.fixture
def read(kubelets):
    async def ask(node):
        pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"nodeName": node}}
        return b"".join([c async for c in kubelets.logs(pod, "main", LogOptions())])

    return ask


async def test_the_machines_own_node_is_asked_directly(read):
    assert await read("own") == b"local"


async def test_a_node_that_tells_no_address(read):
    with pytest.raises(LogsError, match="node other tells no address"):
        await read("other")


async def test_a_node_that_does_not_answer(read, node, registry):
    node(name="away")

    def endpoint(current):
        current["status"]["addresses"] = [{"type": "InternalIP", "address": "127.0.0.1"}]
        current["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 1}}
        return True

    registry.modify(kinds.NODES, "", "away", endpoint)
    with pytest.raises(LogsError, match=r"node away does not answer at https://127\.0\.0\.1:1/"):
        await read("away")


async def test_nobody_enters_the_pods_of_other_nodes(kubelets):
    pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"nodeName": "other"}}
    with pytest.raises(VisitError, match="pod p is on node other"):
        await kubelets.execute(pod, "main", ["true"], Streams())
    with pytest.raises(VisitError, match="pod p is on node other"):
        await kubelets.connect(pod, 80)
