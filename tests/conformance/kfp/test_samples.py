"""Other people's compiled pipelines: run to the end their makers expect.

The samples lie beside this repository (`../shared/conformance/kfp`, with `expected.tsv`), or where
KFP_SAMPLES says; without them the tests are skipped. Their images are replaced by what any machine
has, and inputs without a value get one of their type. Nothing else is changed: KFP and the other
packages they name are installed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import kfp
import pytest
import yaml

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
def test_it_ends_as_expected(client: kfp.Client, started: dict[str, str], name: str) -> None:
    run = client.wait_for_run_completion(started[name], timeout=TIMEOUT, sleep_duration=1)
    wanted = EXPECTED[name] if EXPECTED[name] != "?" else "SUCCEEDED"
    problems = [
        (task.display_name, task.error)
        for task in run.run_details.task_details or []
        if task.error
    ]
    assert run.state == wanted, problems


def test_every_sample_is_accounted_for() -> None:
    assert set(ELSEWHERE) <= set(EXPECTED)
    assert set(RUNNABLE) | set(ELSEWHERE) == set(EXPECTED)
