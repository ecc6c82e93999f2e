"""The database before the server uses it: sound, current, and never overwritten when in doubt."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from .settings import Settings

logger = logging.getLogger(__name__)


class DatabaseError(Exception):
    """The database cannot be used; the message says which file, why and what to do."""


def prepare(settings: Settings) -> None:
    """Make the folders, check the database and bring its schema to this MLflow's.

    A database of an older MLflow is copied to `mlflow.db.REVISION` before it is upgraded. Call
    it in one process, before the workers start.

    Raises:
        DatabaseError: the database is damaged, or newer than this MLflow.
    """
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.artifacts.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = settings.database
    if path.exists():
        _check(path)
    else:
        # Made by us so that it is private from its first byte.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    _migrate(settings)
    with closing(sqlite3.connect(path)) as connection:
        # Kept in the file: readers and a writer do not block each other, and a crash loses
        # nothing that was committed.
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise DatabaseError(f"{path}: cannot keep a write-ahead log (mode {mode}) on this disk")


def _check(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise DatabaseError(
            f"{path}: the database is damaged ({found}); restore it from a copy, or move it "
            "away to begin with an empty one"
        )


def _migrate(settings: Settings) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db import utils
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(settings.database_uri, poolclass=NullPool)
    try:
        latest = utils._get_latest_schema_revision()
        current = utils._get_schema_version(engine)
        if current == latest:
            return
        if current is None:
            logger.info("making the tables of %s", settings.database)
            utils._initialize_tables(engine)
            return
        scripts = ScriptDirectory.from_config(utils._get_alembic_config(settings.database_uri))
        try:
            scripts.get_revision(current)
        except CommandError as error:
            raise DatabaseError(
                f"{settings.database}: made by a newer MLflow (schema {current}); run that "
                "version, or restore a copy from before the upgrade"
            ) from error
        copy = settings.database.with_name(f"{settings.database.name}.{current}")
        _copy(settings.database, copy)
        logger.info("upgrading %s from %s to %s; kept a copy", settings.database, current, latest)
        utils._upgrade_db(engine)
    finally:
        engine.dispose()


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.partial")
    temporary.unlink(missing_ok=True)
    os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    with (
        closing(sqlite3.connect(source)) as origin,
        closing(sqlite3.connect(temporary)) as copy,
    ):
        origin.backup(copy)
    temporary.replace(target)
