"""Pods land on the nodes that their requests say, on the real scheduler."""

from __future__ import annotations

import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.core_v1 import (
    Affinity,
    Container,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PodResourceClaim,
    PodSpec,
    ResourceQuotaSpec,
    ResourceRequirements,
    Toleration,
)
from lightkube.models.core_v1 import (
    ResourceClaim as ContainerClaim,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.resource_v1 import (
    DeviceClaim,
    DeviceRequest,
    ExactDeviceRequest,
    ResourceClaimSpec,
    ResourceClaimTemplateSpec,
)
from lightkube.resources.core_v1 import Event, Node, Pod, ResourceQuota
from lightkube.resources.resource_v1 import ResourceClaim, ResourceClaimTemplate

from .cluster import claims
from .cluster.fakes import ENDS_AFTER

GPU_TOLERATION = Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
H100 = NodeSelectorRequirement(
    key="nvidia.com/gpu.product", operator="In", values=["NVIDIA-H100-80GB-HBM3"]
)


@pytest.fixture
def run(client, nodes, namespace):
    """Create a pod that ends by itself."""

    def create(name, limits=None, ends=True, **spec):
        resources = spec.pop("resources", ResourceRequirements(limits=limits))
        main = Container(name="main", image="busybox", resources=resources)
        annotations = {ENDS_AFTER: "100ms"} if ends else {}
        body = Pod(
            metadata=ObjectMeta(name=name, namespace=namespace, annotations=annotations),
            spec=PodSpec(restartPolicy="Never", containers=[main], **spec),
        )
        return client.create(body)

    return create


@pytest.fixture
def ended(client, namespace, wait):
    """The pod, once it ended well."""

    def get(name):
        def done():
            found = client.get(Pod, name, namespace=namespace)
            return found if found.status.phase == "Succeeded" else None

        return wait(done)

    return get


@pytest.fixture
def refused(client, namespace, wait):
    """Why the scheduler does not place a pod, in its words."""

    def words(name):
        def told():
            found = client.get(Pod, name, namespace=namespace)
            for item in found.status.conditions or []:
                if item.type == "PodScheduled" and item.status == "False":
                    assert item.reason == "Unschedulable"
                    return item.message
            return None

        return wait(told)

    return words


@pytest.mark.parametrize(
    ("limits", "spec", "node"),
    [
        ({"nvidia.com/gpu": "1"}, {"tolerations": [GPU_TOLERATION]}, "nvidia"),
        ({"nvidia.com/gpu": "8"}, {"tolerations": [GPU_TOLERATION]}, "nvidia"),
        ({"nvidia.com/mig-1g.10gb": "2"}, {}, "mig"),
        ({"amd.com/gpu": "4"}, {}, "amd"),
        ({"cpu": "1"}, {"nodeSelector": {"kubernetes.io/hostname": "plain"}}, "plain"),
        (
            {"cpu": "1"},
            {
                "tolerations": [GPU_TOLERATION],
                "affinity": Affinity(
                    nodeAffinity=NodeAffinity(
                        requiredDuringSchedulingIgnoredDuringExecution=NodeSelector(
                            nodeSelectorTerms=[NodeSelectorTerm(matchExpressions=[H100])]
                        )
                    )
                ),
            },
            "nvidia",
        ),
    ],
)
def test_it_lands_where_it_fits(run, ended, limits, spec, node):
    run("p", limits, **spec)
    assert ended("p").spec.nodeName == node


@pytest.mark.parametrize(
    ("limits", "spec", "words"),
    [
        (
            {"nvidia.com/gpu": "9"},
            {"tolerations": [GPU_TOLERATION]},
            "Insufficient nvidia.com/gpu",
        ),
        ({"nvidia.com/gpu": "1"}, {}, "untolerated taint"),
        ({"nvidia.com/mig-2g.20gb": "1"}, {}, "Insufficient nvidia.com/mig-2g.20gb"),
        ({"amd.com/gpu": "5"}, {}, "Insufficient amd.com/gpu"),
        ({"cpu": "1"}, {"nodeSelector": {"no": "where"}}, "node affinity/selector"),
    ],
)
def test_what_fits_nowhere_waits_with_the_reason(
    client, namespace, run, refused, wait, limits, spec, words
):
    run("p", limits, **spec)
    message = refused("p")
    assert message.startswith(f"0/{len(list(client.list(Node)))} nodes are available")
    assert words in message

    def told():
        return [
            item
            for item in client.list(Event, namespace=namespace)
            if item.reason == "FailedScheduling" and words in item.message
        ]

    assert wait(told)[0].involvedObject.name == "p"
    assert client.get(Pod, "p", namespace=namespace).status.phase == "Pending"


def test_what_waits_runs_when_there_is_room(client, namespace, run, refused, ended):
    whole = {"nvidia.com/gpu": "8"}
    body = run("first", whole, tolerations=[GPU_TOLERATION])
    assert body.spec.nodeName is None
    run("second", whole, tolerations=[GPU_TOLERATION])
    # The first ends by itself; then there is room.
    assert ended("first").spec.nodeName == "nvidia"
    assert ended("second").spec.nodeName == "nvidia"


def test_a_quota_holds_for_the_namespace(client, namespace, run, wait):
    quota = ResourceQuota(
        metadata=ObjectMeta(name="gpus", namespace=namespace),
        spec=ResourceQuotaSpec(hard={"requests.nvidia.com/gpu": "2"}),
    )
    client.create(quota)
    wait(lambda: client.get(ResourceQuota, "gpus", namespace=namespace).status.hard)
    run("within", {"nvidia.com/gpu": "2"}, tolerations=[GPU_TOLERATION])
    with pytest.raises(ApiError, match="exceeded quota: gpus") as caught:
        run("over", {"nvidia.com/gpu": "1"}, tolerations=[GPU_TOLERATION])
    assert caught.value.status.code == 403


@pytest.fixture(scope="session")
def devices(client, nodes):
    claims.publish(client, "plain", 2)


def request(count):
    exact = ExactDeviceRequest(deviceClassName=claims.DRIVER, count=count)
    return ResourceClaimSpec(
        devices=DeviceClaim(requests=[DeviceRequest(name="gpu", exactly=exact)])
    )


@pytest.fixture
def claiming(client, namespace, run):
    """Create a pod whose claim is made from a template."""

    def create(name, count):
        client.create(
            ResourceClaimTemplate(
                metadata=ObjectMeta(name=name, namespace=namespace),
                spec=ResourceClaimTemplateSpec(spec=request(count)),
            )
        )
        # It goes on: a claim made from a template goes when its pod ends.
        run(
            name,
            ends=False,
            resources=ResourceRequirements(claims=[ContainerClaim(name="gpu")]),
            resourceClaims=[PodResourceClaim(name="gpu", resourceClaimTemplateName=name)],
        )

    return create


def test_a_claim_is_allocated_where_the_devices_are(client, namespace, devices, claiming, wait):
    claiming("p", 2)

    def runs():
        found = client.get(Pod, "p", namespace=namespace)
        return found if found.status.phase == "Running" else None

    assert wait(runs).spec.nodeName == "plain"
    (claim,) = client.list(ResourceClaim, namespace=namespace)
    results = claim.status.allocation.devices.results
    assert {item.device for item in results} == {"gpu-0", "gpu-1"}
    assert {item.driver for item in results} == {claims.DRIVER}


def test_a_claim_of_more_than_there_is_waits_with_the_reason(devices, claiming, refused):
    claiming("p", 3)
    assert "cannot allocate all claims" in refused("p")


def test_a_claim_of_an_unknown_class_waits_with_the_reason(
    client, namespace, devices, claiming, refused
):
    spec = request(1)
    spec.devices.requests[0].exactly.deviceClassName = "missing.example.com"
    client.create(ResourceClaim(metadata=ObjectMeta(name="odd", namespace=namespace), spec=spec))
    body = Pod(
        metadata=ObjectMeta(name="p", namespace=namespace),
        spec=PodSpec(
            containers=[
                Container(
                    name="main",
                    image="busybox",
                    resources=ResourceRequirements(claims=[ContainerClaim(name="gpu")]),
                )
            ],
            resourceClaims=[PodResourceClaim(name="gpu", resourceClaimName="odd")],
        ),
    )
    client.create(body)
    assert "device class missing.example.com does not exist" in refused("p")
