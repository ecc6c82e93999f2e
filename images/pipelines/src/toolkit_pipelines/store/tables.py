"""The tables; SQLite and PostgreSQL hold the same (see `types`).

Times are seconds since the epoch. Text is "" rather than NULL, and `finished` is 0 while a run
goes on: a sort key without NULLs pages the same way everywhere.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from .types import Document, Number, Words

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, *, default: str | None = "") -> Column[str]:
    return Column(name, Words, nullable=False, server_default=default)


keys = Table(
    "keys",
    metadata,
    Column("name", Words, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""Keys that the service made for itself, such as the one that signs page tokens."""

specs = Table(
    "specs",
    metadata,
    Column("digest", Words, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Pipeline specs by the SHA-256 of their JSON; dropped with the last that uses it."""

experiments = Table(
    "experiments",
    metadata,
    Column("experiment_id", Words, primary_key=True),
    _text("display_name", default=None),
    _text("description"),
    _text("namespace"),
    Column("created", Double, nullable=False),
    Column("last_run_created", Double, nullable=False, server_default="0"),
    _text("storage", default="AVAILABLE"),
    UniqueConstraint("namespace", "display_name"),
    Index("ix_experiments_created", "created", "experiment_id"),
)

pipelines = Table(
    "pipelines",
    metadata,
    Column("pipeline_id", Words, primary_key=True),
    _text("name", default=None),
    _text("display_name", default=None),
    _text("description"),
    _text("namespace"),
    Column("created", Double, nullable=False),
    Column("tags", Document, nullable=False),
    UniqueConstraint("namespace", "name"),
    Index("ix_pipelines_created", "created", "pipeline_id"),
)

versions = Table(
    "versions",
    metadata,
    Column("pipeline_version_id", Words, primary_key=True),
    Column("pipeline_id", Words, ForeignKey("pipelines.pipeline_id"), nullable=False),
    _text("name", default=None),
    _text("display_name", default=None),
    _text("description"),
    Column("created", Double, nullable=False),
    Column("spec", Words, ForeignKey("specs.digest"), nullable=False, index=True),
    _text("code_source_url"),
    _text("package_url"),
    Column("tags", Document, nullable=False),
    UniqueConstraint("pipeline_id", "name"),
    Index("ix_versions_created", "pipeline_id", "created", "pipeline_version_id"),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Words, primary_key=True),
    _text("experiment_id", default=None),
    _text("display_name", default=None),
    _text("description"),
    _text("namespace"),
    _text("service_account"),
    _text("pipeline_id"),
    _text("pipeline_version_id"),
    Column("spec", Words, ForeignKey("specs.digest"), nullable=False, index=True),
    Column("parameters", Document, nullable=False),
    _text("pipeline_root"),
    Column("created", Double, nullable=False),
    # When it was due: an instant of its schedule, or its creation.
    Column("scheduled", Double, nullable=False, server_default="0"),
    _text("recurring_run_id"),
    _text("storage", default="AVAILABLE"),
    # How a repeated request is known, and that it is the same one.
    Column("request_key", Words, nullable=True, unique=True),
    _text("request_digest"),
    # Derived from the events.
    Column("sequence", Integer, nullable=False, server_default="0"),
    _text("phase", default="PENDING"),
    _text("message"),
    Column("updated", Double, nullable=False, server_default="0"),
    Column("finished", Double, nullable=False, server_default="0"),
    Column("history", Document, nullable=False),
    Index("ix_runs_created", "created", "run_id"),
    Index("ix_runs_experiment", "experiment_id", "created", "run_id"),
    Index("ix_runs_storage", "storage", "created", "run_id"),
    Index("ix_runs_phase", "phase", "created", "run_id"),
    Index("ix_runs_name", "display_name", "run_id"),
    Index("ix_runs_finished", "finished", "run_id"),
    Index("ix_runs_version", "pipeline_version_id", "created"),
    Index("ix_runs_scheduled", "scheduled", "run_id"),
    Index("ix_runs_recurring", "recurring_run_id", "created", "run_id"),
    # Which of them have not ended.
    Index("ix_runs_recurring_finished", "recurring_run_id", "finished"),
)

recurring_runs = Table(
    "recurring_runs",
    metadata,
    Column("recurring_run_id", Words, primary_key=True),
    _text("experiment_id", default=None),
    _text("display_name", default=None),
    _text("description"),
    _text("pipeline_id"),
    _text("pipeline_version_id"),
    # NULL if each run takes the newest version of the pipeline.
    Column("spec", Words, ForeignKey("specs.digest"), nullable=True, index=True),
    Column("parameters", Document, nullable=False),
    _text("pipeline_root"),
    Column("max_concurrency", Integer, nullable=False),
    Column("catchup", Boolean, nullable=False),
    Column("trigger", Document, nullable=False),
    _text("status", default=None),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    # How many runs it has made, the last instant that fired, and the next; 0 for none.
    Column("made", Integer, nullable=False, server_default="0"),
    Column("last", Double, nullable=False, server_default="0"),
    Column("next", Double, nullable=False, server_default="0"),
    _text("last_run_id"),
    _text("problem"),
    Index("ix_recurring_runs_created", "created", "recurring_run_id"),
    Index("ix_recurring_runs_updated", "updated", "recurring_run_id"),
    Index("ix_recurring_runs_name", "display_name", "recurring_run_id"),
    Index("ix_recurring_runs_experiment", "experiment_id", "created", "recurring_run_id"),
    Index("ix_recurring_runs_next", "status", "next"),
)
"""Schedules. They outlive neither deletion nor their spec; their runs do."""

events = Table(
    "events",
    metadata,
    Column("run_id", Words, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("time", Double, nullable=False),
    _text("kind", default=None),
    Column("body", Document, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("artifact_id", Number, primary_key=True, autoincrement=True),
    Column("run_id", Words, ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    _text("task", default=None),
    _text("output", default=None),
    Column("position", Integer, nullable=False),
    _text("name", default=None),
    _text("type", default=None),
    _text("uri", default=None),
    Column("metadata", Document, nullable=False),
    Column("created", Double, nullable=False),
    # The other run that made it, if it was taken from the cache or imported.
    _text("origin"),
    UniqueConstraint("run_id", "task", "output", "position"),
    Index("ix_artifacts_created", "created", "artifact_id"),
    Index("ix_artifacts_origin", "origin"),
    sqlite_autoincrement=True,
)
"""The artifacts of tasks that succeeded, derived from their events; the API numbers them."""

executions = Table(
    "executions",
    metadata,
    Column("run_id", Words, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    _text("fingerprint", default=None),
    Column("finished", Double, nullable=False),
    Index("ix_executions_fingerprint", "fingerprint", "finished"),
)
"""The cache: executions that ended well, by the event that says so."""

documents = Table(
    "documents",
    metadata,
    Column("home", Words, primary_key=True),
    Column("kind", Words, primary_key=True),
    Column(
        "run_id",
        Words,
        ForeignKey("runs.run_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("body", LargeBinary, nullable=False),
)
"""What is known of attempts beside their events, where the volume has none of it."""

outbox = Table(
    "outbox",
    metadata,
    Column("entry_id", Number, primary_key=True, autoincrement=True),
    Column("key", Words, nullable=False, unique=True),
    _text("run_id", default=None),
    Column("body", Document, nullable=False),
    Column("created", Double, nullable=False),
    _text("recipient", default="MLflow"),
    Index("ix_outbox_recipient", "recipient", "entry_id"),
    sqlite_autoincrement=True,
)
"""What waits to be delivered elsewhere. Outlives its run."""
