"""Units as Kubernetes shows them: a stateful set and two services an application, a pod a unit.

Juju's units are pods. Here they are processes of their own, so what Juju would have made is shown
in the cluster beside them: charms find themselves, and may patch their services and their stateful
set's resources. A changed template is told by `follow`, for units to get new pods as they would.

The pods name `minijuju` as their scheduler: no node takes them, and services reach the units'
addresses through them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import lightkube
from lightkube.core.exceptions import ApiError
from lightkube.models.apps_v1 import StatefulSetSpec
from lightkube.models.core_v1 import (
    Container,
    PodSpec,
    PodTemplateSpec,
    ServicePort,
    ServiceSpec,
)
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from lightkube.resources.apps_v1 import StatefulSet, StatefulSetStatus
from lightkube.resources.core_v1 import Pod, PodStatus, Service
from lightkube.types import PatchType
from lightkube.utils.quantity import parse_quantity

from minijuju.unit_views import (
    APPLICATION,
    MANAGED_BY,
    UNTOUCHED,
    ApplicationView,
    Template,
    UnitView,
)

UNIT = "unit.juju.is/id"
GENERATION = "minijuju/generation"
PORTS = "minijuju/ports"
SCHEDULER = "minijuju"
CHARM = "charm"
"""The container of the charm, beside those of the workload."""

CHARM_IMAGE = "docker.io/jujusolutions/charm-base:ubuntu-24.04"
PLACEHOLDER = 65535
"""The port of a service whose units have opened none; Juju has the same."""


class Units:
    """Keeps what is shown of applications as their views say; `client` may be any cluster's."""

    def __init__(self, client: lightkube.AsyncClient) -> None:
        self._client = client

    async def show(self, view: ApplicationView) -> None:
        """Make, change and delete objects until they are as the view. Raises ApiError."""
        found = await self._stateful_set(view)
        await self._service(view)
        await self._endpoints(view)
        await self._pods(view, found)
        await self._progress(view, found)

    async def remove(self, model: str, application: str) -> None:
        """Delete what is shown of an application; pods go with their set. Raises ApiError."""
        for kind, name in (
            (StatefulSet, application),
            (Service, application),
            (Service, f"{application}-endpoints"),
        ):
            await self._absent(kind, name, model)

    async def follow(self) -> AsyncIterator[Template]:
        """Every template, as it is and as it changes, for as long as the cluster sends them.

        Raises:
            ApiError: the cluster refuses, or its answer was cut.
        """
        selector: Any = {MANAGED_BY: "juju"}
        async for _, found in self._client.watch(StatefulSet, namespace="*", labels=selector):
            meta = found.metadata
            if meta and meta.namespace and meta.name and not meta.deletionTimestamp:
                yield Template(meta.namespace, meta.name, digest(found), _memory(found))

    async def _stateful_set(self, view: ApplicationView) -> Any:
        template = _template(view)
        wanted = StatefulSet(
            metadata=ObjectMeta(name=view.name, namespace=view.model, labels=view.labels),
            spec=StatefulSetSpec(
                replicas=view.scale,
                serviceName=f"{view.name}-endpoints",
                podManagementPolicy="Parallel",
                selector=LabelSelector(matchLabels={APPLICATION: view.name}),
                template=template,
            ),
        )
        found = await self._get(StatefulSet, view.name, view.model)
        if found is None:
            return await self._client.create(wanted)
        spec = found.spec
        images = {one.name: one.image for one in _containers(found)}
        meant = {one.name: one.image for one in template.spec.containers} if template.spec else {}
        if spec and spec.replicas == view.scale and images == meant:
            return found
        gone = [{"name": name, "$patch": "delete"} for name in images if name not in meant]
        kept = [{"name": name, "image": image} for name, image in meant.items()]
        patch = {
            "spec": {
                "replicas": view.scale,
                "template": {"spec": {"containers": [*kept, *gone]}},
            }
        }
        return await self._client.patch(StatefulSet, view.name, patch, namespace=view.model)

    async def _service(self, view: ApplicationView) -> None:
        """The application's service; what a charm has patched stays until ports are opened."""
        ports = [
            ServicePort(name=f"{number}-{protocol.lower()}", port=number, protocol=protocol)
            for number, protocol in view.ports
            if protocol == "TCP"
        ]
        ports = ports or [ServicePort(name="placeholder", port=PLACEHOLDER, protocol="TCP")]
        listed = ",".join(str(port.port) for port in ports)
        found = await self._get(Service, view.name, view.model)
        if found is None:
            await self._client.create(
                Service(
                    metadata=ObjectMeta(
                        name=view.name,
                        namespace=view.model,
                        labels=view.labels,
                        annotations={PORTS: listed},
                    ),
                    spec=ServiceSpec(ports=ports, selector={APPLICATION: view.name}),
                )
            )
            return
        known = (found.metadata.annotations or {}) if found.metadata else {}
        if known.get(PORTS) != listed:
            patch = {
                "metadata": {"annotations": {PORTS: listed}},
                "spec": {"ports": [port.to_dict() for port in ports]},
            }
            await self._client.patch(
                Service, view.name, patch, namespace=view.model, patch_type=PatchType.MERGE
            )

    async def _endpoints(self, view: ApplicationView) -> None:
        name = f"{view.name}-endpoints"
        if await self._get(Service, name, view.model) is None:
            await self._client.create(
                Service(
                    metadata=ObjectMeta(name=name, namespace=view.model, labels=view.labels),
                    spec=ServiceSpec(
                        clusterIP="None",
                        publishNotReadyAddresses=True,
                        selector={APPLICATION: view.name},
                    ),
                )
            )

    async def _pods(self, view: ApplicationView, owner: StatefulSet) -> None:
        selector: Any = {APPLICATION: view.name, MANAGED_BY: "juju"}
        listed = self._client.list(Pod, namespace=view.model, labels=selector)
        found: dict[str, Pod] = {}
        async for pod in listed:
            if pod.metadata and pod.metadata.name:
                found[pod.metadata.name] = pod
        wanted = {unit.pod: unit for unit in view.units}
        for name, pod in list(found.items()):
            unit = wanted.get(name)
            notes = (pod.metadata.annotations or {}) if pod.metadata else {}
            if unit is None or notes.get(GENERATION) != str(unit.generation):
                await self._absent(Pod, name, view.model)
                del found[name]
        for name, unit in wanted.items():
            shown = found.get(name) or await self._client.create(_pod(view, unit, owner))
            await self._state(view, unit, shown)

    async def _state(self, view: ApplicationView, unit: UnitView, pod: Pod) -> None:
        status = pod.status
        known = {one.type: one for one in (status.conditions if status else None) or ()}
        ready = known.get("Ready")
        if ready and (ready.status == "True") == unit.ready and status and status.podIP:
            return
        created = pod.metadata.creationTimestamp if pod.metadata else None
        moment = created.isoformat().replace("+00:00", "Z") if created else None
        word = "True" if unit.ready else "False"
        conditions = [
            {"type": kind, "status": value, "lastTransitionTime": moment}
            for kind, value in (
                ("PodScheduled", "True"),
                ("Initialized", "True"),
                ("ContainersReady", word),
                ("Ready", word),
            )
        ]
        names = [CHARM, *(name for name, _ in view.containers)]
        images = {CHARM: CHARM_IMAGE, **dict(view.containers)}
        containers = [
            {
                "name": name,
                "image": images[name],
                "imageID": images[name],
                "ready": unit.ready,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": moment}},
            }
            for name in names
        ]
        patch = {
            "status": {
                "phase": "Running",
                "podIP": unit.address,
                "podIPs": [{"ip": unit.address}],
                "startTime": moment,
                "conditions": conditions,
                "containerStatuses": containers,
            }
        }
        await self._client.patch(
            PodStatus, unit.pod, patch, namespace=view.model, patch_type=PatchType.MERGE
        )

    async def _progress(self, view: ApplicationView, owner: StatefulSet) -> None:
        meta = owner.metadata
        ready = sum(unit.ready for unit in view.units)
        revision = f"{view.name}-{digest(owner)}"
        wanted = {
            "observedGeneration": meta.generation if meta else 1,
            "replicas": len(view.units),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": len(view.units),
            "updatedReplicas": len(view.units),
            "currentRevision": revision,
            "updateRevision": revision,
        }
        known = owner.status.to_dict() if owner.status else {}
        if {**known, **wanted} != known:
            await self._client.patch(
                StatefulSetStatus,
                view.name,
                {"status": wanted},
                namespace=view.model,
                patch_type=PatchType.MERGE,
            )

    async def _get(self, kind: Any, name: str, namespace: str) -> Any:
        try:
            return await self._client.get(kind, name, namespace=namespace)
        except ApiError as error:
            if error.status.code != 404:
                raise
            return None

    async def _absent(self, kind: Any, name: str, namespace: str) -> None:
        try:
            await self._client.delete(kind, name, namespace=namespace)
        except ApiError as error:
            if error.status.code != 404:
                raise


