"""The same tests on tinykube and on the real control plane, each with a node that runs pods."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import lightkube
import pytest
from kubernetes import config
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Node, ServiceAccount

from ..cluster.nodes import ProcessNode
from ..cluster.tiny import Tinykube

# What the suite's pods select, whatever other nodes there are.
HERE = {"test.example.com/contract": "here"}
_SECONDS = 60.0


@pytest.fixture(scope="session", params=["tinykube", "kubernetes"])
def server(request):
    """The kubeconfig of one of the two; its node is ready."""
    yield from request.getfixturevalue(f"serve_{request.param}")


@pytest.fixture(scope="session")
def serve_tinykube(tmp_path_factory):
    """Start tinykube when it is first asked for."""

    def serve():
        folder = tmp_path_factory.mktemp("tinykube")
        folder.chmod(0o700)
        with Tinykube(folder) as made:
            label(made.kubeconfig)
            yield made.kubeconfig

    return serve()


@pytest.fixture(scope="session")
def serve_kubernetes(plane):
    """A process node joins the real control plane when it is first asked for."""

    def serve():
        ((key, value),) = HERE.items()
        node = ProcessNode(plane, "contract", options=[f"--labels={key}={value}"])
        try:
            label(plane.kubeconfig)
            yield plane.kubeconfig
        finally:
            node.stop()

    return serve()


def label(kubeconfig):
    """Wait for the node that runs pods, and mark it."""
    client = lightkube.Client(lightkube.KubeConfig.from_file(kubeconfig), field_manager="test")
    end = time.monotonic() + _SECONDS
    try:
        while True:
            for node in client.list(Node):
                conditions = {one.type: one.status for one in node.status.conditions or []}
                fake = "kwok.x-k8s.io/node" in (node.metadata.annotations or {})
                if conditions.get("Ready") == "True" and not fake and not node.spec.taints:
                    client.patch(Node, node.metadata.name, {"metadata": {"labels": HERE}})
                    return
            assert time.monotonic() < end, "no node got ready"
            time.sleep(0.1)
    finally:
        client.close()


@pytest.fixture
def client(server) -> Iterator[lightkube.Client]:
    """The administrator's lightkube."""
    made = lightkube.Client(lightkube.KubeConfig.from_file(server), field_manager="contract")
    yield made
    made.close()


@pytest.fixture
def api(server):
    """The administrator's `kubernetes` client."""
    made = config.new_client_from_config(str(server))
    yield made
    made.close()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"x{uuid.uuid4().hex[:8]}"


@pytest.fixture
def namespace(client, name, wait) -> Iterator[str]:
    """A namespace of the test's own, with its default account."""
    client.create(Namespace(metadata=ObjectMeta(name=name)))

    def account():
        try:
            return client.get(ServiceAccount, "default", namespace=name)
        except ApiError as error:
            if error.status.code != 404:
                raise
            return None

    wait(account)
    yield name
    client.delete(Namespace, name)


@pytest.fixture
def refused():
    """The Status that a call is refused with."""

    def status(call, *arguments, **options):
        with pytest.raises(ApiError) as caught:
            call(*arguments, **options)
        return caught.value.status

    return status
