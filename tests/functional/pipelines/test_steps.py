"""Steps in sandboxes: what a pipeline's author and an operator rely on."""

import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    import kfp
    from kfp import dsl

from .stack import Service, wait

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE)
def double(x: int) -> int:
    return 2 * x


@dsl.pipeline(name="doubling")
def doubling(x: int = 1) -> int:
    first = double(x=x)
    return double(x=first.output).output


def finish(client: kfp.Client, run_id: str, timeout: int = 120) -> Any:
    return client.wait_for_run_completion(run_id, timeout=timeout, sleep_duration=1)


def test_a_pipeline_runs(service: Service) -> None:
    client = service.client()
    result = client.create_run_from_pipeline_func(
        doubling, arguments={"x": 5}, enable_caching=False
    )
    run = finish(client, result.run_id)
    assert run.state == "SUCCEEDED", run
    names = sorted(task.display_name for task in run.run_details.task_details)
    assert names[:2] == ["double", "double-2"]
    wait(lambda: not service.cluster.pods(), "the step's pods are gone")
