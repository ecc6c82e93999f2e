"""The history of the tables: one file a revision in `versions`, run by alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from .. import tables


class UnknownRevisionError(Exception):
    """The database has a revision that this version does not know."""


def script() -> ScriptDirectory:
    """Give the revisions as alembic knows them."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return ScriptDirectory.from_config(config)


def upgrade(connection: sqlalchemy.Connection, revision: str = "head") -> None:
    """Run the revisions that are missing up to one, in the connection's transaction.

    Raises:
        UnknownRevisionError: a newer version of this service wrote the database.
    """
    directory = script()

    def steps(current: Any, context: Any) -> Any:
        return directory._upgrade_revs(revision, current)

    environment = EnvironmentContext(Config(), directory, fn=steps)
    environment.configure(
        connection=connection, target_metadata=tables.metadata, render_as_batch=True
    )
    try:
        environment.run_migrations()
    except CommandError as error:
        raise UnknownRevisionError(str(error)) from error
