"""The ASGI application: the guard, then the surface, then MLflow's own server."""

from __future__ import annotations

import os
import warnings

from toolkit_identity import Guard, TokenFile

from . import database, mlflow_env
from .loading import uncollected
from .marks import Marks
from .settings import Settings
from .surface import Surface

# Where a worker process finds the settings.
SETTINGS_VARIABLE = "TOOLKIT_METADATA_SETTINGS"
# Answered without a token: they tell that the server lives, and nothing else.
OPEN_PATHS = ("/health", "/ready")


def mlflow_app(settings: Settings) -> Surface:
    """Build MLflow's server by the settings, without the guard.

    Raises:
        EnvironmentChangedError: this MLflow is configured in another way.
        toolkit_objects.CredentialsError: those of the object store cannot be used.
    """
    variables = mlflow_env.environment(settings)
    os.environ.update(variables)
    database.connect(settings)
    with warnings.catch_warnings():
        # MLflow 3.17 mounts its older half by starlette.middleware.wsgi, deprecated and pinned.
        warnings.filterwarnings("ignore", message="starlette.middleware.wsgi is deprecated")
        from mlflow.server.fastapi_app import app
    mlflow_env.verify(variables)

    from .artifacts import confine
    from .kept import repository

    objects = settings.objects()
    marks = Marks(settings.stores, objects.uri if objects is not None else "")
    confine(
        settings.artifacts,
        repository(settings.artifacts, marks, objects, links=settings.artifact_links),
    )
    return Surface(app, settings, objects)


def create() -> Guard:
    """Build the application in a server process; the settings come by `SETTINGS_VARIABLE`."""
    settings = Settings.from_json(os.environ[SETTINGS_VARIABLE])
    with uncollected():
        server = mlflow_app(settings)
    return Guard(
        server,
        tokens=TokenFile(settings.tokens),
        allowed_hosts=[_bracketed(settings.address), *settings.allowed_hosts],
        open_paths=OPEN_PATHS,
        realm="metadata",
    )


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
