"""Control flow through KFP's own compiler and client: how each task ends, and what comes out."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import kfp
import pytest

from . import constructs

pytestmark = [
    pytest.mark.filterwarnings("ignore:This client only works with:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:kfp"),
    pytest.mark.filterwarnings("ignore::FutureWarning:kfp"),
]


class Ended:
    """A run that has ended, with the values of its tasks by name, in the tasks' order."""

    def __init__(self, run: dict[str, Any]) -> None:
        self.state: str = run["state"]
        self.tasks: list[dict[str, Any]] = run["run_details"]["task_details"]
        self.problems = [(t["display_name"], t["error"]) for t in self.tasks if "error" in t]

    def outputs(self, name: str, key: str = "Output") -> list[Any]:
        """The values of an output over all tasks of a component, sorted."""
        found = [
            task["output_parameters"][key]
            for task in self.tasks
            if task["display_name"].rpartition("-")[0 if task["display_name"][-1].isdigit() else 2]
            == name
            and key in task.get("output_parameters", {})
        ]
        return sorted(found, key=str)

    def states(self, prefix: str) -> Counter[str]:
        return Counter(t["state"] for t in self.tasks if t["display_name"].startswith(prefix))


@pytest.fixture
def run(client: kfp.Client, endpoint: Any) -> Any:
    def run(pipeline: Any, **arguments: Any) -> Ended:
        made = client.create_run_from_pipeline_func(pipeline, arguments=arguments)
        client.wait_for_run_completion(made.run_id, timeout=180, sleep_duration=1)
        return Ended(json.loads(endpoint.get(f"/runs/{made.run_id}")))

    return run


def test_outputs_of_loops_in_loops_are_lists_of_lists(run: Any) -> None:
    ended = run(constructs.collecting)
    assert ended.state == "SUCCEEDED", ended.problems
    assert ended.outputs("total") == [90]
    assert ended.states("condition-") == {"SKIPPED": 2, "SUCCEEDED": 4}


def test_an_iteration_that_gave_nothing_has_no_entry(run: Any) -> None:
    ended = run(constructs.collecting_some)
    assert ended.outputs("shown") == ["[2, 3]"], ended.problems


def test_parts_of_items(run: Any) -> None:
    ended = run(constructs.parts)
    assert ended.state == "SUCCEEDED", ended.problems
    assert ended.outputs("text") == ["10/1", "10/2", "20/1", "20/2", "v-1", "v-2", "w-6"]
    assert ended.outputs("number") == [1, 1, 2, 2]


def test_lists_of_lists(run: Any) -> None:
    ended = run(constructs.lists_of_lists)
    assert ended.state == "SUCCEEDED", ended.problems
    assert ended.outputs("number") == [1, 2, 3, 4, 5, 6]


def test_artifacts_are_collected_and_looped_over(run: Any) -> None:
    ended = run(constructs.artifacts)
    assert ended.state == "SUCCEEDED", ended.problems
    assert ended.outputs("shown") == ["[1, 2, 3]"]
    assert ended.outputs("words", "out") == [f"{n} task-words for nobody " for n in (1, 2, 3)]


def test_one_of_artifacts_and_pipelines_that_return(run: Any) -> None:
    ended = run(constructs.choosing)
    assert ended.state == "SUCCEEDED", ended.problems
    assert ended.outputs("words", "out") == ["7 task-words for me"]
    assert ended.outputs("given") == ["None None", "None None"]
    assert ended.states("text") == {}


def test_branches(run: Any) -> None:
    ended = run(constructs.branches)
    assert ended.state == "SUCCEEDED", ended.problems
    assert ended.outputs("text") == ["else", "no", "no", "yes", "yes"]


def test_a_loop_over_nothing(run: Any) -> None:
    ended = run(constructs.nothing)
    assert ended.state == "SUCCEEDED", ended.problems
    assert ended.outputs("total") == [0]


def test_a_failure_that_is_ignored_fails_the_run_all_the_same(run: Any) -> None:
    ended = run(constructs.ignoring)
    assert ended.state == "FAILED"
    assert ended.outputs("text") == ["default"], ended.problems


def test_retries(run: Any) -> None:
    ended = run(constructs.retrying)
    assert ended.outputs("late") == ["2"], ended.problems


def test_retries_of_a_pipeline_in_a_pipeline(run: Any) -> None:
    ended = run(constructs.retrying_whole)
    assert ended.state == "SUCCEEDED", ended.problems
    assert ended.outputs("late") == ["2"]


def test_a_task_reads_the_configuration_that_it_hands_on(run: Any) -> None:
    ended = run(constructs.launching)
    assert ended.state == "SUCCEEDED", ended.problems
    assert ended.outputs("launched") == [
        {
            "resources": {"limits": {"cpu": "1000", "nvidia.com/gpu": "64"}},
            "node_selector": {"disk": "none-such"},
            "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"}],
            "env": [{"name": "LEVEL", "value": "high"}],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "volume_mounts": [{"name": "scratch", "mountPath": "/scratch"}],
        }
    ]
