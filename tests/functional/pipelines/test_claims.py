"""Workspaces, and claims that pipelines make and delete, with real steps and a kill."""

import warnings
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl, kubernetes

from ..waiting import wait
from . import stack
from .stack import NAMESPACE, Cluster, Service

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

IMAGE = "python:3.11"
CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"


@dsl.component(base_image=IMAGE)
def write(folder: str, word: str):
    with open(f"{folder}/{word}", "w") as file:
        file.write(word)


@dsl.component(base_image=IMAGE)
def read(folder: str) -> str:
    import os

    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return " ".join(open(f"{folder}/{name}").read() for name in names)


@dsl.component(base_image=IMAGE)
def read_at_last(folder: str) -> str:
    import os

    if os.environ["KFP_RETRY_INDEX"] == "0":
        raise RuntimeError("not yet")
    return " ".join(sorted(name for name in os.listdir(folder) if not name.startswith(".")))


@dsl.component(base_image=IMAGE)
def hold(folder: str):
    import os
    import time

    print("holding", flush=True)
    while not os.path.exists(f"{folder}/go"):
        time.sleep(0.05)


@dsl.component(base_image=IMAGE)
def make(model: dsl.Output[dsl.Model]) -> str:
    import os

    os.mkdir(model.path)
    with open(f"{model.path}/weights", "w") as file:
        file.write("weights of the model")
    return model.uri


@dsl.component(base_image=IMAGE)
def use(model: dsl.Input[dsl.Model]) -> str:
    with open(f"{model.path}/weights") as file:
        return f"{model.path.startswith('/kfp-workspace/.artifacts/')} {file.read()}"


SHARED = dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="10Mi"))


@dsl.pipeline(name="sharing", pipeline_config=SHARED)
def share() -> str:
    folder = dsl.WORKSPACE_PATH_PLACEHOLDER
    one = write(folder=folder, word="one")
    two = write(folder=folder, word="two")
    return read(folder=folder).after(one, two).output


@dsl.pipeline(name="failing", pipeline_config=SHARED)
def fail_once() -> str:
    folder = dsl.WORKSPACE_PATH_PLACEHOLDER
    return read_at_last(folder=folder).after(write(folder=folder, word="one")).output


@dsl.pipeline(name="importing", pipeline_config=SHARED)
def import_model(uri: str) -> str:
    imported = dsl.importer(artifact_uri=uri, artifact_class=dsl.Model, download_to_workspace=True)
    return use(model=imported.output).output


@dsl.pipeline(name="making")
def make_model() -> str:
    return make().outputs["Output"]


@dsl.pipeline(name="holding", pipeline_config=SHARED)
def hold_workspace():
    hold(folder=dsl.WORKSPACE_PATH_PLACEHOLDER)


@dsl.pipeline(name="claiming")
def claim() -> str:
    made = kubernetes.CreatePVC(
        access_modes=["ReadWriteOnce"],
        size="10Mi",
        pvc_name_suffix="-data",
        storage_class_name="standard",
    )
    writing = write(folder="/data", word="kept")
    kubernetes.mount_pvc(writing, pvc_name=made.outputs["name"], mount_path="/data")
    reading = read(folder="/data").after(writing)
    kubernetes.mount_pvc(reading, pvc_name=made.outputs["name"], mount_path="/data")
    kubernetes.DeletePVC(pvc_name=made.outputs["name"]).after(reading)
    return reading.output


@dsl.pipeline(
    name="classless",
    pipeline_config=dsl.PipelineConfig(
        workspace=dsl.WorkspaceConfig(
            size="10Mi",
            kubernetes=dsl.KubernetesWorkspaceConfig(pvcSpecPatch={"storageClassName": "absent"}),
        )
    ),
)
def classless():
    read(folder=dsl.WORKSPACE_PATH_PLACEHOLDER)


@dsl.pipeline(name="stealing")
def steal():
    kubernetes.DeletePVC(pvc_name="pipeline-root")


@dsl.pipeline(name="oversized")
def oversized():
    kubernetes.CreatePVC(access_modes=["ReadWriteOnce"], size="a lot", pvc_name="much")


def ended(service: Service, started: Any, wanted: str = "SUCCEEDED") -> Any:
    run = service.client().wait_for_run_completion(started.run_id, timeout=120, sleep_duration=0.1)
    assert run.state == wanted, (run, service.evidence(started.run_id))
    return run


def problem(run: Any) -> str:
    """What the tasks of a run that failed say."""
    return " ".join(each.error.message for each in run.run_details.task_details if each.error)


def output(service: Service, run_id: str, task: str) -> Any:
    """What a task of a run gave."""
    with service.http() as http:
        run = http.get(f"/apis/v2beta1/runs/{run_id}").json()
    (found,) = [
        each["output_parameters"]["Output"]
        for each in run["run_details"]["task_details"]
        if each["display_name"] == task
    ]
    return found


