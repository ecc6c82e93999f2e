"""Other people's compiled pipelines: run to the end their makers expect, or refused by name.

The samples lie beside this repository (`../shared/conformance/kfp`, with `expected.tsv`); without
them the tests are skipped. Their images are replaced by what any machine has, and inputs without a
value get one of their type. Nothing else is changed: KFP and the other packages they name are
installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import pytest
import yaml

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT.parent / "shared" / "conformance" / "kfp"
TIMEOUT = 300

pytestmark = [
    pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"there are no samples at {SAMPLES}"),
    pytest.mark.filterwarnings("ignore:This client only works with:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:kfp"),
    pytest.mark.filterwarnings("ignore::FutureWarning:kfp"),
]

# What the 400 must name.
CONDITION = "a condition (triggerPolicy.condition"
LOOP = "a loop (parameterIterator"
EXIT = "an exit handler (ALL_UPSTREAM_TASKS_COMPLETED"
STATUS = "the final status of a task as input"
RETRY = "retries (retryPolicy"
IMPORTER = "an importer (dsl.importer)"
COLLECTED = "the collected outputs of a loop (dsl.Collected)"
REFUSED = {
    "artifacts_complex.yaml": COLLECTED,
    "artifacts_simple.yaml": COLLECTED,
    "component_with_task_final_status_GH-12033.yaml": STATUS,
    "components_with_optional_artifacts.yaml": IMPORTER,
    "critical/collected_parameters.yaml": COLLECTED,
    "critical/flip_coin.yaml": CONDITION,
    "critical/modelcar.yaml": IMPORTER,
    "critical/parallel_for_after_dependency.yaml": LOOP,
    "critical/parameters_simple.yaml": COLLECTED,
    "critical/pipeline_with_importer_workspace.yaml": "a workspace (dsl.WorkspaceConfig)",
    "critical/pipeline_with_input_status_state.yaml": STATUS,
    "critical/pipeline_with_retry.yaml": RETRY,
    "cross_loop_after_topology.yaml": LOOP,
    "essential/pipeline_with_metrics_outputs.yaml": LOOP,
    "essential/pipeline_with_nested_conditions_yaml.yaml": CONDITION,
    "failing/pipeline_with_exit_handler.yaml": EXIT,
    "failing/pipeline_with_multiple_exit_handlers.yaml": EXIT,
    "if_elif_else_complex.yaml": CONDITION,
    "local_execution/local_execution_pipeline_with_exit_handler.yaml": STATUS,
    "local_execution/local_execution_pipeline_with_oneof.yaml": CONDITION,
    "local_execution/local_execution_pipeline_with_retry.yaml": RETRY,
    "local_execution/pipeline_with_collected_artifacts.yaml": COLLECTED,
    "nested_with_parameters.yaml": COLLECTED,
    "parallel_and_nested/loop_consume_upstream.yaml": LOOP,
    "parallel_and_nested/nested_parallel_for_secret.yaml": LOOP,
    "parallel_and_nested/pipeline_in_pipeline_complex.yaml": CONDITION,
    "parallel_and_nested/pipeline_with_loops.yaml": "(parameterExpressionSelector",
    "pipeline_as_exit_task.yaml": STATUS,
    "pipeline_producer_consumer.yaml": COLLECTED,
    "pipeline_with_importer.yaml": IMPORTER,
    "pipeline_with_parallelfor_pipeline_param.yaml": LOOP,
    "pythonic_artifact_with_single_return.yaml": IMPORTER,
}
ARTIFACT = "it takes an artifact, which a run cannot be given"
# Built, but not to be run on a machine alone.
ELSEWHERE = {
    "component_with_metadata_fields.yaml": ARTIFACT,
    "input_artifact.yaml": ARTIFACT,
    "pipeline_with_various_io_types.yaml": ARTIFACT,
    "preprocess.yaml": ARTIFACT,
    "pythonic_artifacts_with_multiple_returns.yaml": ARTIFACT,
    "integration/ray_integration_compiled.yaml": "needs a Ray cluster",
    "pipeline_with_dynamic_task_output_custom_training_job.yaml": "needs Vertex AI",
    "pipeline_with_string_machine_fields_task_output.yaml": "asks for a GPU by Vertex AI's name",
    "critical/pipeline_with_artifact_upload_download.yaml": "downloads from Hugging Face",
    "two_step_pipeline.yaml": "its pipeline root is on Google's storage",
    "metrics_visualization_v2.yaml": "pins a scikit-learn that has no wheels any more",
}
MADE_UP = {
    "NUMBER_INTEGER": 1,
    "NUMBER_DOUBLE": 1.5,
    "STRING": "text",
    "BOOLEAN": True,
    "LIST": ["a"],
    "STRUCT": {"a": "b"},
}


def _expected() -> dict[str, str]:
    if not SAMPLES.is_dir():
        return {}
    lines = (SAMPLES / "expected.tsv").read_text().splitlines()
    pairs = [line.split("\t") for line in lines if line and not line.startswith("#")]
    # It fails by design where nobody sets its variable.
    return {**dict(pairs), "env-var.yaml": "FAILED"}


EXPECTED = _expected()
RUNNABLE = sorted(set(EXPECTED) - set(REFUSED) - set(ELSEWHERE))


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
def client(endpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[kfp.Client]:
    with pytest.MonkeyPatch.context() as patch:
        # The client keeps a file in the user's home.
        path = tmp_path_factory.mktemp("kfp") / "context.json"
        patch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(path))
        yield kfp.Client(host=endpoint.url, existing_token=endpoint.token)


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
def test_it_ends_as_expected(client: kfp.Client, started: dict[str, str], name: str) -> None:
    run = client.wait_for_run_completion(started[name], timeout=TIMEOUT, sleep_duration=1)
    wanted = EXPECTED[name] if EXPECTED[name] != "?" else "SUCCEEDED"
    problems = [
        (task.display_name, task.error)
        for task in run.run_details.task_details or []
        if task.error
    ]
    assert run.state == wanted, problems


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_it_is_refused_by_name(client: kfp.Client, name: str) -> None:
    with pytest.raises(kfp_server_api.ApiException) as caught:
        client.upload_pipeline(str(SAMPLES / name), pipeline_name=f"refused {name}")
    assert caught.value.status == 400
    assert REFUSED[name] in str(caught.value.body)


def test_every_sample_is_accounted_for() -> None:
    assert set(REFUSED) | set(ELSEWHERE) <= set(EXPECTED)
    assert set(RUNNABLE) | set(REFUSED) | set(ELSEWHERE) == set(EXPECTED)
