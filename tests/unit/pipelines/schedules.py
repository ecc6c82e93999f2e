"""Recurring runs for tests."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

from toolkit_pipelines.schedule import Trigger
from toolkit_pipelines.store.interface import Experiment, RecurringRun, Status

START = 1_772_366_400  # 2026-03-01T12:00:00Z


def schedule(experiment: Experiment, **changes: Any) -> RecurringRun:
    """A recurring run of every minute from `START` on, but for what is told otherwise."""
    record = RecurringRun(
        recurring_run_id=str(uuid.uuid4()),
        experiment_id=experiment.experiment_id,
        display_name="nightly",
        parameters={"a": 1},
        max_concurrency=1,
        catchup=True,
        trigger=Trigger(interval=60),
        status=Status.ENABLED,
        created=float(START),
        updated=float(START),
    )
    return dataclasses.replace(record, **changes)
