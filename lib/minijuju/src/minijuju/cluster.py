"""The Kubernetes that a controller's models have, if its configuration names one.

The client library is loaded on first use only: without Kubernetes nobody pays for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minijuju import documents
from minijuju.errors import BadRequestError, JujuError
from minijuju.runtime import ClusterAccess, UnitSpec
from minijuju.unit_views import ApplicationView, Template

if TYPE_CHECKING:
    from minijuju import kubernetes

CONFIG = "config.yaml"
VARIABLE = "MINIJUJU_KUBECONFIG"


class Access:
    """What `kubernetes.Cluster` does, for this controller; nothing where there is no cluster.

    Args:
        data: the controller's folder.

    Raises:
        BadRequestError: the configuration is malformed.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self.kubeconfig = _kubeconfig(data)
        self._cluster: kubernetes.Cluster | None = None
        self._renewals: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Stop renewing tokens and close connections."""
        tasks = list(self._renewals.values())
        self._renewals.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._cluster is not None:
            await self._cluster.close()

    async def prepare(self, spec: UnitSpec) -> ClusterAccess | None:
        """Make what the unit needs in the cluster; None without a cluster.

        Raises:
            JujuError: the cluster cannot be reached or refuses.
        """
        if self.kubeconfig is None:
            return None
        folder = self.data / "identity" / spec.model_uuid[:8] / spec.application
        async with self._asking() as cluster:
            await cluster.ensure_namespace(spec.model, spec.model_uuid)
            await cluster.ensure_service_account(spec.model, spec.model_uuid, spec.application)
            await cluster.set_trust(
                spec.model, spec.model_uuid, spec.application, trusted=spec.trusted
            )
            await cluster.write_identity(folder, spec.model, spec.application)
            for storage in spec.storages:
                await cluster.ensure_claim(
                    spec.model,
                    spec.model_uuid,
                    spec.application,
                    storage.name,
                    spec.unit,
                    storage.folder,
                )
            key = (spec.model_uuid, spec.application)
            if key not in self._renewals:
                self._renewals[key] = asyncio.create_task(
                    cluster.keep_identity(folder, spec.model, spec.application)
                )
            return ClusterAccess(cluster.host, cluster.port, folder)

    async def address(self) -> tuple[str, int] | None:
        """Where the API is; None without a cluster.

        Raises:
            JujuError: the kubeconfig cannot be used.
        """
        if self.kubeconfig is None:
            return None
        async with self._asking() as cluster:
            return cluster.host, cluster.port

    async def show(self, view: ApplicationView) -> None:
        """Show an application's units in the cluster.

        Raises:
            JujuError: the cluster cannot be reached or refuses.
        """
        if self.kubeconfig is not None:
            async with self._asking() as cluster:
                await cluster.show(view)

    async def templates(self) -> AsyncIterator[Template]:
        """The template of each stateful set, as it is and as it changes.

        Raises:
            JujuError: the cluster cannot be reached or refuses.
        """
        async with self._asking() as cluster:
            async for found in cluster.templates():
                yield found

    async def trust(self, model: str, uuid: str, application: str, *, trusted: bool) -> None:
        """Give an application's account all rights, or none.

        Raises:
            JujuError: the cluster cannot be reached or refuses.
        """
        if self.kubeconfig is not None:
            async with self._asking() as cluster:
                await cluster.ensure_namespace(model, uuid)
                await cluster.ensure_service_account(model, uuid, application)
                await cluster.set_trust(model, uuid, application, trusted=trusted)

    async def remove_claim(
        self, model: str, uuid: str, application: str, storage: str, unit: str
    ) -> None:
        """Delete a storage's claim."""
        if self.kubeconfig is not None:
            async with self._asking() as cluster:
                await cluster.remove_claim(model, uuid, application, storage, unit)

    async def remove_application(self, model: str, uuid: str, application: str) -> None:
        """Delete an application's account."""
        if self.kubeconfig is not None:
            renewal = self._renewals.pop((uuid, application), None)
            if renewal is not None:
                renewal.cancel()
                await asyncio.gather(renewal, return_exceptions=True)
            async with self._asking() as cluster:
                await cluster.hide(model, application)
                await cluster.remove_service_account(model, application)

    async def remove_model(self, model: str, uuid: str) -> None:
        """Delete a model's namespace."""
        if self.kubeconfig is not None:
            async with self._asking() as cluster:
                await cluster.remove_namespace(model, uuid)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[kubernetes.Cluster]:
        from minijuju import kubernetes

        try:
            if self._cluster is None:
                if self.kubeconfig is None:
                    raise JujuError("no kubeconfig")
                self._cluster = kubernetes.Cluster.from_file(self.kubeconfig)
            yield self._cluster
        except kubernetes.ClusterError as error:
            raise JujuError(str(error)) from error


def _kubeconfig(data: Path) -> Path | None:
    """The configured kubeconfig; the variable counts at the first start, and is then kept."""
    path = data / CONFIG
    document = documents.read(path) if path.exists() else {}
    if not isinstance(document, dict | None):
        raise BadRequestError(f"{path}: expected a mapping")
    document = document or {}
    named = document.get("kubeconfig")
    if named is None and (variable := os.environ.get(VARIABLE)):
        named = str(Path(variable).absolute())
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(documents.dump({**document, "kubeconfig": named}))
        new.replace(path)
    if named is not None and not isinstance(named, str):
        raise BadRequestError(f"{path}: kubeconfig: expected a path, got {named!r}")
    return Path(named) if named else None
