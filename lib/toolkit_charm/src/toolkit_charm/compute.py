"""CPU and memory of a charm's own workload, set on the StatefulSet that Juju made for it.

Juju has no way to say them for one container of a charm, so the charm patches its own
StatefulSet, server-side and under its own name: all else in it stays Juju's. Kubernetes then
replaces the unit's pod. Needs the extra `toolkit-charm[kubernetes]`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from lightkube import ApiError, Client
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.types import PatchType

from .options import Options
from .quantities import Quantity, Size
from .status import untrusted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compute:
    """What a container may take: Kubernetes quantities, "" for no limit."""

    cpu: str = ""
    memory: str = ""

    def resources(self) -> dict[str, dict[str, str]]:
        """Give the container's `resources`: what it may take it is also sure to get."""
        values = {"cpu": self.cpu, "memory": self.memory}
        kept = {name: value for name, value in values.items() if value}
        return {"requests": kept, "limits": kept} if kept else {}


class ComputeOptions(Options):
    """The options of `compute.yaml`."""

    cpu: Quantity
    memory: Size

    def compute(self) -> Compute:
        """Give them."""
        return Compute(self.cpu, self.memory)


def apply(client: Client, wanted: Compute, *, application: str, model: str, container: str) -> str:
    """Bring the workload's container to what is wanted.

    Returns:
        "", or why it cannot be applied here.

    Raises:
        Blocked: the application is not trusted.
    """
    manager = f"{application}-charm-compute"
    try:
        found = client.get(StatefulSet, application, namespace=model)
        if _is(found, wanted, manager, container):
            return ""
        patch = _patch(wanted, application, model, container)
        client.patch(
            StatefulSet,
            application,
            patch,
            namespace=model,
            patch_type=PatchType.APPLY,
            field_manager=manager,
            force=True,
        )
    except ApiError as error:
        if error.status.code in (401, 403):
            if not wanted.resources():
                # Nothing is asked for, and whoever may not look has set nothing.
                return ""
            raise untrusted(application) from error
        if error.status.code != 404:
            raise
        if not wanted.resources():
            return ""
        return "cpu and memory are not applied: the cluster has no StatefulSet of this application"
    logger.info("the container %s may take %s", container, wanted)
    return ""


def _is(found: Any, wanted: Compute, manager: str, container: str) -> bool:
    """Tell whether the container has what is wanted, or has nothing of ours and needs nothing."""
    if not wanted.resources():
        fields = found.metadata.managedFields or []
        return all(entry.manager != manager for entry in fields)
    for each in found.spec.template.spec.containers:
        if each.name == container and each.resources is not None:
            now = {"requests": each.resources.requests, "limits": each.resources.limits}
            return now == wanted.resources()
    return False


def _patch(wanted: Compute, application: str, model: str, container: str) -> dict[str, Any]:
    patch: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": application, "namespace": model},
    }
    # Without resources nothing is said, which gives up what was set before.
    if resources := wanted.resources():
        containers = [{"name": container, "resources": resources}]
        patch["spec"] = {"template": {"spec": {"containers": containers}}}
    return patch
