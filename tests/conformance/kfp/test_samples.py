"""Other people's compiled pipelines: run to the end their makers expect.

The samples lie beside this repository (`../shared/conformance/kfp`, with `expected.tsv`), or where
KFP_SAMPLES says; without them the tests are skipped. Their images are replaced by what any machine
has, and inputs without a value get one of their type. Nothing else is changed: KFP and the other
packages they name are installed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import kfp
import pytest
import yaml

from .conftest import Endpoint

ROOT = Path(__file__).parents[3]
BESIDE = ROOT.parent / "shared" / "conformance" / "kfp"
SAMPLES = Path(os.environ.get("KFP_SAMPLES", BESIDE))
TIMEOUT = 300

pytestmark = [
    pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there are no samples at {SAMPLES}"),
    pytest.mark.filterwarnings("ignore:This client only works with:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:kfp"),
    pytest.mark.filterwarnings("ignore::FutureWarning:kfp"),
]

ARTIFACT = "it takes an artifact, which a run cannot be given"
STORAGE = "imports what is on Google's storage"
# Built, but not to be run on a machine alone.
ELSEWHERE = {
    "artifacts_simple.yaml": "reads its artifacts at /gcs, from Google's storage",
    "pipeline_with_importer.yaml": STORAGE,
    "pythonic_artifact_with_single_return.yaml": STORAGE,
    "critical/modelcar.yaml": "imports a model from an OCI registry",
    "component_with_metadata_fields.yaml": ARTIFACT,
    "input_artifact.yaml": ARTIFACT,
    "pipeline_with_various_io_types.yaml": ARTIFACT,
    "integration/ray_integration_compiled.yaml": "needs a Ray cluster",
    "pipeline_with_dynamic_task_output_custom_training_job.yaml": "needs Vertex AI",
    "pipeline_with_string_machine_fields_task_output.yaml": "asks for a GPU by Vertex AI's name",
    "critical/pipeline_with_artifact_upload_download.yaml": "downloads from Hugging Face",
    "two_step_pipeline.yaml": "copies to and from Google's storage (gsutil)",
}
MADE_UP = {
    "NUMBER_INTEGER": 1,
    "NUMBER_DOUBLE": 1.5,
    "STRING": "text",
    "BOOLEAN": True,
    "LIST": ["a"],
    "STRUCT": {"a": "b"},
}


# What tasks give, all of a name, where chance has no part. A value alone is KFP's "Output".
OUTPUTS: dict[str, dict[str, list[Any]]] = {
    "critical/add_numbers.yaml": {"add-numbers": [2]},
    "critical/collected_parameters.yaml": {
        "split-ids": [["s1", "s2", "s3"]],
        "prepend-id": ["model_id_s1", "model_id_s2", "model_id_s3"],
        "collecting-parameters": [["model_id_s1", "model_id_s2", "model_id_s3"]],
    },
    "critical/multiple_parameters_namedtuple.yaml": {
        "core-comp": [{"val1": "foo", "val2": "bar"}],
        "mantle": [{"val1": "foo", "val2": "bar"}],
    },
    "critical/parallel_for_after_dependency.yaml": {
        "print-op": ["foo", "foo", "foo"],
        "print-op-2": ["bar"],
        "print-op-3": ["baz"],
    },
    "critical/parameters_simple.yaml": {
        "double": [2, 4, 6],
        "add": [12],
        "add-container": [{"sum": 12}],
    },
    "critical/pipeline_with_artifact_custom_path.yaml": {"validate-input-artifact": [True]},
    "critical/pipeline_with_importer_workspace.yaml": {
        "import-stage": [{"dir_result": "part-000.txt,part-001.txt", "train_result": "123"}],
        "train": [
            {"message": "My model trained using data: Hello from producer file\n", "scalar": "123"}
        ],
    },
    "critical/pipeline_with_pod_metadata.yaml": {
        "validate-no-pod-metadata": [True],
        **{f"validate-pod-metadata-task-{each}": [True] for each in "abcd"},
    },
    "critical/pipeline_with_retry.yaml": {"add": [8.0]},
    "essential/component_with_env_variable.yaml": {"read-env-var": ["env_var_value"]},
    "essential/lightweight_python_functions_pipeline.yaml": {
        "preprocess": [
            {
                "output_bool_parameter_path": True,
                "output_dict_parameter_path": {"A": 1, "B": 2},
                "output_list_parameter_path": ["a", "b", "c"],
                "output_parameter_path": "text",
            }
        ]
    },
    "essential/pipeline_with_outputs.yaml": {
        "inner-pipeline": [{"msg": "world"}],
        "print-op1": ["Hello", "world"],
    },
    "identity.yaml": {"identity": ["text"]},
    "local_execution/local_execution_pipeline_with_exit_handler.yaml": {
        "echo": ["hello"],
        "record-exit": ["exit:COMPLETE"],
    },
    "local_execution/local_execution_pipeline_with_oneof.yaml": {"tag-selected": ["selected:A"]},
    "local_execution/pipeline_with_collected_artifacts.yaml": {"read-and-join": ["0,1,2"]},
    "nested_with_parameters.yaml": {
        "add-two-nums": [4, 6, 6, 8, 8, 8, 10, 10, 12],
        "add": [72],
    },
    "parallel_and_nested/nested_parallel_for_secret.yaml": {
        "emit-secret-name": ["test-secret-1"],
        "worker-component": ["someone", "someone"],
    },
    "parallel_and_nested/pipeline_in_pipeline.yaml": {"print-op1": ["Hello", "world"]},
    "parallel_and_nested/pipeline_in_pipeline_complex.yaml": {
        "print-op1": ["Hello", "Hello", "world!"]
    },
    "parallel_and_nested/pipeline_with_loops.yaml": {
        "args-generator-op": [[{"A_a": "1", "B_b": "2"}, {"A_a": "10", "B_b": "20"}]]
    },
    "pipeline_as_exit_task.yaml": {"get-run-state": ["FAILED"]},
    "pipeline_producer_consumer.yaml": {
        "double": [2, 2, 2, 4, 4, 4, 6, 6, 6],
        "add": [36],
        "echo-and-return": ["a", "h", "m", "t"],
        "add-pipeline": [{"out1": 36, "out2": ["m", "a", "t", "h"]}],
    },
    "pipeline_with_parallelfor_pipeline_param.yaml": {
        "make-prefix": ["dynamic-prefix"],
        "print-with-prefix": ["text: a"],
        "print-with-prefix-2": ["dynamic-prefix: a"],
    },
    "preprocess.yaml": {
        "preprocess": [
            {
                "output_bool_parameter_path": True,
                "output_dict_parameter_path": {"a": "b"},
                "output_list_parameter_path": ["a"],
                "output_parameter_path": "text",
            }
        ]
    },
}


def _expected() -> dict[str, str]:
    if not SAMPLES.is_dir():
        return {}
    lines = (SAMPLES / "expected.tsv").read_text().splitlines()
    pairs = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {
        **dict(pairs),
        # It fails by design where nobody sets its variable.
        "env-var.yaml": "FAILED",
        # An exit handler that runs alone has no task whose status it could be given.
        "component_with_task_final_status_GH-12033.yaml": "FAILED",
        # Its attempts count themselves in a file, but every attempt has a file system of its own.
        "local_execution/local_execution_pipeline_with_retry.yaml": "FAILED",
        # It ends with a failure in its exit handler's group, as its name says.
        "pipeline_as_exit_task.yaml": "FAILED",
    }


EXPECTED = _expected()
RUNNABLE = sorted(set(EXPECTED) - set(ELSEWHERE))


def _adapted(name: str) -> str:
    """The sample with images that this machine has."""

    def image(match: re.Match[str]) -> str:
        python = "python" in match[2]
        return f"{match[1]}{'python:3' if python else 'alpine'}"

    text = (SAMPLES / name).read_text()
    return re.sub(r"^(\s+image: )(\S+)$", image, text, flags=re.MULTILINE)


def _arguments(text: str) -> dict[str, Any]:
    document = next(iter(yaml.safe_load_all(text)))
    inputs = document["root"].get("inputDefinitions", {}).get("parameters", {})
    return {
        name: MADE_UP[each["parameterType"]]
        for name, each in inputs.items()
        if not each.get("isOptional") and "defaultValue" not in each
    }


@pytest.fixture(scope="session")
def started(client: kfp.Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All runnable samples, started at once; their runs by name."""
    folder = tmp_path_factory.mktemp("samples")
    found = {}
    for number, name in enumerate(RUNNABLE):
        text = _adapted(name)
        path = folder / f"{number}.yaml"
        path.write_text(text)
        result = client.create_run_from_pipeline_package(
            str(path), arguments=_arguments(text), run_name=name
        )
        found[name] = result.run_id
    return found


