"""A real control plane for all tests here, and what joins it when a test asks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import lightkube
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, ServiceAccount

from . import programs
from .cluster import fakes, kueue
from .cluster.plane import ControlPlane


@pytest.fixture(scope="session")
def program(request):
    """Give a program by name, building it if need be; what is built is told at once."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def give(name):
        with capture.global_and_fixture_disabled():
            return programs.ensure(name, progress=lambda line: print(f"\n{line}", flush=True))

    return give


@pytest.fixture(scope="session")
def plane(program, tmp_path_factory) -> Iterator[ControlPlane]:
    """The control plane, with nothing but the administrator and no nodes."""
    with ControlPlane(program("controlplane"), tmp_path_factory.mktemp("plane")) as made:
        yield made


@pytest.fixture(scope="session")
def client(plane) -> Iterator[lightkube.Client]:
    """The administrator's client of the real control plane."""
    made = plane.client()
    yield made
    made.close()


@pytest.fixture(scope="session")
def nodes(plane, program, client):
    """kwok and its nodes; ready."""
    process = fakes.start(plane, program("kwok"))
    fakes.add(client)
    process.wait_until(lambda: fakes.ready(client))
    return fakes.NODES


@pytest.fixture(scope="session")
def queues(plane, program, client, nodes):
    """Kueue runs; gives what makes a queue and waits until it admits."""
    process = kueue.start(plane, client, program("kueue"))

    def make(name, namespace, quota):
        kueue.queue(client, name, namespace, quota)
        process.wait_until(lambda: kueue.active(client, name))

    return make


@pytest.fixture
def wait():
    """Wait until something is true, and give it."""

    def until(condition, seconds=30.0):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"it did not come true in {seconds} s"
            time.sleep(0.05)
        return found

    return until


@pytest.fixture
def namespace(client, wait) -> Iterator[str]:
    """A namespace of the test's own, with its default account; deleted at the end."""
    name = f"t{uuid.uuid4().hex[:8]}"
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
