"""Conditions, loops, exit handlers and importers with real steps, and a kill in the middle."""

import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    import kfp
    from kfp import dsl

from ..waiting import wait
from .stack import Service

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE)
def double(x: int, data: dsl.Output[dsl.Dataset]) -> int:
    with open(data.path, "w") as file:
        file.write(str(2 * x))
    return 2 * x


@dsl.component(base_image=IMAGE)
def total(numbers: list[int], parts: dsl.Input[list[dsl.Dataset]]) -> int:
    read = []
    for part in parts:
        with open(part.path) as file:
            read.append(int(file.read()))
    assert read == numbers, (read, numbers)
    assert all(type(number) is int for number in numbers), numbers
    return sum(numbers)


@dsl.component(base_image=IMAGE)
def say(word: str) -> str:
    return word


@dsl.component(base_image=IMAGE)
def fail_if(yes: bool):
    if yes:
        raise ValueError("as asked")


@dsl.component(base_image=IMAGE)
def tell(status: dsl.PipelineTaskFinalStatus) -> str:
    return f"{status.pipeline_task_name} {status.state} {status.error_message}"


@dsl.pipeline(name="choosing")
def choose(number: int) -> str:
    with dsl.If(number > 10):
        big = say(word="big")
    with dsl.Elif(number > 5):
        middle = say(word="middle")
    with dsl.Else():
        small = say(word="small")
    return dsl.OneOf(big.output, middle.output, small.output)


@dsl.pipeline(name="controlled")
def controlled(items: list[int] = [1, 2, 3], fails: bool = False) -> str:  # noqa: B006 - KFP's way
    handler = tell()
    with dsl.ExitHandler(handler, name="group"):
        with dsl.ParallelFor(items, parallelism=2) as item:
            doubled = double(x=item)
        summed = total(
            numbers=dsl.Collected(doubled.outputs["Output"]),
            parts=dsl.Collected(doubled.outputs["data"]),
        )
        fail_if(yes=fails).after(summed)
    return choose(number=8).output


def finish(client: kfp.Client, run_id: str) -> Any:
    return client.wait_for_run_completion(run_id, timeout=180, sleep_duration=1)


def start(service: Service, pipeline: Any, **arguments: Any) -> str:
    made = service.client().create_run_from_pipeline_func(
        pipeline, arguments=arguments, enable_caching=False
    )
    run_id: str = made.run_id
    return run_id


def details(service: Service, run_id: str) -> dict[str, dict[str, Any]]:
    """The run's task details as they come, by name."""
    with service.http() as client:
        reply = client.get(f"/apis/v2beta1/runs/{run_id}")
    found: list[dict[str, Any]] = reply.json()["run_details"]["task_details"]
    return {each["display_name"]: each for each in found}


def output(task: dict[str, Any]) -> Any:
    return task["output_parameters"]["Output"]


def test_control_flow(service: Service) -> None:
    run_id = start(service, controlled)
    run = finish(service.client(), run_id)
    assert run.state == "SUCCEEDED", service.evidence(run_id)
    tasks = details(service, run_id)
    assert output(tasks["total"]) == 12
    assert output(tasks["tell"]) == "exit-handler-1 COMPLETE None"
    assert output(tasks["choosing"]) == "middle"
    states = {name: task["state"] for name, task in tasks.items() if "condition-" in name}
    assert sorted(states.values()) == ["SKIPPED", "SKIPPED", "SUCCEEDED", "SUCCEEDED"]
    loop, iteration = tasks["for-loop-2"], tasks["for-loop-2[1]"]
    assert loop["parent_task_id"] == tasks["exit-handler-1"]["task_id"]
    assert iteration["parent_task_id"] == loop["task_id"]
    assert iteration["iteration_index"] == 1
    assert {each["task_id"] for each in loop["child_tasks"]} == {
        tasks[f"for-loop-2[{number}]"]["task_id"] for number in range(3)
    }


def test_an_exit_handler_runs_after_a_failure(service: Service) -> None:
    run_id = start(service, controlled, fails=True)
    run = finish(service.client(), run_id)
    assert run.state == "FAILED"
    tasks = details(service, run_id)
    assert tasks["tell"]["state"] == "SUCCEEDED", service.evidence(run_id)
    assert output(tasks["tell"]) == "exit-handler-1 FAILED Error: ValueError: as asked"


def test_a_service_killed_in_a_loop_finds_its_iterations_again(service: Service) -> None:
    run_id = start(service, controlled, items=list(range(6)))
    wait(
        lambda: (
            "SUCCEEDED" in (details(service, run_id).get("for-loop-2[0]") or {}).get("state", "")
        ),
        "an iteration has ended",
    )
    service.kill()
    service.start()
    run = finish(service.client(), run_id)
    assert run.state == "SUCCEEDED", service.evidence(run_id)
    tasks = details(service, run_id)
    assert output(tasks["total"]) == 30
    # Each iteration had one attempt: one folder, one claim.
    claims = list(service.root.glob(f"controlled/{run_id}/double/*/.started"))
    assert len(claims) == 6


def test_what_a_run_made_is_imported_by_another(service: Service) -> None:
    first = start(service, controlled)
    assert finish(service.client(), first).state == "SUCCEEDED", service.evidence(first)
    (data,) = [
        path
        for path in service.root.glob(f"controlled/{first}/double/*/data")
        if path.read_text() == "4"
    ]
    uri = f"minio://mlpipeline/v2/artifacts/{data.relative_to(service.root)}"

    @dsl.component(base_image=IMAGE)
    def read(data: dsl.Input[dsl.Dataset]) -> str:
        try:
            open(data.path, "a").close()
        except OSError as error:
            how = error.strerror
        return f"{open(data.path).read()} {data.metadata['from']} {how}"

    @dsl.pipeline(name="importing")
    def importing(uri: str) -> str:
        imported = dsl.importer(
            artifact_uri=uri, artifact_class=dsl.Dataset, metadata={"from": "there"}
        )
        return read(data=imported.output).output

    run_id = start(service, importing, uri=uri)
    assert finish(service.client(), run_id).state == "SUCCEEDED", service.evidence(run_id)
    tasks = details(service, run_id)
    assert output(tasks["read"]) == "4 there Read-only file system"
    assert "pod_name" not in tasks["importer"]
