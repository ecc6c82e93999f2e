from __future__ import annotations

import uuid
from typing import Any

import pytest

from toolkit_pipelines import runstate, spec, submissions
from toolkit_pipelines.macros import Occasion
from toolkit_pipelines.store import Store
from toolkit_pipelines.store.interface import Experiment


def test_arguments_have_their_macros_filled_in_and_are_checked(pipeline: dict[str, Any]) -> None:
    inputs = pipeline["root"]["inputDefinitions"]["parameters"]
    inputs["when"] = {"parameterType": "STRING", "isOptional": True}
    occasion = Occasion(run_id=str(uuid.uuid4()), now=5.0, scheduled=4.0, index=3)
    parsed = spec.parse(pipeline)
    assert submissions.arguments(parsed, {"a": 1, "when": "[[Index]]"}, occasion) == {
        "a": 1,
        "when": "3",
    }
    with pytest.raises(spec.SpecError, match="none"):
        submissions.arguments(parsed, {"a": 1, "none": 1}, occasion)


def test_the_record_and_its_first_event_agree(
    store: Store, experiment: Experiment, pipeline: dict[str, Any]
) -> None:
    for scheduled in (None, 4.0):
        run, created = submissions.new_run(
            Occasion(run_id=str(uuid.uuid4()), now=5.0, scheduled=scheduled),
            experiment,
            spec.parse(pipeline),
            display_name="x",
            description="text",
            parameters={"a": 1},
            pipeline_id="p",
            pipeline_version_id="v",
            pipeline_root="root",
            recurring_run_id="r",
        )
        kept = store.runs.create(run, created, b"{}")
        assert (kept.scheduled, kept.created) == (scheduled or 5.0, 5.0)
        assert (kept.description, kept.pipeline_id, kept.pipeline_version_id) == ("text", "p", "v")
        found = runstate.fold(store.runs.events(run.run_id)).created
        assert found is not None
        assert found.pipeline_name == "adder"
        assert found.experiment_name == experiment.display_name
        for name in ("spec", "display_name", "parameters", "pipeline_root", "experiment_id"):
            assert getattr(found, name) == getattr(kept, name)
        assert (found.scheduled, found.recurring_run_id) == (scheduled, kept.recurring_run_id)
