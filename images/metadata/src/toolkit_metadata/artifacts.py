"""Where the server reads and writes artifacts: below the artifact root, and nowhere else.

A client may name any location for an experiment's or a model's artifacts. Those the client
reads itself; the server must not, or `file:///etc` and `http://10.0.0.1` would be served to
whoever asks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact import artifact_repository_registry
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.utils.file_utils import local_file_uri_to_path

# These only lead to another location, which is judged in turn. Every other scheme would make the
# server call out; `mlflow-artifacts` too, since the server answers those without a repository.
_LEADING = ("runs", "models")


def _refuse(uri: str) -> MlflowException:
    return MlflowException(
        f"This server does not read artifacts from {uri[:200]!r}: it serves those it keeps. "
        "Let the experiment's location be the server's own (leave it out).",
        error_code=INVALID_PARAMETER_VALUE,
    )


def confine(root: Path) -> None:
    """Let MLflow's server open only what lies below `root`, whatever a client named.

    Args:
        root: the artifact root, an absolute folder.
    """
    registry = artifact_repository_registry._artifact_repository_registry
    confined = root.resolve()

    def local(artifact_uri: str, *args: Any, **kwargs: Any) -> ArtifactRepository:
        path = Path(local_file_uri_to_path(artifact_uri)).resolve()
        if path != confined and confined not in path.parents:
            raise _refuse(artifact_uri)
        return LocalArtifactRepository(artifact_uri, *args, **kwargs)

    def refused(artifact_uri: str, *_: Any, **__: Any) -> ArtifactRepository:
        raise _refuse(artifact_uri)

    for scheme in tuple(registry._registry):
        if scheme in ("", "file"):
            registry.register(scheme, local)
        elif scheme not in _LEADING:
            registry.register(scheme, refused)
