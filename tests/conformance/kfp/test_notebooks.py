"""Notebook components: the compiler puts a notebook into a step, which installs what it needs."""

# No `from __future__ import annotations`: the SDK reads the annotations themselves.

import json
from typing import Any

import kfp
import pytest
from kfp import dsl

pytestmark = [
    pytest.mark.filterwarnings("ignore:This client only works with:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:kfp"),
    pytest.mark.filterwarnings("ignore::FutureWarning:kfp"),
]

CELLS = [
    ("number = 1", ["parameters"]),
    (
        "from pathlib import Path\n"
        "assert number > 0, 'not positive'\n"
        "print('the number is', number)\n"
        "Path(target).write_text(str(number * 2))",
        [],
    ),
]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("notebook") / "doubling.ipynb"
    cells = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {"tags": tags},
            "outputs": [],
            "source": source,
        }
        for number, (source, tags) in enumerate(CELLS)
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook))

    @dsl.notebook_component(notebook_path=str(path), base_image="python:3.11")
    def doubled(number: int, out: dsl.Output[dsl.Dataset]) -> int:
        dsl.run_notebook(number=number, target=out.path)
        with open(out.path) as file:
            return int(file.read())

    @dsl.pipeline(name="notebooks")
    def notebooks(number: int = 21) -> int:
        return doubled(number=number).outputs["Output"]

    return notebooks


def _run(client: kfp.Client, endpoint: Any, pipeline: Any, number: int) -> Any:
    made = client.create_run_from_pipeline_func(pipeline, arguments={"number": number})
    # Its packages are installed first: nbclient, ipykernel and what they need.
    client.wait_for_run_completion(made.run_id, timeout=300, sleep_duration=1)
    run = json.loads(endpoint.get(f"/runs/{made.run_id}"))
    (task,) = run["run_details"]["task_details"]
    log = endpoint.get(f"/runs/{made.run_id}/nodes/{task['task_id']}/log").decode()
    return run["state"], task, log


def test_a_notebook_is_run_with_its_parameters(
    client: kfp.Client, endpoint: Any, pipeline: Any
) -> None:
    state, task, log = _run(client, endpoint, pipeline, 21)
    assert state == "SUCCEEDED", (task["error"], log)
    assert task["output_parameters"] == {"Output": 42}
    assert "the number is 21" in log


def test_a_cell_that_fails_fails_its_task_and_says_why(
    client: kfp.Client, endpoint: Any, pipeline: Any
) -> None:
    state, task, log = _run(client, endpoint, pipeline, -1)
    assert state == "FAILED", log
    assert "not positive" in task["error"]["message"], (task["error"], log)
