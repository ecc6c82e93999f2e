"""What steps ran in, as their runs record it."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit_pipelines import provenance
from toolkit_pipelines.events import RunCreated, TaskStarted, TaskSucceeded
from toolkit_pipelines.runstate import fold

PACKAGES = ("numpy==2.3.5", "tool @ https://host/tool.whl#sha256=ab")


def test_a_lock_is_known_by_all_of_it() -> None:
    assert provenance.lock(()) == ""
    locks = {provenance.lock(each) for each in (PACKAGES, PACKAGES[:1], ("numpy==2.3.6",))}
    assert len(locks) == 3
    assert provenance.lock(list(PACKAGES)) in locks


@pytest.mark.parametrize(
    "data", ["numpy", {}, [1], [""], ["a\nb"], ["x" * 3000], ["x"] * 10_001, False]
)
def test_what_is_no_list_of_packages_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="the list of packages is none"):
        provenance.listed(data)


def test_a_list_may_lack() -> None:
    assert provenance.listed(None) == provenance.listed([]) == ()
    assert provenance.listed(list(PACKAGES)) == PACKAGES


def test_a_run_has_each_lock_once() -> None:
    created = RunCreated(
        run_id="r",
        time=1.0,
        spec="d",
        display_name="n",
        pipeline_name="p",
        experiment_id="e",
        experiment_name="Default",
    )
    lock = provenance.lock(PACKAGES)
    state = fold([created])
    for name in ("a", "b"):
        state.apply(TaskStarted(run_id="r", time=2.0, task=name, pod=name))
        ended = TaskSucceeded(
            run_id="r", time=3.0, task=name, image="i", lock=lock, packages=PACKAGES
        )
        kept = provenance.once(ended, state)
        assert isinstance(kept, TaskSucceeded)
        assert kept.packages == (PACKAGES if name == "a" else ())
        state.apply(kept)
    assert state.locks == {lock: PACKAGES}
    assert [(task.image, task.lock) for task in state.tasks.values()] == [("i", lock)] * 2


def test_how_locks_differ_is_told() -> None:
    assert provenance.changes(PACKAGES, PACKAGES) == []
    now = ("numpy==2.3.6", "scipy==1.17.0")
    assert provenance.changes(PACKAGES, now) == [
        "numpy==2.3.5 is numpy==2.3.6 now",
        "no scipy is scipy==1.17.0 now",
        f"{PACKAGES[1]} is no tool now",
    ]
