"""An exchange over a root in a temporary folder, with an attempt that has an input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit_pipelines.root import Attempt, PipelineRoot
from toolkit_pipelines.steps import Exchange

URI = "minio://mlpipeline/v2/artifacts"
PRODUCER = Attempt("p/run", "p/run/load", "0" * 16)
ATTEMPT = Attempt("p/run", "p/run/train", "1" * 16)


def task(*inputs: str) -> dict[str, Any]:
    artifacts = {
        f"input-{number}": {"artifacts": [{"name": "x", "uri": uri, "metadata": {}}]}
        for number, uri in enumerate(inputs)
    }
    return {
        "version": "1",
        "executor_input": {"inputs": {"parameterValues": {}, "artifacts": artifacts}},
    }


@pytest.fixture
def root(tmp_path: Path) -> PipelineRoot:
    folder = tmp_path / "root"
    folder.mkdir()
    return PipelineRoot(folder)


@pytest.fixture
def exchange(root: PipelineRoot) -> Exchange:
    root.prepare(PRODUCER, task())
    root.prepare(ATTEMPT, task(f"{URI}/{PRODUCER.folder}/data", "s3://elsewhere/x"))
    return Exchange(root)


def read(root: PipelineRoot, path: str) -> Any:
    return json.loads((root.folder / path).read_text())
