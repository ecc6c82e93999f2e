"""Experiments, pipelines and their versions."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy
from sqlalchemy import Row, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from ..paging import Position, Query
from . import queries, tables
from .database import Database, insert_new
from .interface import (
    AlreadyExistsError,
    Experiment,
    InUseError,
    NotFoundError,
    Pipeline,
    Status,
    Storage,
    Version,
)


class Catalog:
    """The records that a run is made from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Experiments

    def create_experiment(self, experiment: Experiment) -> None:
        """Add an experiment; AlreadyExistsError if its name is taken in its namespace."""
        row = dataclasses.asdict(experiment)
        row["last_run_created"] = row["last_run_created"] or 0.0
        with self._database.write() as connection:
            try:
                connection.execute(insert(tables.experiments).values(row))
            except IntegrityError as error:
                raise AlreadyExistsError(
                    f"an experiment named {experiment.display_name!r} exists"
                ) from error

    def ensure_experiment(self, experiment: Experiment) -> Experiment:
        """Give the experiment of that name; it is added if there is none."""
        try:
            self.create_experiment(experiment)
        except AlreadyExistsError:
            found = self.experiment_named(experiment.display_name, experiment.namespace)
            if found is None:
                raise
            return found
        return experiment

    def experiment(self, experiment_id: str) -> Experiment:
        """Give an experiment; NotFoundError if there is none."""
        with self._database.read() as connection:
            return experiment_of(connection, experiment_id)

    def experiment_named(self, name: str, namespace: str = "") -> Experiment | None:
        """Give the experiment of that name, or None."""
        table = tables.experiments
        with self._database.read() as connection:
            row = connection.execute(
                select(table).where(table.c.display_name == name, table.c.namespace == namespace)
            ).one_or_none()
        return None if row is None else _experiment(row)

    def experiments(self, query: Query) -> tuple[list[Experiment], int, Position | None]:
        """Give a page of experiments, the total, and where the next page starts."""
        with self._database.read() as connection:
            rows, total, following = queries.page(
                connection, tables.experiments, "experiment_id", query
            )
        return [_experiment(row) for row in rows], total, following

    def store_experiment(self, experiment_id: str, storage: Storage, now: float) -> None:
        """Archive an experiment, or unarchive it alone, as KFP does.

        What is archived takes its runs along and disables its recurring runs, as of `now`.
        """
        table, runs, recurring = tables.experiments, tables.runs, tables.recurring_runs
        with self._database.write() as connection:
            experiment_of(connection, experiment_id)
            connection.execute(
                update(table)
                .where(table.c.experiment_id == experiment_id)
                .values(storage=storage.value)
            )
            if storage is Storage.ARCHIVED:
                connection.execute(
                    update(runs)
                    .where(runs.c.experiment_id == experiment_id)
                    .values(storage=storage.value)
                )
                connection.execute(
                    update(recurring)
                    .where(
                        recurring.c.experiment_id == experiment_id,
                        recurring.c.status == Status.ENABLED,
                    )
                    .values(status=Status.DISABLED.value, updated=now)
                )

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment; its runs stay, as in KFP."""
        table = tables.experiments
        with self._database.write() as connection:
            experiment_of(connection, experiment_id)
            connection.execute(delete(table).where(table.c.experiment_id == experiment_id))

    # Pipelines

    def create_pipeline(self, pipeline: Pipeline) -> None:
        """Add a pipeline without versions; AlreadyExistsError if its name is taken."""
        with self._database.write() as connection:
            _add_pipeline(connection, pipeline)

    def create_pipeline_and_version(
        self, pipeline: Pipeline, version: Version, body: bytes
    ) -> None:
        """Add a pipeline with its first version, whose spec is `body` (JSON)."""
        with self._database.write() as connection:
            _add_pipeline(connection, pipeline)
            _add_version(connection, version, body)

    def pipeline(self, pipeline_id: str) -> Pipeline:
        """Give a pipeline; NotFoundError if there is none."""
        with self._database.read() as connection:
            return _pipeline_of(connection, pipeline_id)

    def pipeline_named(self, name: str, namespace: str = "") -> Pipeline:
        """Give the pipeline of that name; NotFoundError if there is none."""
        table = tables.pipelines
        with self._database.read() as connection:
            row = connection.execute(
                select(table).where(table.c.name == name, table.c.namespace == namespace)
            ).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no pipeline named {name!r}")
        return _pipeline(row)

    def pipelines(self, query: Query) -> tuple[list[Pipeline], int, Position | None]:
        """Give a page of pipelines, the total, and where the next page starts."""
        with self._database.read() as connection:
            rows, total, following = queries.page(
                connection, tables.pipelines, "pipeline_id", query
            )
        return [_pipeline(row) for row in rows], total, following

    def update_pipeline(self, pipeline_id: str, changes: Mapping[str, Any]) -> Pipeline:
        """Change a pipeline's `display_name`, `description` or `tags`."""
        table = tables.pipelines
        with self._database.write() as connection:
            _pipeline_of(connection, pipeline_id)
            if changes:
                connection.execute(
                    update(table).where(table.c.pipeline_id == pipeline_id).values(**changes)
                )
            return _pipeline_of(connection, pipeline_id)

    def delete_pipeline(self, pipeline_id: str, *, cascade: bool) -> None:
        """Delete a pipeline.

        Raises:
            InUseError: it has versions and `cascade` does not say to delete them as well.
        """
        table, versions = tables.pipelines, tables.versions
        with self._database.write() as connection:
            _pipeline_of(connection, pipeline_id)
            rows = connection.execute(
                select(versions.c.spec).where(versions.c.pipeline_id == pipeline_id)
            ).all()
            if rows and not cascade:
                raise InUseError(
                    f"pipeline {pipeline_id} has {len(rows)} version(s); delete them first, "
                    "or ask with cascade=true"
                )
            connection.execute(delete(versions).where(versions.c.pipeline_id == pipeline_id))
            connection.execute(delete(table).where(table.c.pipeline_id == pipeline_id))
            for row in rows:
                drop_unused_spec(connection, row.spec)

    # Versions

    def create_version(self, version: Version, body: bytes) -> None:
        """Add a version with the spec `body` (JSON) to its pipeline.

        Raises:
            NotFoundError: there is no such pipeline.
            AlreadyExistsError: the pipeline has a version of that name.
        """
        with self._database.write() as connection:
            _pipeline_of(connection, version.pipeline_id)
            _add_version(connection, version, body)

    def version(self, pipeline_id: str, pipeline_version_id: str) -> Version:
        """Give a version of a pipeline; NotFoundError if there is none."""
        with self._database.read() as connection:
            return _version_of(connection, pipeline_id, pipeline_version_id)

    def latest_version(self, pipeline_id: str) -> Version:
        """Give the newest version of a pipeline; NotFoundError if it has none."""
        table = tables.versions
        with self._database.read() as connection:
            _pipeline_of(connection, pipeline_id)
            row = connection.execute(
                select(table)
                .where(table.c.pipeline_id == pipeline_id)
                .order_by(table.c.created.desc(), table.c.pipeline_version_id.desc())
                .limit(1)
            ).one_or_none()
        if row is None:
            raise NotFoundError(f"pipeline {pipeline_id} has no version")
        return _version(row)

    def versions(self, query: Query) -> tuple[list[Version], int, Position | None]:
        """Give a page of versions (the scope names the pipeline), the total, and the next."""
        with self._database.read() as connection:
            rows, total, following = queries.page(
                connection, tables.versions, "pipeline_version_id", query
            )
        return [_version(row) for row in rows], total, following

    def update_version(
        self, pipeline_id: str, pipeline_version_id: str, changes: Mapping[str, Any]
    ) -> Version:
        """Change a version's `display_name`, `description` or `tags`."""
        table = tables.versions
        with self._database.write() as connection:
            _version_of(connection, pipeline_id, pipeline_version_id)
            if changes:
                connection.execute(
                    update(table)
                    .where(table.c.pipeline_version_id == pipeline_version_id)
                    .values(**changes)
                )
            return _version_of(connection, pipeline_id, pipeline_version_id)

    def delete_version(self, pipeline_id: str, pipeline_version_id: str) -> None:
        """Delete a version; runs that were made from it keep their spec."""
        table = tables.versions
        with self._database.write() as connection:
            version = _version_of(connection, pipeline_id, pipeline_version_id)
            connection.execute(
                delete(table).where(table.c.pipeline_version_id == pipeline_version_id)
            )
            drop_unused_spec(connection, version.spec)

    def specs(self, digests: set[str]) -> dict[str, bytes]:
        """Give the specs of those digests as JSON text."""
        table = tables.specs
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(table.c.digest.in_(digests))).all()
        return {row.digest: row.body for row in rows}


