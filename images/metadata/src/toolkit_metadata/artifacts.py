"""Where the server reads and writes artifacts: below the artifact root, and nowhere else.

A client may name any location for an experiment's or a model's artifacts. Those the client
reads itself; the server must not, or `file:///etc` and `http://10.0.0.1` would be served to
whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact import artifact_repository_registry
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.utils.file_utils import local_file_uri_to_path


def _refuse(uri: str) -> MlflowException:
    return MlflowException(
        f"This server does not read artifacts from {uri[:200]!r}: it serves those it keeps. "
        "Let the experiment's location be the server's own (leave it out).",
        error_code=INVALID_PARAMETER_VALUE,
    )


class ConfinedArtifactRepository(LocalArtifactRepository):
    """A folder of artifacts that no path, and no symbolic link on it, leads out of.

    MLflow's own checks reading; this one checks writing and deleting in the same way.
    """

    def _confined(self, artifact_path: str | None) -> None:
        root = Path(self.artifact_dir).resolve()
        target = (root / (artifact_path or ".")).resolve()
        if target != root and root not in target.parents:
            raise MlflowException(
                "Invalid path: it leads out of the artifacts", error_code=INVALID_PARAMETER_VALUE
            )

    def _get_destination_artifact_path(
        self, artifact_file_name: str, artifact_path: str | None = None
    ) -> tuple[str, str]:
        """Check before MLflow makes the folders on the way."""
        name = Path(artifact_file_name).name
        self._confined(f"{artifact_path}/{name}" if artifact_path else name)
        found: tuple[str, str] = super()._get_destination_artifact_path(
            artifact_file_name, artifact_path
        )
        return found

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Copy a folder."""
        self._confined(artifact_path)
        super().log_artifacts(local_dir, artifact_path)  # type: ignore[no-untyped-call]  # MLflow is untyped

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file or a folder."""
        self._confined(artifact_path)
        super().delete_artifacts(artifact_path)  # type: ignore[no-untyped-call]  # MLflow is untyped


class _Schemes(dict[str, Any]):
    """The repositories by scheme; one that is not listed is refused, not unknown."""

    def get(self, key: str, default: Any = None) -> Any:
        """Give the repository of a scheme."""
        return super().get(key, default or _refused)


def _refused(artifact_uri: str, *_: Any, **__: Any) -> ArtifactRepository:
    raise _refuse(artifact_uri)


def confine(root: Path, repository: Callable[..., ArtifactRepository]) -> None:
    """Let MLflow's server open only what lies below `root`, whatever a client named.

    Args:
        root: the artifact root, an absolute folder.
        repository: makes the repository of a folder below it, by its URI.
    """
    confined = root.resolve()

    def local(artifact_uri: str, *args: Any, **kwargs: Any) -> ArtifactRepository:
        path = Path(local_file_uri_to_path(artifact_uri)).resolve()
        if path != confined and confined not in path.parents:
            raise _refuse(artifact_uri)
        return repository(artifact_uri, *args, **kwargs)

    # `mlflow-artifacts` is not among them: the server answers those without a repository. Nor
    # are `runs` and `models`: the store resolves them when a version is made.
    registry = artifact_repository_registry._artifact_repository_registry
    registry._registry = _Schemes({"": local, "file": local})
