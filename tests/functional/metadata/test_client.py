"""MLflow's own client, unmodified, by its own variables."""

import json

from .conftest import OTHER, TOKEN, run_client

TRACK = """
import json, mlflow, mlflow.pyfunc
from pathlib import Path

class Double(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[float]) -> list[float]:
        return [2 * number for number in model_input]

mlflow.set_experiment("a client's")
with mlflow.start_run() as run:
    mlflow.log_param("depth", 3)
    mlflow.log_metric("accuracy", 0.75, step=1)
    mlflow.log_metric("accuracy", 0.875, step=2)
    mlflow.set_tag("colour", "blue")
    mlflow.log_text("hello", "notes/hello.txt")
    mlflow.log_dict({"a": 1}, "numbers.json")
    info = mlflow.pyfunc.log_model(
        name="model", python_model=Double(), registered_model_name="double"
    )
client = mlflow.MlflowClient()
found = client.get_run(run.info.run_id)
loaded = mlflow.pyfunc.load_model("models:/double/1")
client.set_registered_model_alias("double", "champion", 1)
copied = client.copy_model_version("models:/double@champion", "twice")
text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/hello.txt")
print(json.dumps({
    "params": found.data.params,
    "metrics": found.data.metrics,
    "history": [m.value for m in client.get_metric_history(run.info.run_id, "accuracy")],
    "tags": {k: v for k, v in found.data.tags.items() if not k.startswith("mlflow.")},
    "status": found.info.status,
    "artifact_uri": found.info.artifact_uri,
    "files": sorted(f.path for f in client.list_artifacts(run.info.run_id)),
    "text": text,
    "prediction": loaded.predict([1.5, 2.0]),
    "again": mlflow.pyfunc.load_model(f"models:/twice/{copied.version}").predict([4.0]),
    "versions": [v.version for v in client.search_model_versions("name='double'")],
    "runs": len(mlflow.search_runs(experiment_names=["a client's"])),
}))
"""


def test_a_client_tracks_keeps_artifacts_and_registers_a_model(client_python, server):
    done = run_client(client_python, server.folder, server.url, TOKEN, TRACK)
    assert done.returncode == 0, done.stderr
    check_tracked(done)


def check_tracked(done):
    """See what the program found, wherever artifacts are kept."""
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("artifact_uri").startswith("mlflow-artifacts:/")
    assert found == {
        "params": {"depth": "3"},
        "metrics": {"accuracy": 0.875},
        "history": [0.75, 0.875],
        "tags": {"colour": "blue"},
        "status": "FINISHED",
        "files": ["notes", "numbers.json"],
        "text": "hello",
        "prediction": [3.0, 4.0],
        "again": [8.0],
        "versions": ["1"],
        "runs": 1,
    }


def test_a_client_with_a_wrong_token_is_told_so(client_python, server):
    done = run_client(
        client_python,
        server.folder,
        server.url,
        OTHER,
        "import mlflow; mlflow.set_experiment('x')",
    )
    assert done.returncode != 0
    assert "the token is not valid here" in done.stderr
