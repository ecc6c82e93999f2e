"""The documents of attempts, where the volume has none of them.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    # As 0005 has it: text is ordered by its bytes, which SQLite does anyway.
    text = sa.Text(collation="C") if op.get_context().dialect.name == "postgresql" else sa.Text()
    op.create_table(
        "documents",
        sa.Column("home", text, nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("run_id", text, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name="fk_documents_run_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("home", "kind", name="pk_documents"),
    )
    op.create_index("ix_documents_run_id", "documents", ["run_id"], unique=False)
