"""Whom the records of the outbox are for.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what waits is for MLflow."""
    op.add_column(
        "outbox", sa.Column("recipient", sa.Text(), server_default="MLflow", nullable=False)
    )
    op.create_index("ix_outbox_recipient", "outbox", ["recipient", "entry_id"])
