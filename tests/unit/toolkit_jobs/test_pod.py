"""Manifests: what a request says wins, what it leaves open the options fill in."""

from __future__ import annotations

import dataclasses

import pytest

from toolkit_jobs import (
    ClaimMount,
    ConfigMapKey,
    EmptyMount,
    FieldPath,
    GpuMode,
    GpuOptions,
    GpuRequest,
    Identity,
    ImageMount,
    InitContainer,
    Placement,
    PodOptions,
    PodRequest,
    Resources,
    SecretKey,
)
from toolkit_jobs.pod import manifest

OPTIONS = PodOptions("ml", {"app": "x"}, Resources("100m", "128Mi", "", "1Gi"))


def test_a_manifest() -> None:
    request = PodRequest(
        "p",
        "image",
        ("run", "it"),
        env={"A": "b", "T": SecretKey("s", "k")},
        mounts=(
            ClaimMount("/data", "claim", "a/b", read_only=True),
            ClaimMount("/data/own", "claim", "a/b/c"),
            ImageMount("/tools", "tools:1", "opt"),
            EmptyMount("/scratch"),
        ),
        labels={"run": "r", "app": "not mine to set"},
        annotations={"n": "m"},
        deadline=60,
    )
    found = manifest(request, OPTIONS)
    assert found["metadata"]["labels"] == {"run": "r", "app": "x"}
    spec = found["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] == 60
    (container,) = spec["containers"]
    assert container["env"] == [
        {"name": "A", "value": "b"},
        {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    assert spec["volumes"] == [
        {"name": "volume-0", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "volume-1", "image": {"reference": "tools:1"}},
        {"name": "volume-2", "emptyDir": {}},
    ]
    assert container["volumeMounts"] == [
        {"name": "volume-0", "mountPath": "/data", "subPath": "a/b", "readOnly": True},
        {"name": "volume-0", "mountPath": "/data/own", "subPath": "a/b/c"},
        {"name": "volume-1", "mountPath": "/tools", "subPath": "opt", "readOnly": True},
        {"name": "volume-2", "mountPath": "/scratch"},
    ]


def test_the_selector() -> None:
    assert PodOptions("n", {"b": "2", "a": "1"}).selector == "a=1,b=2"


GPU = dataclasses.replace(
    OPTIONS,
    gpus=GpuOptions(count=1),
    placement=Placement(node_selector={"pool": "gpu"}, runtime_class="nvidia"),
    queue="ml",
    shm_size="1Gi",
    service_account="steps",
)


def test_the_operators_options() -> None:
    found = manifest(PodRequest("p", "image", ("run",)), GPU)["spec"]
    (container,) = found["containers"]
    assert container["resources"]["limits"] == {"memory": "1Gi", "nvidia.com/gpu": "1"}
    assert found["nodeSelector"] == {"pool": "gpu"}
    assert found["runtimeClassName"] == "nvidia"
    assert found["serviceAccountName"] == "steps"
    assert found["automountServiceAccountToken"] is False
    (volume,), (mount,) = found["volumes"], container["volumeMounts"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert mount == {"name": volume["name"], "mountPath": "/dev/shm"}


def test_what_is_not_asked_for_is_not_there() -> None:
    found = manifest(PodRequest("p", "image", ("run",)), PodOptions("ml", {"app": "x"}))["spec"]
    assert set(found) == {
        "restartPolicy",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "terminationGracePeriodSeconds",
        "containers",
        "volumes",
    }
    assert set(found["containers"][0]) == {"name", "image", "command", "env", "volumeMounts"}


def test_the_requests_own_word_wins() -> None:
    request = PodRequest(
        "p",
        "image",
        ("run",),
        env={"C": ConfigMapKey("m", "k", optional=True), "F": FieldPath("metadata.name")},
        gpus=GpuRequest(2, "amd.com/gpu"),
        placement=Placement(node_selector={"pool": "amd"}, runtime_class="kata"),
        shm_size="2Gi",
        claim_templates=("nic",),
        pull_policy="Always",
        pull_secrets=("hub",),
        identity=Identity(1000, non_root=True),
    )
    found = manifest(request, GPU)["spec"]
    (container,) = found["containers"]
    assert container["resources"]["limits"] == {"memory": "1Gi", "amd.com/gpu": "2"}
    assert container["resources"]["claims"] == [{"name": "claim-0"}]
    assert container["imagePullPolicy"] == "Always"
    assert container["securityContext"] == {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["env"] == [
        {
            "name": "C",
            "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": True}},
        },
        {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    assert found["nodeSelector"] == {"pool": "amd"}
    assert found["runtimeClassName"] == "kata"
    assert found["imagePullSecrets"] == [{"name": "hub"}]
    assert found["resourceClaims"] == [{"name": "claim-0", "resourceClaimTemplateName": "nic"}]
    assert found["volumes"][0]["emptyDir"]["sizeLimit"] == "2Gi"


def test_shared_memory_that_the_request_mounts_itself_is_left_alone() -> None:
    request = PodRequest("p", "image", ("run",), mounts=(EmptyMount("/dev/shm"),))
    (volume,) = manifest(request, GPU)["spec"]["volumes"]
    assert volume["emptyDir"] == {}


def test_devices_of_a_class() -> None:
    options = dataclasses.replace(
        GPU, gpus=GpuOptions(GpuMode.DRA, count=2, device_class="gpu.nvidia.com")
    )
    found = manifest(PodRequest("p", "image", ("run",)), options)["spec"]
    (claim,) = found["resourceClaims"]
    template = options.gpus_of(PodRequest("p", "image", ("run",))).template(options.labels)
    assert template is not None
    assert claim["resourceClaimTemplateName"] == template["metadata"]["name"]
    assert found["containers"][0]["resources"]["claims"] == [{"name": claim["name"]}]
    assert "nvidia.com/gpu" not in str(found["containers"][0]["resources"])


def test_memory_is_asked_of_the_nodes_labels() -> None:
    options = dataclasses.replace(GPU, gpus=GpuOptions(count=1, memory="16Gi"))
    found = manifest(PodRequest("p", "image", ("run",)), options)["spec"]["affinity"]
    required = found["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    wanted = {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["16383"]}
    assert required == {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}


@pytest.mark.parametrize("own", ["", "mine"])
def test_a_queue_is_the_requests_or_the_operators(own: str) -> None:
    labels = {"kueue.x-k8s.io/queue-name": own} if own else {}
    request = PodRequest("p", "image", ("run",), labels=labels)
    assert GPU.queue_of(request) == (own or "ml")


def test_an_auxiliary_pod_takes_no_gpu_and_waits_in_no_queue() -> None:
    request = PodRequest("p", "image", ("run",), auxiliary=True)
    found = manifest(request, GPU)["spec"]
    assert "nvidia.com/gpu" not in str(found["containers"])
    assert found["nodeSelector"] == {"pool": "gpu"}
    assert GPU.queue_of(request) == ""


def test_what_runs_before_has_the_volumes_of_its_own_container() -> None:
    request = PodRequest(
        "p",
        "image",
        ("run",),
        mounts=(ClaimMount("/data", "claim", "a/b", read_only=True), EmptyMount("/scratch")),
        identity=Identity(user=1000),
        pull_policy="Always",
        before=(
            InitContainer(
                "fetch",
                "alpine",
                ("sh", "-c"),
                ("date",),
                {"TZ": "UTC"},
                {"/out": "/scratch", "/in": "/data"},
                {"cpu": "1"},
                {"memory": "1Gi"},
            ),
            InitContainer("proxy", "proxy:1", sidecar=True),
        ),
    )
    identity = {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}}
    same = {
        "imagePullPolicy": "Always",
        "securityContext": identity,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    assert manifest(request, OPTIONS)["spec"]["initContainers"] == [
        {
            "name": "fetch",
            "image": "alpine",
            "command": ["sh", "-c"],
            "args": ["date"],
            "env": [{"name": "TZ", "value": "UTC"}],
            "volumeMounts": [
                {"name": "volume-1", "mountPath": "/out"},
                {"name": "volume-0", "mountPath": "/in"},
            ],
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
            **same,
        },
        {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always", **same},
    ]
    plain = manifest(dataclasses.replace(request, before=()), OPTIONS)
    assert "initContainers" not in plain["spec"]