@pytest.mark.parametrize("name", RUNNABLE)
def test_it_ends_as_expected(
    client: kfp.Client, endpoint: Endpoint, started: dict[str, str], name: str
) -> None:
    run = client.wait_for_run_completion(started[name], timeout=TIMEOUT, sleep_duration=1)
    wanted = EXPECTED[name] if EXPECTED[name] != "?" else "SUCCEEDED"
    problems = [
        (task.display_name, task.error)
        for task in run.run_details.task_details or []
        if task.error
    ]
    assert run.state == wanted, problems
    tasks = json.loads(endpoint.get(f"/runs/{run.run_id}"))["run_details"].get("task_details", [])
    for task, values in OUTPUTS.get(name, {}).items():
        assert _given(tasks, task) == sorted(values, key=repr), task


def _given(tasks: list[dict[str, Any]], name: str) -> list[Any]:
    """Sorted by their text, since iterations run side by side."""
    found = [each["output_parameters"] for each in tasks if each["display_name"] == name]
    return sorted(
        (each["Output"] if list(each) == ["Output"] else each for each in found), key=repr
    )


def test_every_sample_is_accounted_for() -> None:
    assert set(ELSEWHERE) <= set(EXPECTED)
    assert set(OUTPUTS) <= set(RUNNABLE)
    assert set(RUNNABLE) | set(ELSEWHERE) == set(EXPECTED)
