"""The tables. Plain SQL types only, so that SQLite and PostgreSQL hold the same.

Times are seconds since the epoch. Text is "" rather than NULL, and `finished` is 0 while a run
goes on: a sort key without NULLs pages the same way everywhere.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, *, default: str | None = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


keys = Table(
    "keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""Keys that the service made for itself, such as the one that signs page tokens."""

specs = Table(
    "specs",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Pipeline specs by the SHA-256 of their JSON; dropped with the last that uses it."""

experiments = Table(
    "experiments",
    metadata,
    Column("experiment_id", Text, primary_key=True),
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
    Column("pipeline_id", Text, primary_key=True),
    _text("name", default=None),
    _text("display_name", default=None),
    _text("description"),
    _text("namespace"),
    Column("created", Double, nullable=False),
    Column("tags", JSON, nullable=False),
    UniqueConstraint("namespace", "name"),
    Index("ix_pipelines_created", "created", "pipeline_id"),
)

versions = Table(
    "versions",
    metadata,
    Column("pipeline_version_id", Text, primary_key=True),
    Column("pipeline_id", Text, ForeignKey("pipelines.pipeline_id"), nullable=False),
    _text("name", default=None),
    _text("display_name", default=None),
    _text("description"),
    Column("created", Double, nullable=False),
    Column("spec", Text, ForeignKey("specs.digest"), nullable=False, index=True),
    _text("code_source_url"),
    _text("package_url"),
    Column("tags", JSON, nullable=False),
    UniqueConstraint("pipeline_id", "name"),
    Index("ix_versions_created", "pipeline_id", "created", "pipeline_version_id"),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    _text("experiment_id", default=None),
    _text("display_name", default=None),
    _text("description"),
    _text("namespace"),
    _text("service_account"),
    _text("pipeline_id"),
    _text("pipeline_version_id"),
    Column("spec", Text, ForeignKey("specs.digest"), nullable=False, index=True),
    Column("parameters", JSON, nullable=False),
    _text("pipeline_root"),
    Column("created", Double, nullable=False),
    _text("storage", default="AVAILABLE"),
    # How a repeated request is known, and that it is the same one.
    Column("request_key", Text, nullable=True, unique=True),
    _text("request_digest"),
    # Derived from the events.
    Column("sequence", Integer, nullable=False, server_default="0"),
    _text("phase", default="PENDING"),
    _text("message"),
    Column("updated", Double, nullable=False, server_default="0"),
    Column("finished", Double, nullable=False, server_default="0"),
    Column("history", JSON, nullable=False),
    Index("ix_runs_created", "created", "run_id"),
    Index("ix_runs_experiment", "experiment_id", "created", "run_id"),
    Index("ix_runs_storage", "storage", "created", "run_id"),
    Index("ix_runs_phase", "phase", "created", "run_id"),
    Index("ix_runs_name", "display_name", "run_id"),
    Index("ix_runs_finished", "finished", "run_id"),
    Index("ix_runs_version", "pipeline_version_id", "created"),
)

events = Table(
    "events",
    metadata,
    Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("time", Double, nullable=False),
    _text("kind", default=None),
    Column("body", JSON, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("artifact_id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    _text("task", default=None),
    _text("output", default=None),
    Column("position", Integer, nullable=False),
    _text("name", default=None),
    _text("type", default=None),
    _text("uri", default=None),
    Column("metadata", JSON, nullable=False),
    Column("created", Double, nullable=False),
    UniqueConstraint("run_id", "task", "output", "position"),
    Index("ix_artifacts_created", "created", "artifact_id"),
    sqlite_autoincrement=True,
)
"""The artifacts of tasks that succeeded, derived from their events; the API numbers them."""

outbox = Table(
    "outbox",
    metadata,
    Column("entry_id", Integer, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False, unique=True),
    _text("run_id", default=None),
    Column("body", JSON, nullable=False),
    Column("created", Double, nullable=False),
    sqlite_autoincrement=True,
)
"""What waits to be delivered elsewhere. Outlives its run."""
