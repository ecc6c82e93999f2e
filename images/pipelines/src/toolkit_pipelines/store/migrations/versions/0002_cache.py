"""Executions that others may be given the outputs of, and whose artifacts are whose.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from toolkit_pipelines import naming

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the column, and say of artifacts that are there which were imported."""
    op.create_table(
        "executions",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("finished", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name=("fk_executions_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "sequence", name=("pk_executions")),
    )
    op.create_index("ix_executions_fingerprint", "executions", ["fingerprint", "finished"])
    op.add_column("artifacts", sa.Column("origin", sa.Text(), server_default="", nullable=False))
    op.create_index("ix_artifacts_origin", "artifacts", ["origin"])
    artifacts = sa.table(
        "artifacts",
        sa.column("artifact_id", sa.Integer()),
        sa.column("run_id", sa.Text()),
        sa.column("uri", sa.Text()),
        sa.column("origin", sa.Text()),
    )
    connection = op.get_bind()
    foreign = sa.select(artifacts.c.artifact_id, artifacts.c.uri).where(
        ~artifacts.c.uri.contains(artifacts.c.run_id)
    )
    for artifact_id, uri in connection.execute(foreign).all():
        if origin := naming.maker(uri):
            connection.execute(
                sa.update(artifacts)
                .where(artifacts.c.artifact_id == artifact_id)
                .values(origin=origin)
            )
