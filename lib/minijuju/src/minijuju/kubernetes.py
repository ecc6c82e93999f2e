"""The models' side of Kubernetes: namespaces, service accounts, trust, tokens, storage.

What Juju keeps in a cluster for its charms, through any Kubernetes API: a namespace for each
model; for each application a service account of its name, whose token its containers find where
pods find theirs, and, if the application is trusted, a binding to all rights; for each storage
a volume and a claim, so that pods can mount what a charm has.

Every `ensure_` may be repeated at any time: what exists and is ours is left alone.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import lightkube
import msgspec
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.core_v1 import (
    HostPathVolumeSource,
    ObjectReference,
    PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
    VolumeResourceRequirements,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.core_v1 import (
    Namespace,
    PersistentVolume,
    PersistentVolumeClaim,
    ServiceAccount,
    ServiceAccountToken,
)
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding

from minijuju import documents, kubernetes_units
from minijuju.unit_views import ApplicationView, Template

logger = logging.getLogger(__name__)

MANAGED_BY = "app.kubernetes.io/managed-by"
APPLICATION = "app.kubernetes.io/name"
STORAGE = "storage.juju.is/name"
MODEL = "model.juju.is/name"
MODEL_ID = "model.juju.is/id"
TOKEN_SECONDS = 365 * 24 * 3600
TRUSTED_ROLE = "minijuju-trusted"


class ClusterError(Exception):
    """Kubernetes cannot be reached or refused; the message says what was asked of it."""


class Cluster:
    """A Kubernetes API, by one context of a kubeconfig.

    Args:
        config: The context.
        transport: How requests travel; by default over the network.

    Raises:
        ClusterError: The context cannot be used.
    """

    def __init__(
        self, config: SingleConfig, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self.config = config
        address = urlsplit(config.cluster.server or "")
        if address.scheme != "https" or not address.hostname:
            raise ClusterError(
                f"the cluster's server {config.cluster.server!r} is not https://HOST[:PORT]"
            )
        self.host = address.hostname
        self.port = address.port or 443
        try:
            self.ca = _authority(config)
            self._client = lightkube.AsyncClient(
                config=config, field_manager="minijuju", trust_env=False, transport=transport
            )
        except (ConfigError, OSError, ValueError) as error:
            raise ClusterError(f"the kubeconfig cannot be used: {error}") from error

    @classmethod
    def from_file(cls, path: Path) -> Cluster:
        """The current context of a kubeconfig. Raises ClusterError."""
        try:
            document = documents.read(path)
            if not isinstance(document, dict):
                raise ConfigError("it is not a mapping")
            config = KubeConfig.from_dict(document, fname=path).get()
        except (
            *(documents.DocumentError, ConfigError, OSError),
            *(ValueError, KeyError, TypeError, AttributeError),
        ) as error:
            raise ClusterError(f"the kubeconfig {path} cannot be used: {error}") from error
        if config is None:
            raise ClusterError(f"the kubeconfig {path} has no current context")
        return cls(config)

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    # Models.

    async def ensure_namespace(self, model: str, model_uuid: str) -> None:
        """Make the model's namespace, with the one role that trust binds to.

        Raises:
            ClusterError: There is a namespace of this name that is not this model's.
        """
        labels = {MANAGED_BY: "juju", MODEL: model, MODEL_ID: model_uuid}
        wanted = Namespace(metadata=ObjectMeta(name=model, labels=labels))
        async with _asking(f"make the namespace {model}"):
            if not await self._create(wanted):
                found = await self._client.get(Namespace, model)
                if _labels(found).get(MODEL_ID) != model_uuid:
                    raise ClusterError(
                        f"the cluster has a namespace {model} that is not this model's; "
                        "delete it or give the model another name"
                    )
            rule = PolicyRule(apiGroups=["*"], resources=["*"], verbs=["*"])
            urls = PolicyRule(nonResourceURLs=["*"], verbs=["*"])
            await self._create(
                ClusterRole(
                    metadata=ObjectMeta(name=TRUSTED_ROLE, labels={MANAGED_BY: "juju"}),
                    rules=[rule, urls],
                )
            )

    async def remove_namespace(self, model: str, model_uuid: str, *, wait: float = 60) -> None:
        """Delete the model's namespace, volumes and bindings, and wait until it is gone.

        What lies in the volumes' folders stays. A namespace that is not the model's stays too.
        """
        async with _asking(f"delete the namespace {model}"):
            selector: dict[str, Any] = {MODEL_ID: model_uuid}
            async for binding in self._client.list(ClusterRoleBinding, labels=selector):
                await self._delete(ClusterRoleBinding, binding)
            deadline = time.monotonic() + wait
            while True:
                try:
                    found = await self._client.get(Namespace, model)
                except ApiError as error:
                    if _code(error) != 404:
                        raise
                    break
                if _labels(found).get(MODEL_ID) != model_uuid:
                    break
                if found.metadata and not found.metadata.deletionTimestamp:
                    await self._delete(Namespace, found)
                if time.monotonic() > deadline:
                    raise ClusterError(f"the namespace {model} was not gone in {wait:.0f} s")
                await asyncio.sleep(0.1)
            async for volume in self._client.list(PersistentVolume, labels=selector):
                await self._delete(PersistentVolume, volume)

    # Applications.

    async def ensure_service_account(self, model: str, model_uuid: str, application: str) -> None:
        """Make the service account that the application's containers act as."""
        account = ServiceAccount(
            metadata=ObjectMeta(
                name=application,
                namespace=model,
                labels=_application_labels(model, model_uuid, application),
            ),
            automountServiceAccountToken=False,
        )
        async with _asking(f"make the service account {application} in {model}"):
            await self._create(account)

    async def remove_service_account(self, model: str, application: str) -> None:
        """Delete the account and its rights; its tokens are void from then on."""
        await self.set_trust(model, "", application, trusted=False)
        async with _asking(f"delete the service account {application} in {model}"):
            await self._absent(self._client.delete(ServiceAccount, application, namespace=model))

    async def set_trust(
        self, model: str, model_uuid: str, application: str, *, trusted: bool
    ) -> None:
        """Give the application's account all rights in the cluster, or none."""
        name = f"{model}-{application}"
        async with _asking(f"{'trust' if trusted else 'stop trusting'} {application} in {model}"):
            if not trusted:
                await self._absent(self._client.delete(ClusterRoleBinding, name))
                return
            await self._create(
                ClusterRoleBinding(
                    metadata=ObjectMeta(
                        name=name, labels=_application_labels(model, model_uuid, application)
                    ),
                    roleRef=RoleRef(
                        apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name=TRUSTED_ROLE
                    ),
                    subjects=[Subject(kind="ServiceAccount", name=application, namespace=model)],
                )
            )

    async def write_identity(self, folder: Path, model: str, application: str) -> float:
        """Write token, ca.crt and namespace to `folder`; a token that is good is kept.

        A token is renewed in place when a third of its life is left, and when the account was
        made anew.

        Returns:
            Seconds until this should be called again.
        """
        await asyncio.to_thread(folder.mkdir, 0o700, parents=True, exist_ok=True)
        async with _asking(f"get a token of the service account {application} in {model}"):
            account = await self._client.get(ServiceAccount, application, namespace=model)
            uid = account.metadata.uid if account.metadata else None
            token = _read(folder / "token")
            if renewal(token, uid) <= time.time():
                request = ServiceAccountToken(
                    metadata=ObjectMeta(),
                    spec=TokenRequestSpec(audiences=[], expirationSeconds=TOKEN_SECONDS),
                )
                answer = await self._client.create(request, application, namespace=model)
                if not answer.status or not answer.status.token:
                    raise ClusterError("the API answered a token request without a token")
                token = answer.status.token
                _write(folder / "token", token)
        for name, text in (("ca.crt", self.ca), ("namespace", model)):
            if _read(folder / name) != text:
                _write(folder / name, text)
        return max(60.0, renewal(token, uid) - time.time())

    async def keep_identity(self, folder: Path, model: str, application: str) -> None:
        """Renew the token for as long as this is not cancelled."""
        pause = 1.0
        while True:
            try:
                await asyncio.sleep(
                    min(await self.write_identity(folder, model, application), 3600)
                )
                pause = 1.0
            except ClusterError as error:
                logger.warning("%s; trying again in %.0f s", error, pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 300.0)

    # Units.

    async def show(self, view: ApplicationView) -> None:
        """Show an application and its units as objects (see `kubernetes_units`)."""
        async with _asking(f"show the units of {view.name} in {view.model}"):
            await kubernetes_units.Units(self._client).show(view)

    async def hide(self, model: str, application: str) -> None:
        """Delete what was shown of an application."""
        async with _asking(f"delete the stateful set {application} in {model}"):
            await kubernetes_units.Units(self._client).remove(model, application)

    async def templates(self) -> AsyncIterator[Template]:
        """The templates of all stateful sets as they change, until the cluster ends it."""
        async with _asking("watch the stateful sets"):
            async for template in kubernetes_units.Units(self._client).follow():
                yield template

    # Storage.

    async def ensure_claim(
        self,
        model: str,
        model_uuid: str,
        application: str,
        storage: str,
        unit: str,
        folder: Path,
        *,
        size: str = "1Gi",
    ) -> str:
        """Make a volume on `folder` of this machine and the claim that is bound to it.

        Args:
            model: The namespace; `model_uuid` labels what belongs to it.
            model_uuid: See `model`.
            application: Its name.
            storage: The storage's name, as the charm declares it.
            unit: Such as `app/0`.
            folder: Absolute; it exists.
            size: What the volume says of itself; nothing enforces it.

        Returns:
            The claim's name.
        """
        name = claim_name(model_uuid, application, storage, unit)
        volume = f"{model_uuid[:8]}-{name}"
        labels = {**_application_labels(model, model_uuid, application), STORAGE: storage}
        async with _asking(f"make the claim {name} in {model}"):
            created = await self._create(
                PersistentVolume(
                    metadata=ObjectMeta(name=volume, labels=labels),
                    spec=PersistentVolumeSpec(
                        accessModes=["ReadWriteOnce"],
                        capacity={"storage": size},
                        hostPath=HostPathVolumeSource(path=str(folder), type="Directory"),
                        claimRef=ObjectReference(
                            apiVersion="v1",
                            kind="PersistentVolumeClaim",
                            name=name,
                            namespace=model,
                        ),
                        persistentVolumeReclaimPolicy="Retain",
                        storageClassName="",
                    ),
                )
            )
            if not created:
                await self._check_volume(volume, folder)
            await self._create(
                PersistentVolumeClaim(
                    metadata=ObjectMeta(name=name, namespace=model, labels=labels),
                    spec=PersistentVolumeClaimSpec(
                        accessModes=["ReadWriteOnce"],
                        resources=VolumeResourceRequirements(requests={"storage": size}),
                        storageClassName="",
                        volumeName=volume,
                    ),
                )
            )
        return name

    async def remove_claim(
        self, model: str, model_uuid: str, application: str, storage: str, unit: str
    ) -> None:
        """Delete the claim and its volume; the folder stays."""
        name = claim_name(model_uuid, application, storage, unit)
        async with _asking(f"delete the claim {name} in {model}"):
            await self._absent(self._client.delete(PersistentVolumeClaim, name, namespace=model))
            await self._absent(self._client.delete(PersistentVolume, f"{model_uuid[:8]}-{name}"))

    async def _check_volume(self, name: str, folder: Path) -> None:
        found = await self._client.get(PersistentVolume, name)
        host_path = found.spec.hostPath if found.spec else None
        if not host_path or host_path.path != str(folder):
            medium = host_path.path if host_path else "another medium"
            raise ClusterError(f"the volume {name} is on {medium}, not on {folder}; delete it")

    async def _create(self, wanted: Any) -> bool:
        """Create an object; False if one of this name exists."""
        try:
            await self._client.create(wanted)
        except ApiError as error:
            if _code(error) == 409 and error.status.reason == "AlreadyExists":
                return False
            raise
        return True

    async def _delete(self, kind: Any, found: Any) -> None:
        await self._absent(self._client.delete(kind, found.metadata.name))

    async def _absent(self, deleting: Any) -> None:
        try:
            await deleting
        except ApiError as error:
            if _code(error) != 404:
                raise


