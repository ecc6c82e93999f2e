"""The variables by which MLflow's server is configured.

`mlflow server` starts a parent process, job runners and workers that this service does without;
it hands its options to the workers in variables that it calls internal. Setting them here saves
1.5 GB, at the price of a check that they still mean what they meant: `verify`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from .settings import Settings

# Where MLflow 3.17 defines the name of each internal variable that is set below.
_DEFINED = {
    "BACKEND_STORE_URI_ENV_VAR": "_MLFLOW_SERVER_FILE_STORE",
    "REGISTRY_STORE_URI_ENV_VAR": "_MLFLOW_SERVER_REGISTRY_STORE",
    "ARTIFACT_ROOT_ENV_VAR": "_MLFLOW_SERVER_ARTIFACT_ROOT",
    "ARTIFACTS_DESTINATION_ENV_VAR": "_MLFLOW_SERVER_ARTIFACT_DESTINATION",
    "SERVE_ARTIFACTS_ENV_VAR": "_MLFLOW_SERVER_SERVE_ARTIFACTS",
}
_CONSTANTS = "mlflow.server.constants"


class EnvironmentChangedError(Exception):
    """This version of MLflow is configured by other variables than the ones that are set."""


def environment(settings: Settings) -> dict[str, str]:
    """Give the variables that make MLflow's server run by these settings."""
    return {
        "_MLFLOW_SERVER_FILE_STORE": settings.database_uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": settings.database_uri,
        # Clients send artifacts to the server, which keeps them: they need no storage keys.
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": settings.artifacts.as_uri(),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        # The guard checks Host and Origin more strictly: MLflow's own check lets every page on
        # localhost and every private address in.
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
        "MLFLOW_ENABLE_WORKSPACES": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": settings.log_level.upper(),
    }


def verify(variables: Mapping[str, str]) -> None:
    """Check that MLflow still reads the variables that were set.

    Raises:
        EnvironmentChangedError: a variable has another name now, or is not known any more.
    """
    constants = importlib.import_module(_CONSTANTS)
    for constant, name in _DEFINED.items():
        found = getattr(constants, constant, None)
        if found != name:
            raise EnvironmentChangedError(
                f"MLflow's {constant} is {found!r}, not {name!r}; toolkit_metadata must follow"
            )
    public = importlib.import_module("mlflow.environment_variables")
    known = {
        getattr(value, "name", None)
        for value in vars(public).values()
        if hasattr(value, "name") and hasattr(value, "get")
    } | set(_DEFINED.values())
    # DO_NOT_TRACK is everybody's.
    unknown = sorted(set(variables) - known - {"DO_NOT_TRACK"})
    if unknown:
        raise EnvironmentChangedError(
            f"MLflow does not know {', '.join(unknown)} any more; toolkit_metadata must follow"
        )
