"""Platform specs: what `kfp.kubernetes` compiles is read, what is not built is refused by name."""

# No `from __future__ import annotations`: the SDK reads the annotations themselves.

import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit_jobs import EmptyMount, EphemeralMount, InitContainer
from toolkit_pipelines import spec
from toolkit_pipelines.spec import NotSupportedError, SpecError, platform
from toolkit_pipelines.spec.kubernetes import (
    ClaimFolder,
    Files,
    Identity,
    KeyVariable,
    KubernetesSettings,
)
from toolkit_pipelines.spec.model import Constant, Container, DagInput, TaskOutput

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's notes on its own default image
    from kfp import compiler, dsl, kubernetes

IN = {"key": "zone", "operator": "In", "values": ["a", "b"]}


def read(**config: Any) -> KubernetesSettings:
    executors = {"exec": config}
    return platform.read(
        {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
    )["exec"]


with warnings.catch_warnings():
    warnings.simplefilter("ignore")

    @dsl.component(base_image="python:3.11")
    def name() -> str:
        return "made"

    @dsl.component(base_image="python:3.11")
    def work():
        pass


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "p.yaml"

    @dsl.pipeline(name="p")
    def pipeline(secret: str = "given"):
        task = work()
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(2)
        kubernetes.add_node_selector(task, "pool", "gpu")
        kubernetes.add_toleration(task, "nvidia.com/gpu", "Exists", effect="NoSchedule")
        kubernetes.add_node_affinity(task, [IN])
        kubernetes.add_node_affinity(task, [IN], weight=5)
        kubernetes.use_secret_as_env(task, secret, {"password": "PASSWORD"})
        kubernetes.use_secret_as_volume(task, "files", "/mnt/files")
        kubernetes.use_config_map_as_env(task, "settings", {"level": "LEVEL"})
        kubernetes.use_config_map_as_volume(task, "settings", "/mnt/settings", optional=True)
        kubernetes.use_field_path_as_env(task, "POD", "metadata.name")
        kubernetes.mount_pvc(task, name().output, "/mnt/data", "below")
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", "Memory", "2Gi")
        kubernetes.add_ephemeral_volume(task, "scratch", "/scratch", ["ReadWriteOnce"], "5Gi")
        kubernetes.add_pod_label(task, "team", "vision")
        kubernetes.add_pod_annotation(task, "note", "a note")
        kubernetes.set_image_pull_policy(task, "Always")
        kubernetes.set_image_pull_secrets(task, ["hub"])
        kubernetes.set_security_context(task, run_as_user=1000)
        kubernetes.set_timeout(task, 60)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(pipeline, str(path))
    return path


def test_what_the_sdk_compiles_is_read(compiled: Path) -> None:
    pipeline = spec.load(compiled.read_bytes())
    body = pipeline.component("work").body
    assert isinstance(body, Container)
    assert (body.resources.accelerator.type, body.resources.accelerator.count) == (
        "nvidia.com/gpu",
        "2",
    )
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    term = {"matchExpressions": [IN]}
    assert body.kubernetes == KubernetesSettings(
        secret_variables=(KeyVariable("PASSWORD", DagInput("secret"), "password", False),),
        config_map_variables=(KeyVariable("LEVEL", Constant("settings"), "level", False),),
        field_variables={"POD": "metadata.name"},
        secret_files=(Files("/mnt/files", Constant("files")),),
        config_map_files=(Files("/mnt/settings", Constant("settings"), True),),
        claims=(ClaimFolder("/mnt/data", TaskOutput("name", "Output"), "below"),),
        empty_folders=(EmptyMount("/dev/shm", "Memory", "2Gi"),),
        ephemeral_folders=(EphemeralMount("/scratch", "5Gi", ("ReadWriteOnce",)),),
        volumes={"shm": "/dev/shm", "scratch": "/scratch"},
        node_selector={"pool": "gpu"},
        tolerations=(toleration,),
        node_affinity={
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "preference": term}],
        },
        labels={"team": "vision"},
        annotations={"note": "a note"},
        pull_policy="Always",
        pull_secrets=(Constant("hub"),),
        identity=Identity(1000),
        deadline=60,
    )


def test_a_task_waits_for_what_its_settings_come_from(compiled: Path) -> None:
    assert "name" in spec.load(compiled.read_bytes()).task("work").upstream


def test_a_setting_must_come_from_something_that_there_is(compiled: Path) -> None:
    ir, kubernetes_spec = yaml.safe_load_all(compiled.read_text())
    executor = kubernetes_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"][
        "exec-work"
    ]
    for source, problem in (
        ({"componentInputParameter": "no"}, "no input parameter 'no'"),
        (
            {"taskOutputParameter": {"producerTask": "no", "outputParameterKey": "o"}},
            "no task 'no'",
        ),
        (
            {"taskOutputParameter": {"producerTask": "name", "outputParameterKey": "o"}},
            "no output parameter 'o'",
        ),
    ):
        executor["imagePullSecret"] = [{"secretNameParameter": source}]
        with pytest.raises(SpecError, match=problem):
            spec.parse(ir, kubernetes_spec)