def digest(body: bytes) -> str:
    """Give the digest that a spec is kept under."""
    return hashlib.sha256(body).hexdigest()


def keep_spec(connection: sqlalchemy.Connection, body: bytes) -> str:
    """Keep a spec unless it is kept already; give its digest."""
    found = digest(body)
    connection.execute(insert_new(connection, tables.specs).values(digest=found, body=body))
    return found


def drop_unused_spec(connection: sqlalchemy.Connection, spec: str) -> None:
    """Drop a spec that no version, no run and no recurring run uses any more."""
    connection.execute(
        delete(tables.specs).where(
            tables.specs.c.digest == spec,
            ~exists().where(tables.versions.c.spec == spec),
            ~exists().where(tables.runs.c.spec == spec),
            ~exists().where(tables.recurring_runs.c.spec == spec),
        )
    )


def experiment_of(connection: sqlalchemy.Connection, experiment_id: str) -> Experiment:
    """Give an experiment; NotFoundError if there is none."""
    table = tables.experiments
    row = connection.execute(
        select(table).where(table.c.experiment_id == experiment_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no experiment {experiment_id!r}")
    return _experiment(row)


def available_experiment(connection: sqlalchemy.Connection, experiment_id: str) -> Experiment:
    """Give an experiment that takes runs.

    Raises:
        NotFoundError: there is none.
        InUseError: it is archived.
    """
    found = experiment_of(connection, experiment_id)
    if found.storage is Storage.ARCHIVED:
        raise InUseError(f"experiment {found.display_name!r} is archived; unarchive it first")
    return found


def _pipeline_of(connection: sqlalchemy.Connection, pipeline_id: str) -> Pipeline:
    table = tables.pipelines
    row = connection.execute(select(table).where(table.c.pipeline_id == pipeline_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no pipeline {pipeline_id!r}")
    return _pipeline(row)


def _version_of(
    connection: sqlalchemy.Connection, pipeline_id: str, pipeline_version_id: str
) -> Version:
    table = tables.versions
    row = connection.execute(
        select(table).where(
            table.c.pipeline_version_id == pipeline_version_id,
            table.c.pipeline_id == pipeline_id,
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"pipeline {pipeline_id!r} has no version {pipeline_version_id!r}")
    return _version(row)


def _add_pipeline(connection: sqlalchemy.Connection, pipeline: Pipeline) -> None:
    try:
        connection.execute(insert(tables.pipelines).values(dataclasses.asdict(pipeline)))
    except IntegrityError as error:
        raise AlreadyExistsError(f"a pipeline named {pipeline.name!r} exists") from error


def _add_version(connection: sqlalchemy.Connection, version: Version, body: bytes) -> None:
    row = dataclasses.asdict(version)
    row["spec"] = keep_spec(connection, body)
    try:
        connection.execute(insert(tables.versions).values(row))
    except IntegrityError as error:
        raise AlreadyExistsError(
            f"pipeline {version.pipeline_id} has a version named {version.name!r}"
        ) from error


def _experiment(row: Row[Any]) -> Experiment:
    values = dict(row._mapping)
    values["last_run_created"] = values["last_run_created"] or None
    values["storage"] = Storage(values["storage"])
    return Experiment(**values)


def _pipeline(row: Row[Any]) -> Pipeline:
    return Pipeline(**row._mapping)


def _version(row: Row[Any]) -> Version:
    return Version(**row._mapping)
