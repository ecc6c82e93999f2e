from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from toolkit_pipelines import naming
from toolkit_pipelines.root import DEFAULT_URI, PipelineRoot

RUN = str(uuid.UUID(int=7))
PLACE = str(uuid.UUID(int=8))


@pytest.mark.parametrize("place", ["", "team/a", PLACE, f"x/{PLACE}/0123456789abcdef"])
@pytest.mark.parametrize("task", ["train", "outer/loop/7/train", PLACE])
def test_the_maker_of_an_artifact_is_in_its_uri(tmp_path: Path, place: str, task: str) -> None:
    root = PipelineRoot(tmp_path)
    attempt = root.attempt(place, "pipe", RUN, task, 0)
    for name in ("model", f"model/{PLACE}/0123456789abcdef"):
        assert naming.maker(f"{root.uri}/{attempt.folder}/{name}") == RUN


@pytest.mark.parametrize(
    "uri", ["", "gs://bucket/data", f"{DEFAULT_URI}/data", f"gs://bucket/{RUN}/data"]
)
def test_what_no_run_made(uri: str) -> None:
    assert naming.maker(uri) == ""
