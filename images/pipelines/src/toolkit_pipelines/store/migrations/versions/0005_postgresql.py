"""What PostgreSQL holds and how it orders is what SQLite does.

Text is ordered by its bytes, whatever the server's language; JSON is text, since PostgreSQL's own
type refuses some of what Python and SQLite take; numbers that are given out have 64 bits. SQLite
has it so already.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TEXT = {
    "keys": ("name",),
    "specs": ("digest",),
    "experiments": ("experiment_id", "display_name", "description", "namespace", "storage"),
    "pipelines": ("pipeline_id", "name", "display_name", "description", "namespace", "tags"),
    "versions": (
        *("pipeline_version_id", "pipeline_id", "name", "display_name", "description", "spec"),
        *("code_source_url", "package_url", "tags"),
    ),
    "runs": (
        *("run_id", "experiment_id", "display_name", "description", "namespace"),
        *("service_account", "pipeline_id", "pipeline_version_id", "spec", "parameters"),
        *("pipeline_root", "recurring_run_id", "storage", "request_key", "request_digest"),
        *("phase", "message", "history"),
    ),
    "recurring_runs": (
        *("recurring_run_id", "experiment_id", "display_name", "description", "pipeline_id"),
        *("pipeline_version_id", "spec", "parameters", "pipeline_root", "trigger", "status"),
        *("last_run_id", "problem"),
    ),
    "events": ("run_id", "kind", "body"),
    "artifacts": ("run_id", "task", "output", "name", "type", "uri", "metadata", "origin"),
    "executions": ("run_id", "fingerprint"),
    "outbox": ("key", "run_id", "body", "recipient"),
}
_NUMBERS = (("artifacts", "artifact_id"), ("outbox", "entry_id"))


def upgrade() -> None:
    """Change the types, on PostgreSQL."""
    if op.get_context().dialect.name != "postgresql":
        return
    for table, columns in _TEXT.items():
        changes = ", ".join(
            f'ALTER COLUMN "{name}" TYPE TEXT COLLATE "C" USING "{name}"::TEXT' for name in columns
        )
        op.execute(f"ALTER TABLE {table} {changes}")
    for table, column in _NUMBERS:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE BIGINT")
