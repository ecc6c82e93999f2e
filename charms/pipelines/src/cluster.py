"""What the charm has and keeps in Kubernetes: claims, the secret that steps read, manifests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import lightkube
import yaml
from lightkube import ApiError, KubeConfig
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import (
    PersistentVolumeClaim,
    Pod,
    ResourceQuota,
    Secret,
    ServiceAccount,
)
from lightkube.resources.resource_v1 import ResourceClaimTemplate
from lightkube.resources.scheduling_v1 import PriorityClass

from options import PipelinesOptions
from toolkit_charm import Blocked, Waiting, compute, manifests
from toolkit_charm.manifests import Manifests
from toolkit_charm.status import untrusted
from toolkit_charm.storage import claim_name

KEY = "token"
TEMPLATES = Path(__file__).parent / "templates"
# The label by which the service finds what it made; its value is the application's name.
STEPS = "toolkit.canonical.com/pipelines"
# What marks what steps may not mount: what Juju made (storage of all applications, its secrets),
# what charms keep, and the secrets of other steps.
RESERVED = [
    "app.kubernetes.io/managed-by=juju",
    "storage.juju.is/name",
    "app.kubernetes.io/part-of=charmed-ml-toolkit",
    STEPS,
]


class Cluster:
    """The unit's view of the Kubernetes API.

    Args:
        model: the model's name, which is the namespace.
        unit: the unit's name.
        kubeconfig: the content of one, for another cluster and its context's namespace.

    Raises:
        Blocked: there is no Kubernetes API to speak to.
    """

    def __init__(self, model: str, unit: str, kubeconfig: str = "") -> None:
        self._namespace = model
        self._unit = unit
        self._application = unit.partition("/")[0]
        self._elsewhere = bool(kubeconfig)
        config = None
        if kubeconfig:
            config = _config(kubeconfig)
            self._namespace = config.namespace or "default"
        try:
            self._client = lightkube.Client(
                config=config,
                namespace=self._namespace,
                field_manager=f"{self._application}-charm",
            )
        except (ConfigError, OSError, ValueError) as error:
            raise Blocked(f"needs a Kubernetes API, and has none: {error}") from error

    @property
    def secret_name(self) -> str:
        """The name of the secret that holds the token for MLflow."""
        return f"{self._application}-metadata"

    @property
    def service_account(self) -> str:
        """The name of the account of steps' pods."""
        return f"{self._application}-steps"

    def priority_class(self, options: PipelinesOptions) -> str:
        """Give the name of the priority class that is made for steps; its value never changes."""
        return f"{self._namespace}-{self._application}-{options.priority}"

    def keep_manifests(self, options: PipelinesOptions) -> None:
        """Bring what steps need in Kubernetes to what the options say.

        Raises:
            Blocked: the application is not trusted.
        """
        priority = None
        if options.priority and not options.priority_class:
            priority = {"name": self.priority_class(options), "value": options.priority}
        with self._told():
            self._manifests.apply({"quota": options.quota(), "priority": priority})

    def limit(self, options: PipelinesOptions, container: str) -> str:
        """Set what the unit's own container may take; give why that cannot be, or ""."""
        return compute.apply(
            self._client,
            options.compute(),
            application=self._application,
            model=self._namespace,
            container=container,
        )

    def clear(self) -> None:
        """Delete all that the application made: what is here, and what runs have of it.

        Raises:
            Blocked: the application is not trusted any more.
        """
        self.drop_token()
        with self._told():
            self._manifests.remove()
            # Claims that bear the label are workspaces of runs; what pipelines made is the users'.
            for kind in (Job, Pod, Secret, PersistentVolumeClaim, ResourceClaimTemplate):
                manifests.delete(self._client, kind, self._namespace, {STEPS: self._application})

    @property
    def _manifests(self) -> Manifests:
        kinds = (ServiceAccount, ResourceQuota, PriorityClass)
        return Manifests(self._client, self._application, self._namespace, TEMPLATES, kinds)

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
        with self._told():
            self._client.apply(secret, force=True)

    def drop_token(self) -> None:
        """Delete the secret if it is there."""
        with self._told():
            try:
                self._client.delete(Secret, self.secret_name, namespace=self._namespace)
            except ApiError as error:
                if error.status.code != 404:
                    raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the API refuses into a status that says what to do."""
        try:
            yield
        except ApiError as error:
            if self._elsewhere:
                raise self._refused(error.status.message) from error
            if error.status.code in (401, 403):
                raise untrusted(self._application) from error
            raise
        except Blocked as reason:
            # What is said of this cluster's trust does not hold for another.
            raise (self._refused(str(reason.__cause__)) if self._elsewhere else reason) from reason
        except httpx2.TransportError as error:
            if not self._elsewhere:
                raise
            raise Waiting(f"the cluster of the kubeconfig does not answer: {error}") from error

    def _refused(self, why: object) -> Blocked:
        return Blocked(
            f"config kubeconfig: its cluster refuses what steps need in the namespace "
            f"{self._namespace}: {why}"
        )


def address(kubeconfig: str) -> str:
    """Say for people which namespace of which cluster a kubeconfig names; "" is this cluster.

    Raises:
        Blocked: it cannot be used.
    """
    if not kubeconfig:
        return "this cluster"
    config = _config(kubeconfig)
    return f"the namespace {config.namespace or 'default'} of {config.cluster.server.rstrip('/')}"


def _config(text: str) -> SingleConfig:
    try:
        config = KubeConfig.from_dict(yaml.safe_load(text)).get()
    except (ConfigError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise Blocked("config kubeconfig: the secret's key kubeconfig holds none") from error
    if config is None or config.user is None or config.user.exec or config.user.auth_provider:
        raise Blocked(
            "config kubeconfig: its user must have a token or a certificate; no plugin is run"
        )
    return config
