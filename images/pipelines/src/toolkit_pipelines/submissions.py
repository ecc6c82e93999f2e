"""A run that is asked for, by a client or by a schedule: its record and its first event."""

from __future__ import annotations

from collections.abc import Mapping

from . import macros, spec
from .events import Json, RunCreated
from .macros import Occasion
from .spec import Pipeline
from .store.interface import Experiment, Run


def arguments(
    pipeline: Pipeline, given: Mapping[str, Json], occasion: Occasion
) -> Mapping[str, Json]:
    """Give a run's parameters, with their macros filled in; it takes time with their length.

    Raises:
        SpecError: the pipeline cannot be given them.
    """
    parameters = macros.expand(given, occasion)
    spec.arguments(pipeline.root.inputs, parameters)
    return parameters


def new_run(
    occasion: Occasion,
    experiment: Experiment,
    pipeline: Pipeline,
    *,
    display_name: str,
    parameters: Mapping[str, Json],
    description: str = "",
    pipeline_id: str = "",
    pipeline_version_id: str = "",
    pipeline_root: str = "",
    recurring_run_id: str = "",
    force: bool = False,
    reproduces: str = "",
) -> tuple[Run, RunCreated]:
    """Give what `Runs.create` adds, which fills in the digest of the spec.

    Args:
        occasion: the run's id, and when it was made and due.
        experiment: the experiment it belongs to.
        pipeline: what it runs.
        display_name: its name.
        parameters: its parameters, with their macros filled in.
        description: what its name does not say.
        pipeline_id: the stored pipeline it runs, or "".
        pipeline_version_id: that pipeline's version, or "".
        pipeline_root: where its artifacts go, or "".
        recurring_run_id: the recurring run it is of, or "".
        force: whether nothing is taken from the cache.
        reproduces: the run that it makes again, or "".
    """
    run = Run(
        run_id=occasion.run_id,
        experiment_id=experiment.experiment_id,
        display_name=display_name,
        description=description,
        pipeline_id=pipeline_id,
        pipeline_version_id=pipeline_version_id,
        spec="",
        parameters=parameters,
        pipeline_root=pipeline_root,
        created=occasion.now,
        scheduled=occasion.scheduled,
        recurring_run_id=recurring_run_id,
    )
    created = RunCreated(
        run_id=run.run_id,
        time=run.created,
        spec="",
        display_name=run.display_name,
        pipeline_name=pipeline.name,
        experiment_id=experiment.experiment_id,
        experiment_name=experiment.display_name,
        parameters=parameters,
        pipeline_root=pipeline_root,
        scheduled=run.scheduled,
        recurring_run_id=recurring_run_id,
        force=force,
        reproduces=reproduces,
    )
    return run, created