def claim_name(model_uuid: str, application: str, storage: str, unit: str) -> str:
    """Such as `metadata-state-1a2b3c4d-metadata-0`, as a stateful set of Juju's would name it."""
    seed = f"{model_uuid}/{application}/{storage}".encode()
    return (
        f"{application}-{storage}-{hashlib.sha256(seed).hexdigest()[:8]}-{unit.replace('/', '-')}"
    )


def renewal(token: str, account_uid: str | None) -> float:
    """When a token should be renewed, in seconds since the epoch; 0 for one that is no good."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        issued, expires = float(claims["iat"]), float(claims["exp"])
        bound: Mapping[str, Any] = claims.get("kubernetes.io", {}).get("serviceaccount", {})
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error, AttributeError):
        return 0.0
    if account_uid and bound.get("uid") not in (None, account_uid):
        return 0.0
    return issued + (expires - issued) * 2 / 3


def _application_labels(model: str, model_uuid: str, application: str) -> dict[str, str]:
    return {MANAGED_BY: "juju", APPLICATION: application, MODEL: model, MODEL_ID: model_uuid}


def _labels(found: Any) -> Mapping[str, str]:
    return (found.metadata.labels if found.metadata else None) or {}


def _code(error: ApiError) -> int | None:
    return error.status.code


def _authority(config: SingleConfig) -> str:
    """The PEM certificate of the API's authority."""
    cluster = config.cluster
    if cluster.certificate_auth_data:
        return base64.b64decode(cluster.certificate_auth_data).decode()
    if cluster.certificate_auth:
        return Path(config.abs_file(cluster.certificate_auth)).read_text()
    raise ClusterError(
        f"the cluster {cluster.server} names no certificate authority; containers need one"
    )


@asynccontextmanager
async def _asking(what: str) -> AsyncIterator[None]:
    try:
        yield
    except ApiError as error:
        raise ClusterError(f"cannot {what}: {error.status.message}") from error
    except httpx2.HTTPError as error:
        raise ClusterError(f"cannot {what}: the API does not answer ({error!r})") from error
    except msgspec.MsgspecError as error:
        raise ClusterError(f"cannot {what}: the API's answer makes no sense: {error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Put a file in place, whole, for its owner alone."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)