def _template(view: ApplicationView) -> PodTemplateSpec:
    containers = [Container(name=CHARM, image=CHARM_IMAGE)]
    containers += [Container(name=name, image=image) for name, image in view.containers]
    return PodTemplateSpec(
        metadata=ObjectMeta(labels={APPLICATION: view.name, MANAGED_BY: "juju"}),
        spec=PodSpec(
            containers=containers,
            serviceAccountName=view.name,
            automountServiceAccountToken=False,
            schedulerName=SCHEDULER,
        ),
    )


def _pod(view: ApplicationView, unit: UnitView, owner: StatefulSet) -> Pod:
    template = owner.spec.template if owner.spec else PodTemplateSpec()
    known = template.metadata or ObjectMeta()
    spec = template.spec or PodSpec(containers=[])
    spec.hostname, spec.subdomain = unit.pod, f"{view.name}-endpoints"
    # It never is another's to run, whatever a patch of the template says.
    spec.schedulerName, spec.nodeName = SCHEDULER, None
    meta = owner.metadata or ObjectMeta()
    index = unit.name.partition("/")[2]
    return Pod(
        metadata=ObjectMeta(
            name=unit.pod,
            namespace=view.model,
            labels={
                **(known.labels or {}),
                "apps.kubernetes.io/pod-index": index,
                "statefulset.kubernetes.io/pod-name": unit.pod,
                "controller-revision-hash": f"{view.name}-{digest(owner)}",
            },
            annotations={
                **(known.annotations or {}),
                UNIT: unit.name,
                GENERATION: str(unit.generation),
            },
            ownerReferences=[
                OwnerReference(
                    apiVersion="apps/v1",
                    kind="StatefulSet",
                    name=view.name,
                    uid=meta.uid or "",
                    controller=True,
                    blockOwnerDeletion=True,
                )
            ],
        ),
        spec=spec,
    )


def _containers(found: StatefulSet) -> list[Container]:
    spec = found.spec.template.spec if found.spec else None
    return list(spec.containers) if spec else []


def _memory(found: StatefulSet) -> dict[str, int]:
    limits = {
        one.name: parse_quantity((one.resources.limits or {}).get("memory"))
        for one in _containers(found)
        if one.resources
    }
    return {name: int(limit) for name, limit in limits.items() if limit}


def digest(found: StatefulSet) -> str:
    """What tells one template from another: resources and notes, but no images, which are ours."""
    meta = found.spec.template.metadata if found.spec else None
    resources: dict[str, Mapping[str, Any]] = {
        one.name: one.resources.to_dict() for one in _containers(found) if one.resources
    }
    told = [
        {name: value for name, value in resources.items() if value},
        dict((meta.annotations or {}) if meta else {}),
    ]
    if not any(told):
        return UNTOUCHED
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]
