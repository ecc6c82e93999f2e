"""A run is made again from its record and compared with it, through the charm's actions."""

from __future__ import annotations

from typing import Any

import jubilant
import pytest

from ..deployment import Bundle
from .pipelines import counting, handing

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


def again(bundle: Bundle, juju: jubilant.Juju, run_id: str) -> dict[str, Any]:
    """Reproduce a run that has ended; give what the comparison says, by its own advice."""
    made = juju.run("pipelines/0", "reproduce", {"run-id": run_id}).results
    assert made["reproduces"] == run_id
    assert bundle.finish(made["run-id"])["state"] == "SUCCEEDED"
    words = made["compare"].split()
    assert words[:2] == ["juju", "run"]
    unit, action, *rest = words[2:]
    found = juju.run(unit, action, dict(word.split("=") for word in rest)).results
    assert found["with"] == run_id
    return found


def test_what_depends_on_nothing_else_comes_out_the_same(
    bundle: Bundle, juju: jubilant.Juju
) -> None:
    run_id = bundle.start(counting, seconds=0.0)
    assert bundle.finish(run_id)["state"] == "SUCCEEDED"
    found = again(bundle, juju, run_id)
    assert found["outcome"] == "SAME", found
    assert int(found["same"]) > 0
    assert len(found["tasks"].splitlines()) == 1, found  # The heads of the columns.


def test_what_is_drawn_by_chance_is_told(bundle: Bundle, juju: jubilant.Juju) -> None:
    run_id = bundle.start(handing, megabytes=1)
    assert bundle.finish(run_id)["state"] == "SUCCEEDED"
    found = again(bundle, juju, run_id)
    assert found["outcome"] == "DIFFERENT", found
    rows = [line.split() for line in found["tasks"].splitlines()]
    assert ["fill", "data", "DIFFERENT"] in [row[:3] for row in rows], found
    # The page has no chance in it.
    assert ["fill", "page", "DIFFERENT"] not in [row[:3] for row in rows], found
    assert "data" not in {row[1] for row in rows if row[0] == "digest-of"}, found


def test_a_run_that_is_not_there(bundle: Bundle, juju: jubilant.Juju) -> None:
    for action in ("reproduce", "compare-runs"):
        with pytest.raises(jubilant.TaskError) as caught:
            juju.run("pipelines/0", action, {"run-id": "none"})
        assert "none" in caught.value.task.message
