"""What the workloads ask for by the operator's options, on the real scheduler, Kueue and DRA."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.resource_v1 import (
    CELDeviceSelector,
    Device,
    DeviceCapacity,
    DeviceClassSpec,
    DeviceSelector,
    ResourcePool,
    ResourceSliceSpec,
)
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Node, Pod
from lightkube.resources.resource_v1 import DeviceClass, ResourceSlice

from toolkit_jobs import (
    Connection,
    GpuMode,
    GpuOptions,
    GpuRequest,
    Jobs,
    Placement,
    PodOptions,
    PodPhase,
    PodRequest,
    PodStatus,
    RefusedError,
    Resources,
)

from .cluster.fakes import ENDS_AFTER

TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
DRIVER = "memory.example.com"
LABELS = {"toolkit.canonical.com/test": "steps"}


@pytest.fixture
def connection(plane, namespace):
    return Connection.from_kubeconfig(plane.kubeconfig)


@pytest.fixture
def options(namespace, nodes):
    return PodOptions(namespace, LABELS, placement=Placement(tolerations=(TOLERATION,)))


def pod(name="p", ends="100ms", **fields):
    return PodRequest(
        name, "busybox", ("true",), annotations={ENDS_AFTER: ends} if ends else {}, **fields
    )


async def follow(
    connection: Connection,
    options: PodOptions,
    requests: list[PodRequest],
    until: Callable[[dict[str, PodStatus]], bool],
) -> list[PodStatus]:
    """Start pods and give every change until something is true of what is known of them."""
    known: dict[str, PodStatus] = {}
    heard: list[PodStatus] = []
    async with Jobs(connection, options) as jobs, asyncio.timeout(60):

        def listen(changed: PodStatus) -> None:
            known[changed.name] = changed
            heard.append(changed)

        jobs.subscribe(listen)
        await jobs.pods()
        for request in requests:
            await jobs.start(request)
        while not until(known):  # noqa: ASYNC110 - any condition, none has an event
            await asyncio.sleep(0.05)
    return heard


def done(known: dict[str, PodStatus]) -> bool:
    return bool(known) and all(each.phase is PodPhase.SUCCEEDED for each in known.values())


def told(words: str) -> Callable[[dict[str, PodStatus]], bool]:
    return lambda known: any(words in each.message for each in known.values())


@pytest.mark.parametrize(
    ("gpus", "request_", "node"),
    [
        (GpuOptions(count=1), {}, "nvidia"),
        (GpuOptions(count=1, memory="78Gi"), {}, "nvidia"),
        (GpuOptions(count=2, resource="nvidia.com/mig-1g.10gb"), {}, "mig"),
        (GpuOptions(), {"gpus": GpuRequest(4, "amd.com/gpu")}, "amd"),
        (
            GpuOptions(count=1),
            {
                "gpus": GpuRequest(0),
                "placement": Placement(node_selector={"kubernetes.io/hostname": "plain"}),
            },
            "plain",
        ),
    ],
)
async def test_pods_land_where_options_and_requests_say(
    client, namespace, connection, options, gpus, request_, node
):
    await follow(connection, dataclasses.replace(options, gpus=gpus), [pod(**request_)], done)
    assert client.get(Pod, "p", namespace=namespace).spec.nodeName == node


@pytest.mark.parametrize(
    ("changes", "request_", "words"),
    [
        ({"gpus": GpuOptions(count=9)}, {}, "Insufficient nvidia.com/gpu"),
        (
            {"gpus": GpuOptions(count=1), "placement": Placement()},
            {},
            "node(s) had untolerated taint",
        ),
        ({"gpus": GpuOptions(count=1, memory="81Gi")}, {}, "node affinity/selector"),
        ({}, {"gpus": GpuRequest(5, "amd.com/gpu")}, "Insufficient amd.com/gpu"),
    ],
)
async def test_what_fits_nowhere_waits_with_the_schedulers_words(
    client, connection, options, changes, request_, words
):
    heard = await follow(
        connection, dataclasses.replace(options, **changes), [pod(**request_)], told(words)
    )
    assert heard[-1].reason == "Unschedulable"
    # The nodes of other tests count as well.
    assert heard[-1].message.startswith(f"0/{len(list(client.list(Node)))} nodes are available")


async def test_shared_memory_and_classes_are_taken_as_they_are(
    client, namespace, connection, options
):
    made = dataclasses.replace(
        options,
        shm_size="1Gi",
        placement=Placement(tolerations=(TOLERATION,), priority_class="system-node-critical"),
    )
    await follow(connection, made, [pod()], done)
    spec = client.get(Pod, "p", namespace=namespace).spec
    (volume,) = [each for each in spec.volumes if each.emptyDir is not None]
    assert (volume.emptyDir.medium, volume.emptyDir.sizeLimit) == ("Memory", "1Gi")
    assert spec.priority == 2000001000


async def test_a_runtime_class_that_is_not_there_is_refused(connection, options):
    wrong = dataclasses.replace(options, placement=Placement(runtime_class="missing"))
    with pytest.raises(RefusedError, match='RuntimeClass "missing" not found'):
        await follow(connection, wrong, [pod()], done)


@pytest.fixture(scope="session")
def devices(client, nodes):
    """Two devices of 80 GiB and their class, on the node `plain`."""
    rule = CELDeviceSelector(expression=f'device.driver == "{DRIVER}"')
    spec = DeviceClassSpec(selectors=[DeviceSelector(cel=rule)])
    client.create(DeviceClass(metadata=ObjectMeta(name=DRIVER), spec=spec))
    capacity = {"memory": DeviceCapacity(value="80Gi")}
    client.create(
        ResourceSlice(
            metadata=ObjectMeta(name="plain-memory"),
            spec=ResourceSliceSpec(
                driver=DRIVER,
                nodeName="plain",
                pool=ResourcePool(name="plain-memory", generation=1, resourceSliceCount=1),
                devices=[Device(name=f"gpu-{n}", capacity=capacity) for n in range(2)],
            ),
        )
    )


@pytest.mark.parametrize(
    ("count", "memory", "words"),
    [
        (2, "78Gi", ""),
        (3, "", "cannot allocate all claims"),
        (1, "81Gi", "cannot allocate all claims"),
    ],
)
async def test_devices_are_claimed(
    client, namespace, connection, options, devices, count, memory, words
):
    gpus = GpuOptions(GpuMode.DRA, count=count, memory=memory, device_class=DRIVER)
    made = dataclasses.replace(options, gpus=gpus)
    # It runs on while it is looked at: its claim goes with it.
    request = pod(ends="" if words else "2s")
    until = (
        told(words)
        if words
        else lambda known: known.get("p") is not None and (known["p"].phase is PodPhase.RUNNING)
    )
    await follow(connection, made, [request], until)
    node = client.get(Pod, "p", namespace=namespace).spec.nodeName
    assert node == (None if words else "plain")
    client.delete(Pod, "p", namespace=namespace, grace_period=0)


async def test_pods_in_a_queue_run_as_its_quota_allows(
    client, namespace, connection, options, queues
):
    queues("steps", namespace, {"cpu": "10", "nvidia.com/gpu": "4"})
    made = dataclasses.replace(
        options, gpus=GpuOptions(count=3), queue="steps", resources=Resources(cpu_request="1")
    )
    requests = [pod(name, "1500ms") for name in ("first", "second")]
    heard = await follow(connection, made, requests, done)
    states = [(each.name, each.phase) for each in heard]
    one, other = [name for name, phase in states if phase is PodPhase.SUCCEEDED]
    # One had ended before the other ran.
    assert states.index((one, PodPhase.SUCCEEDED)) < states.index((other, PodPhase.RUNNING))
    assert {job.metadata.name for job in client.list(Job, namespace=namespace)} == {
        "first",
        "second",
    }


async def test_a_pod_over_the_quota_waits_with_kueues_words(
    client, namespace, connection, options, queues
):
    queues("small", namespace, {"cpu": "10", "nvidia.com/gpu": "2"})
    made = dataclasses.replace(
        options, gpus=GpuOptions(count=3), queue="small", resources=Resources(cpu_request="1")
    )
    heard = await follow(connection, made, [pod()], told("insufficient quota for nvidia.com/gpu"))
    assert heard[-1].reason == "Queued"
    assert not list(client.list(Pod, namespace=namespace))
    async with Jobs(connection, made) as jobs:
        await jobs.pods()
        await jobs.delete("p", grace=0)
    async with asyncio.timeout(30):
        while list(client.list(Job, namespace=namespace)):  # noqa: ASYNC110 - polled on purpose
            await asyncio.sleep(0.1)
