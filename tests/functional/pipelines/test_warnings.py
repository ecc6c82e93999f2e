"""What of a pod Kubernetes cannot have here: refused beforehand, or told with the run."""

import json
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    import kfp_server_api
    from kfp import dsl, kubernetes

from ..waiting import wait
from .stack import Service
from .test_steps import finish, submit

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@dsl.component(base_image="python:3.11")
def step(folder: str = "") -> str:
    import os

    if folder:
        with open(f"{folder}/file", "w") as file:
            file.write("x")
    return f"{os.getuid()}"


def test_what_changes_nothing_is_told_by_kfps_own_client(service: Service) -> None:
    @dsl.pipeline(name="warned")
    def pipeline():
        limited = step().set_cpu_limit("1")
        kubernetes.set_image_pull_secrets(limited, ["registry"])
        kubernetes.set_image_pull_policy(limited, "Always")
        kubernetes.set_security_context(limited, run_as_user=1234)
        step()

    run_id = submit(service, pipeline)
    client = service.client()
    run = finish(client, run_id)
    assert run.state == "SUCCEEDED", service.evidence(run_id)
    told = run.state_history[0].error
    assert told.code == 0
    lines = told.message.splitlines()
    fields = [line.removeprefix("warning: step: ").partition(":")[0] for line in lines]
    assert fields == [
        "spec.imagePullSecrets",
        "spec.containers[0].imagePullPolicy",
        "spec.containers[0].resources.limits[cpu]",
    ]
    tasks = {each.display_name: each for each in run.run_details.task_details}
    assert len(tasks["step"].state_history[0].error.message.splitlines()) == 3
    assert tasks["step"].error is None
    assert tasks["step-2"].state_history[0].error is None
    with service.http() as api:
        run = api.get(f"/apis/v2beta1/runs/{run_id}").json()
    # What it does give needs no warning.
    outputs = {
        each["display_name"]: each["output_parameters"]["Output"]
        for each in run["run_details"]["task_details"]
    }
    assert outputs["step"] == "1234"
    assert len(run["warnings"]) == 3


def test_what_would_never_run_is_refused_as_it_is_submitted(service: Service) -> None:
    @dsl.pipeline(name="refused")
    def pipeline():
        kubernetes.use_field_path_as_env(step(), env_name="CLAIM", field_path="spec.volumes")

    with pytest.raises(kfp_server_api.ApiException) as answer:
        submit(service, pipeline)
    assert answer.value.status == 400
    said = json.loads(answer.value.body)["message"]
    assert "pipeline_spec.components.comp-step: Kubernetes does not take what it asks for" in said
    assert "fieldPath" in said
    assert "spec.volumes" in said


def test_a_step_has_a_volume_of_its_own_that_goes_with_it(service: Service) -> None:
    @dsl.pipeline(name="ephemeral")
    def pipeline():
        kubernetes.add_ephemeral_volume(
            step(folder="/scratch"),
            volume_name="scratch",
            mount_path="/scratch",
            access_modes=["ReadWriteOnce"],
            size="10Mi",
            storage_class_name="standard",
        )

    run_id = submit(service, pipeline)
    run = finish(service.client(), run_id)
    assert run.state == "SUCCEEDED", service.evidence(run_id)
    wait(lambda: _claims(service) == set(), "its claim is gone")


def _claims(service: Service) -> set[str]:
    path = f"/api/v1/namespaces/{service.settings['namespace']}/persistentvolumeclaims"
    found = {each["metadata"]["name"] for each in service.cluster.call("GET", path)["items"]}
    return found - {"pipeline-root", "environments"}
