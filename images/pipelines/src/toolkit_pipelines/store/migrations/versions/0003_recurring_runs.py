"""Recurring runs, and which run is one of which.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and give runs their schedule and when they were due."""
    op.add_column("runs", sa.Column("scheduled", sa.Double(), server_default="0", nullable=False))
    op.add_column(
        "runs", sa.Column("recurring_run_id", sa.Text(), server_default="", nullable=False)
    )
    op.execute("UPDATE runs SET scheduled = created")
    op.create_index("ix_runs_scheduled", "runs", ["scheduled", "run_id"], unique=False)
    op.create_index(
        "ix_runs_recurring", "runs", ["recurring_run_id", "created", "run_id"], unique=False
    )
    op.create_index(
        "ix_runs_recurring_finished", "runs", ["recurring_run_id", "finished"], unique=False
    )
    op.create_table(
        "recurring_runs",
        sa.Column("recurring_run_id", sa.Text(), nullable=False),
        sa.Column("experiment_id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("pipeline_id", sa.Text(), server_default="", nullable=False),
        sa.Column("pipeline_version_id", sa.Text(), server_default="", nullable=False),
        sa.Column("spec", sa.Text(), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("pipeline_root", sa.Text(), server_default="", nullable=False),
        sa.Column("max_concurrency", sa.Integer(), nullable=False),
        sa.Column("catchup", sa.Boolean(), nullable=False),
        sa.Column("trigger", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
        sa.Column("made", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last", sa.Double(), server_default="0", nullable=False),
        sa.Column("next", sa.Double(), server_default="0", nullable=False),
        sa.Column("last_run_id", sa.Text(), server_default="", nullable=False),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["spec"], ["specs.digest"], name=("fk_recurring_runs_spec")),
        sa.PrimaryKeyConstraint("recurring_run_id", name=("pk_recurring_runs")),
    )
    for name, columns in (
        ("created", ["created", "recurring_run_id"]),
        ("updated", ["updated", "recurring_run_id"]),
        ("name", ["display_name", "recurring_run_id"]),
        ("experiment", ["experiment_id", "created", "recurring_run_id"]),
        ("next", ["status", "next"]),
        ("spec", ["spec"]),
    ):
        op.create_index(f"ix_recurring_runs_{name}", "recurring_runs", columns, unique=False)
