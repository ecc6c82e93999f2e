"""The first tables.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "experiments",
        sa.Column("experiment_id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("namespace", sa.Text(), server_default="", nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("last_run_created", sa.Double(), server_default="0", nullable=False),
        sa.Column("storage", sa.Text(), server_default="AVAILABLE", nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", name=("pk_experiments")),
        sa.UniqueConstraint(
            "namespace", "display_name", name=("uq_experiments_namespace_display_name")
        ),
    )
    op.create_index(
        "ix_experiments_created", "experiments", ["created", "experiment_id"], unique=False
    )
    op.create_table(
        "keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=("pk_keys")),
    )
    op.create_table(
        "outbox",
        sa.Column("entry_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=("pk_outbox")),
        sa.UniqueConstraint("key", name=("uq_outbox_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "pipelines",
        sa.Column("pipeline_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("namespace", sa.Text(), server_default="", nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("pipeline_id", name=("pk_pipelines")),
        sa.UniqueConstraint("namespace", "name", name=("uq_pipelines_namespace_name")),
    )
    op.create_index("ix_pipelines_created", "pipelines", ["created", "pipeline_id"], unique=False)
    op.create_table(
        "specs",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=("pk_specs")),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("experiment_id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("namespace", sa.Text(), server_default="", nullable=False),
        sa.Column("service_account", sa.Text(), server_default="", nullable=False),
        sa.Column("pipeline_id", sa.Text(), server_default="", nullable=False),
        sa.Column("pipeline_version_id", sa.Text(), server_default="", nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("pipeline_root", sa.Text(), server_default="", nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("storage", sa.Text(), server_default="AVAILABLE", nullable=False),
        sa.Column("request_key", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), server_default="", nullable=False),
        sa.Column("sequence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("phase", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("updated", sa.Double(), server_default="0", nullable=False),
        sa.Column("finished", sa.Double(), server_default="0", nullable=False),
        sa.Column("history", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["spec"], ["specs.digest"], name=("fk_runs_spec")),
        sa.PrimaryKeyConstraint("run_id", name=("pk_runs")),
        sa.UniqueConstraint("request_key", name=("uq_runs_request_key")),
    )
    op.create_index("ix_runs_created", "runs", ["created", "run_id"], unique=False)
    op.create_index(
        "ix_runs_experiment", "runs", ["experiment_id", "created", "run_id"], unique=False
    )
    op.create_index("ix_runs_finished", "runs", ["finished", "run_id"], unique=False)
    op.create_index("ix_runs_name", "runs", ["display_name", "run_id"], unique=False)
    op.create_index("ix_runs_phase", "runs", ["phase", "created", "run_id"], unique=False)
    op.create_index(("ix_runs_spec"), "runs", ["spec"], unique=False)
    op.create_index("ix_runs_storage", "runs", ["storage", "created", "run_id"], unique=False)
    op.create_index("ix_runs_version", "runs", ["pipeline_version_id", "created"], unique=False)
    op.create_table(
        "versions",
        sa.Column("pipeline_version_id", sa.Text(), nullable=False),
        sa.Column("pipeline_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("code_source_url", sa.Text(), server_default="", nullable=False),
        sa.Column("package_url", sa.Text(), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipelines.pipeline_id"], name=("fk_versions_pipeline_id")
        ),
        sa.ForeignKeyConstraint(["spec"], ["specs.digest"], name=("fk_versions_spec")),
        sa.PrimaryKeyConstraint("pipeline_version_id", name=("pk_versions")),
        sa.UniqueConstraint("pipeline_id", "name", name=("uq_versions_pipeline_id_name")),
    )
    op.create_index(
        "ix_versions_created",
        "versions",
        ["pipeline_id", "created", "pipeline_version_id"],
        unique=False,
    )
    op.create_index(("ix_versions_spec"), "versions", ["spec"], unique=False)
    op.create_table(
        "artifacts",
        sa.Column("artifact_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name=("fk_artifacts_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("artifact_id", name=("pk_artifacts")),
        sa.UniqueConstraint(
            "run_id",
            "task",
            "output",
            "position",
            name=("uq_artifacts_run_id_task_output_position"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_artifacts_created", "artifacts", ["created", "artifact_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name=("fk_events_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "sequence", name=("pk_events")),
    )
