"""MLflow is configured by variables that it calls internal: they must still mean the same."""

import json
import shutil
import subprocess

import pytest

# Run by the image's interpreter with the variables set as the server sets them.
PROBE = """
import json, os, sys, warnings
warnings.filterwarnings("ignore", message="starlette.middleware.wsgi is deprecated")
from toolkit_metadata import mlflow_env
from toolkit_metadata.settings import Settings
from pathlib import Path

data = Path(sys.argv[1])
settings = Settings(address="127.0.0.1", port=1, data=data, tokens=data / "tokens")
variables = mlflow_env.environment(settings)
os.environ.update(variables)
mlflow_env.verify(variables)
try:
    mlflow_env.verify({**variables, "_MLFLOW_SERVER_RENAMED": "x"})
    refused = ""
except mlflow_env.EnvironmentChangedError as error:
    refused = str(error)

from mlflow.server import handlers
from mlflow.server.jobs.utils import _check_requirements
from mlflow.telemetry.utils import is_telemetry_disabled
from mlflow import environment_variables as public

store = handlers._get_tracking_store()
registry = handlers._get_model_registry_store()
print(json.dumps([refused, {
    "store": store.db_uri,
    "registry": registry.db_uri,
    "artifact_root": store.artifact_root_uri,
    "serves": handlers._is_serving_proxied_artifacts(),
    "destination": handlers._get_artifact_repo_mlflow_artifacts().artifact_dir,
    "telemetry_off": is_telemetry_disabled(),
    "jobs": public.MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get(),
    "gateway": public.MLFLOW_ENABLE_AI_GATEWAY.get(),
    "assistant": public.MLFLOW_ENABLE_REMOTE_ASSISTANT.get(),
    "level": public.MLFLOW_LOGGING_LEVEL.get(),
    "own_security": public.MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE.get(),
}]))
"""


@pytest.fixture(scope="module")
def folder(ready, tmp_path_factory):
    return shutil.copytree(ready, tmp_path_factory.mktemp("environment") / "data")


@pytest.fixture(scope="module")
def probed(python, folder):
    """What is said of a variable more, and what MLflow makes of those that are set."""
    done = subprocess.run(
        [str(python), "-c", PROBE, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_mlflow_reads_the_variables_as_they_are_meant(probed, folder):
    _, found = probed
    assert found == {
        "store": f"sqlite:///{folder}/mlflow.db",
        "registry": f"sqlite:///{folder}/mlflow.db",
        "artifact_root": "mlflow-artifacts:/",
        "serves": True,
        "destination": f"{folder}/artifacts",
        "telemetry_off": True,
        "jobs": False,
        "gateway": False,
        "assistant": False,
        "level": "INFO",
        "own_security": "true",
    }


def test_a_variable_that_mlflow_does_not_know_is_noticed(probed):
    refused, _ = probed
    assert "_MLFLOW_SERVER_RENAMED" in refused
