"""Workspaces and tasks of claims: what specs say of them, and what they may not."""

# No `from __future__ import annotations`: the SDK reads the annotations themselves.

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit_pipelines import spec
from toolkit_pipelines.spec import NotSupportedError, SpecError
from toolkit_pipelines.spec.model import ClaimTask, Importer, Workspace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's notes on its own default image
    from kfp import compiler, dsl, kubernetes

    @dsl.component(base_image="python:3.11")
    def work(path: str):
        pass


PATCH = {"accessModes": ["ReadWriteMany"], "storageClassName": "shared"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    path = tmp_path_factory.mktemp("compiled") / "p.yaml"
    config = dsl.KubernetesWorkspaceConfig(pvcSpecPatch=PATCH)

    @dsl.pipeline(
        name="p",
        pipeline_config=dsl.PipelineConfig(
            workspace=dsl.WorkspaceConfig(size="2Gi", kubernetes=config)
        ),
    )
    def pipeline(uri: str):
        work(path=dsl.WORKSPACE_PATH_PLACEHOLDER)
        dsl.importer(artifact_uri=uri, artifact_class=dsl.Model, download_to_workspace=True)
        made = kubernetes.CreatePVC(access_modes=["ReadWriteOnce"], size="1Gi", pvc_name="a")
        kubernetes.DeletePVC(pvc_name=made.outputs["name"])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.Compiler().compile(pipeline, str(path))
    document, platform_spec = yaml.safe_load_all(Path(path).read_text())
    return document, platform_spec


def test_what_the_sdk_compiles_is_read(compiled: tuple[Any, Any]) -> None:
    pipeline = spec.parse(*compiled)
    assert pipeline.workspace == Workspace("2Gi", PATCH)
    importer = pipeline.component("importer")
    assert isinstance(importer.body, Importer)
    assert importer.body.to_workspace
    assert (importer.has_pod, importer.acts) == (True, False)
    made, deleted = pipeline.component("createpvc"), pipeline.component("deletepvc")
    assert (made.body, deleted.body) == (ClaimTask(False), ClaimTask(True))
    assert (made.has_pod, made.acts) == (False, True)
    assert pipeline.component("work").has_pod


def test_without_a_workspace_nothing_may_ask_for_it(compiled: tuple[Any, Any]) -> None:
    document = copy.deepcopy(compiled[0])
    with pytest.raises(SpecError, match=r"downloadToWorkspace: .*dsl\.WorkspaceConfig"):
        spec.parse(document)
    del document["deploymentSpec"]["executors"]["exec-importer"]["importer"]["downloadToWorkspace"]
    with pytest.raises(SpecError, match=r"tasks\.work: dsl\.WORKSPACE_PATH_PLACEHOLDER"):
        spec.parse(document)
    document["root"]["dag"]["tasks"]["work"]["inputs"]["parameters"]["path"] = {
        "runtimeValue": {"constant": "/anywhere"}
    }
    assert spec.parse(document).workspace is None


@pytest.mark.parametrize(
    ("workspace", "problem"),
    [
        ({}, "size: a value is required"),
        ({"size": "much"}, "size: 'much' is no size"),
        ({"size": "-1Gi"}, "is no size"),
        ({"size": 5}, "expected a string"),
        ({"size": "1Gi", "more": 1}, "unknown field 'more'"),
        ({"size": "1Gi", "kubernetes": {"pvcSpecPatch": {"accessModes": []}}}, "accessModes"),
        ({"size": "1Gi", "kubernetes": {"pvcSpecPatch": {"accessModes": ["Any"]}}}, "accessModes"),
        ({"size": "1Gi", "kubernetes": {"pvcSpecPatch": {"storageClassName": ""}}}, "required"),
        ({"size": "1Gi", "kubernetes": {"pvcSpecPatch": {"volumeMode": "Block"}}}, "volumeMode"),
        ({"size": "1Gi", "kubernetes": {"pvcSpecPatch": {"finalizers": []}}}, "'finalizers'"),
    ],
)
def test_a_wrong_workspace_is_named(
    compiled: tuple[Any, Any], workspace: Any, problem: str
) -> None:
    platforms = {"platforms": {"kubernetes": {"pipelineConfig": {"workspace": workspace}}}}
    with pytest.raises(SpecError, match=problem):
        spec.parse(compiled[0], platforms)


@pytest.mark.parametrize("field", ["dataSource", "dataSourceRef"])
def test_a_workspace_is_no_copy_of_another_claim(compiled: tuple[Any, Any], field: str) -> None:
    patch = {field: {"kind": "PersistentVolumeClaim", "name": "database"}}
    workspace = {"size": "1Gi", "kubernetes": {"pvcSpecPatch": patch}}
    platforms = {"platforms": {"kubernetes": {"pipelineConfig": {"workspace": workspace}}}}
    with pytest.raises(NotSupportedError, match=field):
        spec.parse(compiled[0], platforms)


@pytest.mark.parametrize(
    ("component", "part", "value"),
    [
        ("comp-createpvc", "inputDefinitions", {"parameters": {}}),
        ("comp-deletepvc", "inputDefinitions", {"parameters": {"x": {"parameterType": "LIST"}}}),
        ("comp-createpvc", "outputDefinitions", {}),
        ("comp-deletepvc", "outputDefinitions", {"parameters": {"a": {"parameterType": "LIST"}}}),
    ],
)
def test_tasks_of_claims_have_the_inputs_and_outputs_of_the_sdk(
    compiled: tuple[Any, Any], component: str, part: str, value: Any
) -> None:
    document = copy.deepcopy(compiled[0])
    document["components"][component][part] = value
    with pytest.raises(SpecError, match=rf"{component}\.{part}"):
        spec.parse(document, compiled[1])
