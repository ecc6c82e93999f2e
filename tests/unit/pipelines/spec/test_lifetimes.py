"""How long a run may take: what `dsl.PipelineConfig` says besides its workspace."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from toolkit_pipelines import spec
from toolkit_pipelines.spec import SpecError, lifetimes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's notes on its own default image
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11")
    def work():
        pass


def config(**fields: Any) -> Any:
    return {"platforms": {"kubernetes": {"pipelineConfig": fields}}}


def compiled(folder: Path, **options: int) -> Any:
    @dsl.pipeline(name="p", pipeline_config=dsl.PipelineConfig(**options))
    def pipeline():
        work()

    path = folder / "p.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return spec.load(path.read_bytes())


def test_what_the_sdk_compiles_is_read(tmp_path: Path) -> None:
    ttl = {f"ttl_seconds_after_{end}": 60 for end in ("finished", "success", "failure")}
    assert compiled(tmp_path, active_deadline_seconds=3600, **ttl).deadline == 3600
    assert compiled(tmp_path, **ttl).deadline is None
    assert compiled(tmp_path).deadline is None


@pytest.mark.parametrize("seconds", [0, -1, None])
def test_nothing_and_less_is_no_limit(seconds: int | None) -> None:
    assert lifetimes.read(config(activeDeadlineSeconds=seconds)) is None


@pytest.mark.parametrize("field", lifetimes.FIELDS[1:])
@pytest.mark.parametrize("value", ["60", True, 1.5, 2**31])
def test_what_is_no_number_of_seconds_is_refused(field: str, value: Any) -> None:
    with pytest.raises(SpecError, match="not a whole number of seconds") as caught:
        lifetimes.read(config(**{field: value}))
    assert caught.value.where.endswith(f"pipelineConfig.{field}")
