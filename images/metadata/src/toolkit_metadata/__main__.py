"""`python -m toolkit_metadata`: prepare the database, then serve."""

from __future__ import annotations

import logging.config
import os
import sys
from typing import Any

import uvicorn

from toolkit_database import LoginError
from toolkit_identity import HostPatternError, HostPatterns, TokenFile, TokenFileError
from toolkit_objects import CredentialsError
from toolkit_objects import credentials as store_credentials

from . import database
from .app import SETTINGS_VARIABLE
from .loading import uncollected
from .settings import Settings, SettingsError, parse

PROBLEM = "problem"
"""In the data folder: why the database cannot be used, for who cannot read the log."""


def log_config(level: str) -> dict[str, Any]:
    """Log to standard error, one line an event, with the time in UTC where it matters."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"handlers": ["stderr"], "level": level.upper()},
        # Alembic tells of each of MLflow's sixty migrations, which are one step to whoever reads.
        "loggers": {"uvicorn": {"level": level.upper()}, "alembic": {"level": "WARNING"}},
    }


def main(arguments: list[str]) -> int:
    """Run until told to stop; 2 means that the settings or the database cannot be used."""
    try:
        settings = parse(arguments)
        # Found out here, once, rather than by every worker.
        TokenFile(settings.tokens)
        HostPatterns(settings.allowed_hosts)
        _check_store(settings)
        # What takes its time is told before uvicorn sets up the same.
        logging.config.dictConfig(log_config(settings.log_level))
        prepare(settings)
    except (
        SettingsError,
        TokenFileError,
        HostPatternError,
        CredentialsError,
        LoginError,
        database.DatabaseError,
    ) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    os.environ[SETTINGS_VARIABLE] = settings.to_json()
    uvicorn.run(
        "toolkit_metadata.app:create",
        factory=True,
        host=settings.address,
        port=settings.port,
        workers=settings.workers,
        log_level=settings.log_level,
        log_config=log_config(settings.log_level),
        access_log=settings.log_level == "debug",
        server_header=False,
        proxy_headers=False,
        # Longer than the pools of MLflow's clients keep a connection, so that none is closed
        # under a request.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    return 0


def _check_store(settings: Settings) -> None:
    """Read the object store's files here, once, rather than in every worker.

    Raises:
        CredentialsError, SettingsError: they cannot be used.
    """
    if settings.artifact_store_credentials is not None:
        store_credentials(settings.artifact_store_credentials)
    if settings.artifact_store_certificates is not None:
        try:
            settings.artifact_store_certificates.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"--artifact-store-certificates: {error}") from error


def prepare(settings: Settings) -> None:
    """Prepare the database with MLflow's variables set, as in the workers."""
    from .mlflow_env import environment

    os.umask(0o077)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    problem = settings.data / PROBLEM
    try:
        os.environ.update(environment(settings))
        with uncollected():
            database.connect(settings)
            database.prepare(settings)
    except (LoginError, database.DatabaseError) as error:
        problem.write_text(f"{error}\n", encoding="utf-8")
        raise
    problem.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