def test_pod_affinity_and_shared_memory_have_no_function_in_the_sdk_but_a_message() -> None:
    found = read(
        podAffinity=[
            {"topologyKey": "zone", "matchPodLabels": {"app": "x"}, "anti": True},
            {
                "topologyKey": "host",
                "matchPodExpressions": [IN],
                "matchNamespaceLabels": {"team": "a"},
                "namespaces": ["b"],
                "weight": 3,
            },
        ],
        enabledSharedMemory={"volumeName": "shm", "size": "1Gi"},
        podResourceClaims=[
            {"resourceClaimTemplateName": "nic"},
            {"resourceClaimJson": {"componentInputParameter": "claim"}},
        ],
        initContainers=[{"name": "fetch", "image": "alpine"}],
        nodeAffinity=[{}],
    )
    assert found.pod_affinity == {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}}
            ]
        },
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 3,
                    "podAffinityTerm": {
                        "topologyKey": "host",
                        "labelSelector": {"matchExpressions": [IN]},
                        "namespaceSelector": {"matchLabels": {"team": "a"}},
                        "namespaces": ["b"],
                    },
                }
            ]
        },
    }
    assert found.empty_folders == (EmptyMount("/dev/shm", "Memory", "1Gi"),)
    assert found.claim_templates == (Constant("nic"),)
    assert found.claim_configurations == (DagInput("claim"),)
    assert found.before == (InitContainer("fetch", "alpine"),)
    assert DagInput("claim") in found.sources()
    assert found.node_affinity == {}


def test_names_as_older_compilers_write_them() -> None:
    found = read(
        secretAsVolume=[{"secretName": "s", "mountPath": "/s"}],
        pvcMount=[
            {"constant": "c", "mountPath": "/c"},
            {"componentInputParameter": "claim", "mountPath": "/d"},
        ],
        imagePullSecret=[{"secretName": "hub"}],
        activeDeadlineSeconds="3600",
        tolerations=[{"key": "a", "tolerationSeconds": "30"}],
    )
    assert found.secret_files == (Files("/s", Constant("s")),)
    assert found.claims == (
        ClaimFolder("/c", Constant("c")),
        ClaimFolder("/d", DagInput("claim")),
    )
    assert found.pull_secrets == (Constant("hub"),)
    assert found.deadline == 3600
    assert found.tolerations == ({"key": "a", "tolerationSeconds": 30},)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"secretAsEnv": [{"keyToEnv": []}]}, "a value is required"),
        ({"secretAsEnv": [{"secretName": "A B"}]}, "not the name of an object"),
        ({"secretAsEnv": [{"secretNameParameter": {}}]}, "exactly one source"),
        (
            {
                "secretAsEnv": [
                    {"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "1"}]}
                ]
            },
            "not the name of an environment variable",
        ),
        ({"secretAsVolume": [{"secretName": "s", "mountPath": "a"}]}, "not an absolute path"),
        ({"secretAsVolume": [{"secretName": "s", "mountPath": "/a/../b"}]}, "not an absolute"),
        ({"secretAsVolume": [{"secretName": "s", "mountPath": "/toolkit/bin"}]}, "service's own"),
        ({"emptyDirMounts": [{"mountPath": "/minio"}]}, "service's own"),
        ({"pvcMount": [{"constant": "c", "mountPath": "/a", "subPath": "../b"}]}, "below the vol"),
        (
            {"emptyDirMounts": [{"volumeName": "v", "mountPath": path} for path in ("/a", "/b")]},
            "two volumes 'v'",
        ),
        ({"podMetadata": {"labels": {"toolkit.canonical.com/run": "x"}}}, "the service's own"),
        ({"podMetadata": {"labels": {"a b": "x"}}}, "not the name of a label"),
        ({"podMetadata": {"labels": {"a": "x y"}}}, "not the value of a label"),
        ({"podMetadata": {"annotations": {"a": 1}}}, "expected a string"),
        ({"imagePullPolicy": "Sometimes"}, "none of Always"),
        ({"activeDeadlineSeconds": -1}, "not a whole number"),
        ({"tolerations": {"key": "a"}}, "expected a list"),
        ({"tolerations": [{"key": 1}]}, "expected a string"),
        ({"nodeSelector": {"labels": {"a": 1}}}, "not the value of a label"),
        ({"nodeAffinity": [{"matchExpressions": [{"key": "a"}]}]}, "a value is required"),
        ({"podAffinity": [{}]}, "a value is required"),
        (
            {"genericEphemeralVolume": [{"mountPath": "/a", "accessModes": ["Any"]}]},
            "one or more of ReadWriteOnce",
        ),
        ({"privileged": True}, "unknown field 'privileged'"),
        ({"initContainers": [{"name": "a"}]}, "a value is required"),
        (
            {
                "podResourceClaims": [
                    {"resourceClaimJson": {"runtimeValue": {"constant": {"name": "a"}}}}
                ]
            },
            "unknown field 'name'",
        ),
        ({"securityContext": {"privileged": True}}, "unknown field 'privileged'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(config: Any, problem: str) -> None:
    with pytest.raises(SpecError, match=problem) as caught:
        read(**config)
    assert caught.value.where.startswith("platform spec.platforms.kubernetes")


@pytest.mark.parametrize(
    ("document", "construct"),
    [
        ({"vertex": {"pipelineConfig": {"workspace": {"size": "1Gi"}}}}, "'vertex'"),
        ({"vertex": {"pipelineConfig": {"activeDeadlineSeconds": 5}}}, "'vertex'"),
        ({"kubernetes": {"pipelineConfig": {"ttl": 1}}}, "dsl.PipelineConfig"),
        ({"kubernetes": {"config": {"a": 1}}}, "platform configuration"),
        ({"other": {"deploymentSpec": {"executors": {"e": {"a": 1}}}}}, "the platform 'other'"),
    ],
)
def test_what_is_not_built_is_refused_by_name(document: Any, construct: str) -> None:
    with pytest.raises(NotSupportedError) as caught:
        platform.read({"platforms": document})
    assert construct in str(caught.value)


def test_a_platform_that_says_nothing() -> None:
    assert platform.read(None) == {}
    assert (
        platform.read({"platforms": {"other": {"deploymentSpec": {"executors": {"e": {}}}}}}) == {}
    )
    assert read() == KubernetesSettings()
