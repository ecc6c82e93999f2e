"""What a task asks of Kubernetes, in its pod's request."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from toolkit_jobs import (
    ClaimMount,
    ConfigMapKey,
    ConfigMapMount,
    EmptyMount,
    FieldPath,
    GpuRequest,
    Identity,
    InitContainer,
    Placement,
    PodRequest,
    Resources,
    SecretKey,
    SecretMount,
)
from toolkit_pipelines import podspec
from toolkit_pipelines.podspec import Objects
from toolkit_pipelines.spec import SpecError, kubernetes
from toolkit_pipelines.spec.kubernetes import KubernetesSettings
from toolkit_pipelines.spec.model import (
    Accelerator,
    Constant,
    Container,
    DagInput,
    ParameterSource,
)
from toolkit_pipelines.spec.model import Resources as SpecResources

OWN = SecretKey("mlflow", "token")
PLAIN = PodRequest(
    "pod",
    "image",
    ("run",),
    env={"TOKEN": OWN},
    mounts=(ClaimMount("/minio", "root"),),
    labels={"toolkit.canonical.com/run": "r"},
)


def extend(
    container: Container | None = None,
    given: dict[str, Any] | None = None,
    plain: PodRequest = PLAIN,
    **settings: Any,
) -> tuple[PodRequest, Objects]:
    def look_up(source: ParameterSource) -> Any:
        if isinstance(source, Constant):
            return source.value
        assert isinstance(source, DagInput)
        return (given or {}).get(source.name)

    made = container or Container("image", kubernetes=KubernetesSettings(**settings))
    return podspec.extend(plain, made, lambda text: text.replace("{n}", "3"), look_up)


def test_nothing_asked_changes_nothing() -> None:
    assert extend() == (PLAIN, Objects())


def test_resources_and_accelerators_with_their_placeholders() -> None:
    resources = SpecResources("1", "2", "1Gi", "{n}Gi", Accelerator("nvidia.com/gpu", "{n}"))
    request, _ = extend(Container("image", resources=resources))
    assert request.resources == Resources("1", "1Gi", "2", "3Gi")
    assert request.gpus == GpuRequest(3, "nvidia.com/gpu")


@pytest.mark.parametrize(
    ("accelerator", "problem"),
    [
        (Accelerator("TPU_V3", "1"), "is no resource of Kubernetes"),
        (Accelerator("nvidia.com/gpu", "many"), "not a whole number"),
    ],
)
def test_what_a_parameter_gave_is_checked(accelerator: Accelerator, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        extend(Container("image", resources=SpecResources(accelerator=accelerator)))


def test_an_accelerator_that_says_nothing_is_left_to_the_operator() -> None:
    request, _ = extend(Container("image"))
    assert request.gpus == GpuRequest()


def test_everything_that_is_read_is_told() -> None:
    request, objects = extend(
        given={"s": "db"},
        secret_variables=(kubernetes.KeyVariable("PASSWORD", DagInput("s"), "password"),),
        config_map_variables=(kubernetes.KeyVariable("LEVEL", Constant("c"), "level", True),),
        field_variables={"POD": "metadata.name"},
        secret_files=(kubernetes.Files("/s", Constant("files")),),
        config_map_files=(kubernetes.Files("/c", Constant("more"), True),),
        claims=(kubernetes.ClaimFolder("/d", Constant("data"), "x"),),
        empty_folders=(EmptyMount("/dev/shm", "Memory", "1Gi"),),
        pull_secrets=(Constant("hub"),),
        claim_templates=(Constant("nic"),),
        pull_policy="Always",
        identity=kubernetes.Identity(5),
        deadline=60,
        labels={"team": "a", "toolkit.canonical.com/run": "forged"},
        annotations={"note": "b"},
    )
    assert request.env == {
        "TOKEN": OWN,
        "PASSWORD": SecretKey("db", "password"),
        "LEVEL": ConfigMapKey("c", "level", optional=True),
        "POD": FieldPath("metadata.name"),
    }
    assert request.mounts == (
        *PLAIN.mounts,
        SecretMount("/s", "files"),
        ConfigMapMount("/c", "more", optional=True),
        ClaimMount("/d", "data", "x"),
        EmptyMount("/dev/shm", "Memory", "1Gi"),
    )
    assert request.pull_secrets == ("hub",)
    assert request.claim_templates == ("nic",)
    assert (request.pull_policy, request.deadline) == ("Always", 60)
    assert request.identity == Identity(5)
    assert request.labels == {"team": "a", "toolkit.canonical.com/run": "r"}
    assert request.annotations == {"note": "b"}
    assert objects == Objects(
        frozenset({"db", "files"}), frozenset({"c", "more"}), frozenset({"data"})
    )


def test_what_has_no_value_is_left_out() -> None:
    request, objects = extend(
        secret_variables=(kubernetes.KeyVariable("A", DagInput("no"), "k"),),
        config_map_variables=(kubernetes.KeyVariable("B", DagInput("no"), "k"),),
        secret_files=(kubernetes.Files("/s", DagInput("no")),),
        config_map_files=(kubernetes.Files("/c", DagInput("no")),),
        pull_secrets=(DagInput("no"),),
        node_selector=DagInput("no"),
        tolerations=(DagInput("no"),),
        node_affinities=(DagInput("no"),),
    )
    assert (request, objects) == (PLAIN, Objects())


def test_placement_from_parameters() -> None:
    spot, gpu = {"key": "spot"}, {"key": "gpu"}
    term, more = {"matchExpressions": [1]}, {"matchExpressions": [2]}
    hard = "requiredDuringSchedulingIgnoredDuringExecution"
    soft = "preferredDuringSchedulingIgnoredDuringExecution"
    request, _ = extend(
        given={
            "selector": {"pool": "a"},
            "many": [spot, {}],
            "one": gpu,
            "affinity": {hard: {"nodeSelectorTerms": [more]}, soft: [{"weight": 1}]},
        },
        node_selector=DagInput("selector"),
        tolerations=(DagInput("many"), DagInput("one"), {"key": "own"}),
        node_affinity={hard: {"nodeSelectorTerms": [term]}},
        node_affinities=(DagInput("affinity"),),
        pod_affinity={"podAffinity": {"p": 1}},
    )
    assert request.placement == Placement(
        {"pool": "a"},
        (spot, gpu, {"key": "own"}),
        {
            "podAffinity": {"p": 1},
            "nodeAffinity": {hard: {"nodeSelectorTerms": [term, more]}, soft: [{"weight": 1}]},
        },
    )


@pytest.mark.parametrize(
    ("settings", "value", "problem"),
    [
        ({"node_selector": DagInput("x")}, {"a": 1}, "not the value of a label"),
        ({"node_selector": DagInput("x")}, "a", "expected a map"),
        ({"tolerations": (DagInput("x"),)}, "a", "not a toleration"),
        ({"node_affinities": (DagInput("x"),)}, [], "not a node affinity"),
        ({"pull_secrets": (DagInput("x"),)}, "../a", "not the name of an object"),
        ({"claims": (kubernetes.ClaimFolder("/d", DagInput("x")),)}, None, "has no name"),
    ],
)
def test_what_parameters_gave_must_be_of_kubernetes(
    settings: dict[str, Any], value: Any, problem: str
) -> None:
    with pytest.raises(SpecError, match=problem):
        extend(given={"x": value}, **settings)


FETCH = kubernetes.InitContainer(
    "fetch", "alpine", ("sh",), mounts={"/out": "scratch", "/in": "data", "/w": "kfp-workspace"}
)


def test_init_containers_see_the_volumes_of_the_task_by_name() -> None:
    plain = dataclasses.replace(PLAIN, mounts=(ClaimMount("/kfp-workspace", "own"),))
    request, _ = extend(
        plain=plain,
        given={"c": "data"},
        claims=(kubernetes.ClaimFolder("/d", DagInput("c"), "x"),),
        empty_folders=(EmptyMount("/s"),),
        volumes={"scratch": "/s"},
        before=(FETCH,),
    )
    assert request.before == (
        InitContainer(
            "fetch",
            "alpine",
            ("sh",),
            mounts={"/out": "/s", "/in": "/d", "/w": "/kfp-workspace"},
        ),
    )


@pytest.mark.parametrize("name", ["root", "own", "volume-0", "other"])
def test_no_name_leads_an_init_container_to_what_the_service_mounts(name: str) -> None:
    # PLAIN has the pipeline root, of the claim `root`.
    plain = dataclasses.replace(PLAIN, mounts=(*PLAIN.mounts, ClaimMount("/kfp-workspace", "own")))
    before = kubernetes.InitContainer("fetch", "alpine", mounts={"/in": name})
    with pytest.raises(SpecError, match="its volumes are: kfp-workspace, scratch"):
        extend(
            plain=plain,
            empty_folders=(EmptyMount("/s"),),
            volumes={"scratch": "/s"},
            before=(before,),
        )


def test_resource_claims_from_parameters() -> None:
    given = {"one": {"resourceClaimTemplateName": "a"}, "none": None}
    given["two"] = [given["one"], {"resourceClaimTemplateName": "b"}]
    sources = tuple(map(DagInput, given))
    request, _ = extend(
        given=given, claim_templates=(Constant("nic"),), claim_configurations=sources
    )
    assert request.claim_templates == ("nic", "a", "a", "b")


@pytest.mark.parametrize("value", ["a", {"resourceClaimTemplateName": "A b"}, {"name": "a"}, [[]]])
def test_a_resource_claim_that_is_none_is_named(value: Any) -> None:
    with pytest.raises(SpecError, match="resourceClaimJson"):
        extend(given={"c": value}, claim_configurations=(DagInput("c"),))
