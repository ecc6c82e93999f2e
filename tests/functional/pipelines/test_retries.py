"""Runs that an unmodified `kfp.Client` retries, with real steps and a service that is killed."""

import warnings
from typing import Any

import kfp_server_api
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl

from ..waiting import wait
from .stack import Service
from .test_steps import IMAGE, finish, submit

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare(out: dsl.Output[dsl.Dataset]):
    with open(out.path, "w") as file:
        file.write("data")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def flaky(number: int, data: dsl.Input[dsl.Dataset], seconds: int) -> int:
    import os
    import time

    first = os.environ["KFP_RETRY_INDEX"] == "0"
    with open(data.path) as file:
        assert file.read() == "data"
    if first and number == 2:
        raise RuntimeError("not at first")
    time.sleep(seconds if first else 0)
    return number


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def total(numbers: list[int]) -> int:
    return sum(numbers)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tell(status: dsl.PipelineTaskFinalStatus) -> str:
    return status.state


@dsl.pipeline(name="retried")
def retried(seconds: int = 0):
    with dsl.ExitHandler(tell()):
        data = prepare().outputs["out"]
        with dsl.ParallelFor([1, 2, 3]) as number:
            done = flaky(number=number, data=data, seconds=seconds)
        total(numbers=dsl.Collected(done.output))


def tasks(service: Service, run_id: str, name: str) -> list[dict[str, Any]]:
    with service.http() as client:
        run = client.get(f"/apis/v2beta1/runs/{run_id}").json()
    return [t for t in run["run_details"]["task_details"] if t["display_name"] == name]


def attempts(service: Service, run_id: str, task: str) -> int:
    return len(list(service.root.glob(f"retried/{run_id}/{task}/*/.started")))


def test_what_failed_is_done_again_though_the_service_is_killed(service: Service) -> None:
    client = service.client()
    run_id = submit(service, retried)
    assert finish(client, run_id).state == "FAILED", service.evidence(run_id)
    (told,) = tasks(service, run_id, "tell")
    assert told["output_parameters"] == {"Output": "FAILED"}
    before = attempts(service, run_id, "flaky")
    client.runs.run_service_retry_run(run_id)
    assert client.get_run(run_id).state == "RUNNING"
    service.kill()
    service.start()
    run = finish(client, run_id)
    assert run.state == "SUCCEEDED", service.evidence(run_id)
    (told,), (summed,) = tasks(service, run_id, "tell"), tasks(service, run_id, "total")
    assert told["output_parameters"] == {"Output": "COMPLETE"}
    assert summed["output_parameters"] == {"Output": 6}
    assert attempts(service, run_id, "prepare") == 1
    assert attempts(service, run_id, "tell") == 2
    # The one that failed, and those that had not come to begin.
    assert attempts(service, run_id, "flaky") == 4 > before
    wait(lambda: not service.cluster.pods(), "the steps' pods are gone")


def test_a_run_that_was_terminated_goes_on(service: Service) -> None:
    client = service.client()
    run_id = submit(service, retried, seconds=600)
    wait(lambda: attempts(service, run_id, "flaky") > 0, "a step of the loop has begun")
    with pytest.raises(kfp_server_api.ApiException, match="can be retried"):
        client.runs.run_service_retry_run(run_id)
    client.terminate_run(run_id)
    wait(lambda: client.get_run(run_id).state == "CANCELED", "the run is canceled")
    client.runs.run_service_retry_run(run_id)
    # All steps of the loop had been started: each is at its second attempt now.
    assert finish(client, run_id).state == "SUCCEEDED", service.evidence(run_id)
    assert attempts(service, run_id, "prepare") == 1