def run_of(service: Service, pipeline: Any, **arguments: Any) -> Any:
    started: Any = service.client().create_run_from_pipeline_func(
        pipeline, arguments=arguments, enable_caching=False
    )
    return started


def claims(cluster: Cluster) -> set[str]:
    found = {each["metadata"]["name"] for each in cluster.call("GET", CLAIMS)["items"]}
    return found - {"pipeline-root", "environments"}


def test_steps_share_a_workspace_that_goes_with_the_run(
    service: Service, cluster: Cluster
) -> None:
    started = run_of(service, share)
    ended(service, started)
    assert output(service, started.run_id, "read") == "one two"
    wait(lambda: not claims(cluster), "the workspace is gone")


def test_a_retried_run_fills_its_new_workspace_again(service: Service, cluster: Cluster) -> None:
    started = run_of(service, fail_once)
    ended(service, started, "FAILED")
    wait(lambda: not claims(cluster), "the workspace is gone")
    service.client().runs.run_service_retry_run(started.run_id)
    ended(service, started)
    assert output(service, started.run_id, "read-at-last") == "one"
    wait(lambda: not claims(cluster), "the new one is gone as well")


def test_an_importer_fills_the_workspace(service: Service, cluster: Cluster) -> None:
    made = run_of(service, make_model)
    ended(service, made)
    uri = output(service, made.run_id, "make")
    started = run_of(service, import_model, uri=uri)
    ended(service, started)
    assert output(service, started.run_id, "use") == "True weights of the model"
    wait(lambda: not claims(cluster), "the workspace is gone")


def test_a_killed_service_finds_its_workspace(service: Service, cluster: Cluster) -> None:
    started = run_of(service, hold_workspace)
    wait(lambda: cluster.printed("hold", "holding"), "the step is running")
    (name,) = claims(cluster)
    uid = cluster.call("GET", f"{CLAIMS}/{name}")["metadata"]["uid"]
    service.kill()
    service.start()
    assert cluster.call("GET", f"{CLAIMS}/{name}")["metadata"]["uid"] == uid
    service.client().terminate_run(started.run_id)
    wait(lambda: service.client().get_run(started.run_id).state == "CANCELED", "it is terminated")
    wait(lambda: not claims(cluster), "the workspace is gone")


def test_a_pipeline_makes_mounts_and_deletes_a_claim(service: Service, cluster: Cluster) -> None:
    started = run_of(service, claim)
    ended(service, started)
    assert output(service, started.run_id, "read") == "kept"
    wait(lambda: not claims(cluster), "the claim is gone")


def test_the_services_own_claim_is_not_deleted(service: Service, cluster: Cluster) -> None:
    run = ended(service, run_of(service, steal), "FAILED")
    assert "is not for steps: it is the service's own" in problem(run)
    assert "deletionTimestamp" not in cluster.call("GET", f"{CLAIMS}/pipeline-root")["metadata"]


def test_steps_without_the_service_volume_have_workspaces(
    cluster: Cluster, step_image: str, tmp_path: Path
) -> None:
    with stack.remote(tmp_path, cluster, step_image, "remote") as remote:
        started = run_of(remote, share)
        made = run_of(remote, make_model)
        ended(remote, started)
        assert output(remote, started.run_id, "read") == "one two"
        ended(remote, made)
        started = run_of(remote, import_model, uri=output(remote, made.run_id, "make"))
        ended(remote, started)
        assert output(remote, started.run_id, "use") == "True weights of the model"
        wait(lambda: not claims(cluster), "the workspaces are gone")


def test_a_workspace_that_waits_for_its_volume_goes_as_well(
    service: Service, cluster: Cluster
) -> None:
    started = run_of(service, classless)
    wait(lambda: bool(cluster.pods()) and bool(claims(cluster)), "there is a pod that waits")
    (name,) = claims(cluster)
    assert cluster.call("GET", f"{CLAIMS}/{name}")["status"]["phase"] == "Pending"

    def told() -> bool:
        (task,) = service.client().get_run(started.run_id).run_details.task_details
        return task.state == "PENDING" and "unbound immediate" in task.error.message

    wait(told, "the task says what it waits for, in Kubernetes' words")
    service.client().terminate_run(started.run_id)
    wait(lambda: not claims(cluster), "the workspace is gone")


def test_what_kubernetes_says_is_the_tasks_error(service: Service, cluster: Cluster) -> None:
    run = ended(service, run_of(service, oversized), "FAILED")
    assert "the claim cannot be made" in problem(run)
    assert "quantit" in problem(run)
    assert not claims(cluster)
