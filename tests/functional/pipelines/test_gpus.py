"""Steps that ask for GPUs: they get them where there are enough, and say what they wait for."""

import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    import kfp
    from kfp import dsl, kubernetes

from ..waiting import wait
from .stack import NAMESPACE, Service

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train() -> str:
    return "trained"


@dsl.pipeline(name="gpus")
def gpus(count: int) -> str:
    task = train()
    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(count)
    kubernetes.add_toleration(task, "nvidia.com/gpu", "Exists", effect="NoSchedule")
    kubernetes.empty_dir_mount(task, "shm", "/dev/shm", "Memory", "64Mi")
    return task.output


@dsl.pipeline(name="elsewhere")
def elsewhere(selector: dict):
    kubernetes.add_node_selector_json(train(), selector)


@dsl.pipeline(name="queueing")
def queueing():
    kubernetes.add_pod_label(train(), "kueue.x-k8s.io/queue-name", "ml")


def start(client: kfp.Client, pipeline: Any, **arguments: Any) -> str:
    made = client.create_run_from_pipeline_func(
        pipeline, arguments=arguments, enable_caching=False
    )
    return str(made.run_id)


def words(client: kfp.Client, run_id: str) -> str:
    """What the run says that its step waits for."""
    run = client.get_run(run_id)
    found = [t for t in run.run_details.task_details or [] if t.display_name == "train"]
    return str(found[0].error.message) if found and found[0].error else ""


def test_a_step_gets_what_the_node_has(service: Service) -> None:
    client = service.client()
    run = client.wait_for_run_completion(start(client, gpus, count=2), 120, sleep_duration=1)
    assert run.state == "SUCCEEDED", run


def test_a_step_that_asks_for_too_many_waits_and_says_for_what(service: Service) -> None:
    client = service.client()
    run_id = start(client, gpus, count=5)
    wait(lambda: "Insufficient nvidia.com/gpu" in words(client, run_id), "the scheduler's words")
    assert "0/1 nodes are available" in words(client, run_id)
    client.terminate_run(run_id)
    wait(lambda: not service.cluster.pods(), "the step's pod is gone")


def test_a_step_that_is_to_run_elsewhere_waits_and_says_so(service: Service) -> None:
    client = service.client()
    run_id = start(client, elsewhere, selector={"pool": "gpu"})
    wait(lambda: "node affinity/selector" in words(client, run_id), "the scheduler's words")
    client.terminate_run(run_id)
    wait(lambda: not service.cluster.pods(), "the step's pod is gone")


def test_a_step_waits_in_its_queue_until_it_is_admitted(service: Service) -> None:
    """Here the test is Kueue, which takes `suspend` away."""
    client = service.client()
    run_id = start(client, queueing)
    wait(lambda: "the cluster has no Kueue" in words(client, run_id), "the queue's words")
    assert not service.cluster.pods()
    path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
    (job,) = service.cluster.call("GET", path)["items"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "ml"
    job["spec"]["suspend"] = False
    service.cluster.call("PUT", f"{path}/{job['metadata']['name']}", job)
    run = client.wait_for_run_completion(run_id, 120, sleep_duration=1)
    assert run.state == "SUCCEEDED", run
    wait(lambda: not service.cluster.call("GET", path)["items"], "the step's Job is gone")
    wait(lambda: not service.cluster.pods(), "the step's pod is gone")


def test_a_step_that_waits_in_its_queue_is_ended_with_its_run(service: Service) -> None:
    client = service.client()
    run_id = start(client, queueing)
    path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
    wait(lambda: service.cluster.call("GET", path)["items"], "the step's Job")
    client.terminate_run(run_id)
    wait(lambda: not service.cluster.call("GET", path)["items"], "the step's Job is gone")
