"""What the charm has and keeps in Kubernetes: its claims, and the secret that steps read."""

from __future__ import annotations

import lightkube
from lightkube import ApiError
from lightkube.core.exceptions import ConfigError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Secret

from toolkit_charm import Blocked
from toolkit_charm.status import untrusted
from toolkit_charm.storage import claim_name

KEY = "token"


class Cluster:
    """The unit's view of the Kubernetes API.

    Args:
        model: the model's name, which is the namespace.
        unit: the unit's name.

    Raises:
        Blocked: there is no Kubernetes API to speak to.
    """

    def __init__(self, model: str, unit: str) -> None:
        self._namespace = model
        self._unit = unit
        self._application = unit.partition("/")[0]
        try:
            self._client = lightkube.Client(
                namespace=model, field_manager=f"{self._application}-charm"
            )
        except (ConfigError, OSError) as error:
            raise Blocked(f"needs a Kubernetes API, and has none: {error}") from error

    @property
    def secret_name(self) -> str:
        """The name of the secret that holds the token for MLflow."""
        return f"{self._application}-metadata"

    def claim(self, storage: str) -> str:
        """Give the claim behind a storage of this unit; Unready if it cannot be told."""
        return claim_name(self._client, model=self._namespace, unit=self._unit, storage=storage)

    def keep_token(self, token: str) -> None:
        """Let steps' pods read the token for MLflow.

        Raises:
            Blocked: the application is not trusted.
        """
        secret = Secret(
            metadata=ObjectMeta(
                name=self.secret_name,
                namespace=self._namespace,
                labels={
                    "app.kubernetes.io/name": self._application,
                    "app.kubernetes.io/component": "metadata",
                    "app.kubernetes.io/part-of": "charmed-ml-toolkit",
                },
            ),
            type="Opaque",
            stringData={KEY: token},
        )
        try:
            self._client.apply(secret, force=True)
        except ApiError as error:
            raise self._refused(error) from error

    def drop_token(self) -> None:
        """Delete the secret if it is there."""
        try:
            self._client.delete(Secret, self.secret_name, namespace=self._namespace)
        except ApiError as error:
            if error.status.code != 404:
                raise self._refused(error) from error

    def _refused(self, error: ApiError) -> Exception:
        return untrusted(self._application) if error.status.code in (401, 403) else error
