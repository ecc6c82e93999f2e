"""A pod as a workload asks for it, and the manifest that comes of it.

What the request leaves open the operator's options fill in: the request wins, field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from . import gpus
from .gpus import GpuOptions, GpuRequest, Gpus
from .mounts import SHARED_MEMORY, EmptyMount, Mount, volumes
from .placement import Placement
from .resources import Resources

CONTAINER: Final = "main"
"""The name of a pod's own container."""
QUEUE: Final = "kueue.x-k8s.io/queue-name"
"""The label by which Kueue knows the local queue that a workload waits in."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One value of a secret; `optional` is None where nothing is said of it."""

    secret: str
    key: str
    optional: bool | None = None


@dataclass(frozen=True, slots=True)
class ConfigMapKey:
    """One value of a config map; `optional` is None where nothing is said of it."""

    config_map: str
    key: str
    optional: bool | None = None


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A field of the pod itself (`metadata.name`), by the downward API."""

    path: str


Variable: TypeAlias = str | SecretKey | ConfigMapKey | FieldPath


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom the container's processes run; None for what the image says."""

    user: int | None = None
    group: int | None = None
    non_root: bool | None = None

    def manifest(self) -> dict[str, Any]:
        """Give the container's `securityContext`: with an identity of its own, no capability."""
        values = {
            "runAsUser": self.user,
            "runAsGroup": self.group,
            "runAsNonRoot": self.non_root,
        }
        found: dict[str, Any] = {k: v for k, v in values.items() if v is not None}
        return {**found, "capabilities": {"drop": ["ALL"]}} if found else {}


@dataclass(frozen=True, slots=True)
class InitContainer:
    """A container that runs to its end before the pod's own starts.

    Attributes:
        command, args: what it runs; () for what its image says.
        mounts: paths in it, each with the path at which the pod's own container has that volume.
            It sees the whole of the volume.
        requests, limits: quantities by resource.
        sidecar: True if it goes on running beside the pod's own instead, and ends with it.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    sidecar: bool = False

    def manifest(
        self, volumes: Mapping[str, str], pull_policy: str, identity: Identity
    ) -> dict[str, Any]:
        """Give the container.

        Args:
            volumes: names of the pod's volumes by the paths of its own container.
            pull_policy: the pod's.
            identity: the pod's.
        """
        resources = {"requests": dict(self.requests), "limits": dict(self.limits)}
        found: dict[str, Any] = {
            "name": self.name,
            "image": self.image,
            "command": list(self.command),
            "args": list(self.args),
            "env": [{"name": name, "value": value} for name, value in self.env.items()],
            "volumeMounts": [
                {"name": volumes[there], "mountPath": path} for path, there in self.mounts.items()
            ],
            "resources": {name: each for name, each in resources.items() if each},
            "restartPolicy": "Always" if self.sidecar else "",
            "imagePullPolicy": pull_policy,
            "securityContext": identity.manifest(),
            # Why the pod's own did not start is asked of the pod, not of a log.
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class PodRequest:
    """A pod to run once.

    Attributes:
        name: deterministic, so that asking twice gives one pod.
        env: values, or where they are read from.
        secret_env: values that are kept in a secret of the pod's own, which bears its name and
            goes with it (see `Jobs`): who may read pods does not see them.
        labels: among them perhaps Kueue's `kueue.x-k8s.io/queue-name`: the pod's own queue.
        deadline: seconds from the start until the pod is killed, or None.
        shm_size: the limit of `/dev/shm`, a quantity; "" for what the operator says.
        claim_templates: names of ResourceClaimTemplates of which the pod gets a claim each.
        pull_policy: `Always`, `IfNotPresent`, `Never` or "".
        pull_secrets: names of secrets by which the image is pulled.
        auxiliary: True for a pod that only prepares another's work: it gets no GPU and waits in
            no queue unless it says so itself.
        before: what runs before its own container, in this order. Each has the pod's identity and
            pull policy.
    """

    name: str
    image: str
    command: tuple[str, ...]
    env: Mapping[str, Variable] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    resources: Resources = field(default_factory=Resources)
    gpus: GpuRequest = field(default_factory=GpuRequest)
    placement: Placement = field(default_factory=Placement)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    deadline: int | None = None
    shm_size: str = ""
    claim_templates: tuple[str, ...] = ()
    pull_policy: str = ""
    pull_secrets: tuple[str, ...] = ()
    identity: Identity = field(default_factory=Identity)
    auxiliary: bool = False
    before: tuple[InitContainer, ...] = ()


@dataclass(frozen=True, slots=True)
class PodOptions:
    """The operator's defaults for every pod of a workload.

    Attributes:
        namespace: where the pods go.
        labels: on every pod; they are also what pods are found by.
        secrets: whether pods may have a secret of their own, which is deleted with them.
        resources: for what a request leaves open.
        queue: Kueue's local queue that pods wait in, or "".
        shm_size: the limit of `/dev/shm`, a quantity; "" for the container runtime's own.
        service_account: of the pods, "" for the namespace's default; no token is mounted.
    """

    namespace: str
    labels: Mapping[str, str]
    resources: Resources = field(default_factory=Resources)
    gpus: GpuOptions = field(default_factory=GpuOptions)
    placement: Placement = field(default_factory=Placement)
    queue: str = ""
    shm_size: str = ""
    service_account: str = ""
    secrets: bool = False

    @property
    def selector(self) -> str:
        """The label selector of these pods."""
        return ",".join(f"{name}={value}" for name, value in sorted(self.labels.items()))

    def gpus_of(self, request: PodRequest) -> Gpus:
        """Give the GPUs that the pod of a request asks for."""
        options = GpuOptions(resource=self.gpus.resource) if request.auxiliary else self.gpus
        return gpus.resolve(request.gpus, options)

    def queue_of(self, request: PodRequest) -> str:
        """Give the queue that the pod of a request waits in, or ""."""
        return request.labels.get(QUEUE, "" if request.auxiliary else self.queue)


def manifest(request: PodRequest, options: PodOptions) -> dict[str, Any]:
    """Give the Pod object for a request."""
    asked = options.gpus_of(request)
    shared = request.shm_size or options.shm_size
    mounts = request.mounts
    if shared and not any(mount.path == SHARED_MEMORY for mount in mounts):
        mounts = (*mounts, EmptyMount(SHARED_MEMORY, "Memory", shared))
    sources, placed = volumes(mounts)
    claims = _claims(request, asked, options)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": request.image,
        "command": list(request.command),
        "env": [
            *(_variable(name, value) for name, value in request.env.items()),
            *(_variable(name, SecretKey(request.name, name)) for name in request.secret_env),
        ],
        "volumeMounts": placed,
    }
    resources: dict[str, Any] = dict(request.resources.over(options.resources).manifest())
    if asked.limits:
        resources["limits"] = {**resources.get("limits", {}), **asked.limits}
    if claims:
        resources["claims"] = [{"name": each["name"]} for each in claims]
    extra: dict[str, Any] = {
        "resources": resources,
        "imagePullPolicy": request.pull_policy,
        "securityContext": request.identity.manifest(),
    }
    container.update({name: value for name, value in extra.items() if value})
    placement = request.placement.over(options.placement).requiring(asked.node_requirement)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": sources,
        **placement.manifest(),
    }
    named = {each["mountPath"]: each["name"] for each in placed}
    more: dict[str, Any] = {
        "initContainers": [
            each.manifest(named, request.pull_policy, request.identity) for each in request.before
        ],
        "activeDeadlineSeconds": request.deadline,
        "resourceClaims": claims,
        "imagePullSecrets": [{"name": name} for name in request.pull_secrets],
        "serviceAccountName": options.service_account,
    }
    spec.update({name: value for name, value in more.items() if value})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": request.name,
            "namespace": options.namespace,
            "labels": {**request.labels, **options.labels},
            "annotations": dict(request.annotations),
        },
        "spec": spec,
    }


def _claims(request: PodRequest, asked: Gpus, options: PodOptions) -> list[dict[str, str]]:
    found = [
        {"name": f"claim-{number}", "resourceClaimTemplateName": name}
        for number, name in enumerate(request.claim_templates)
    ]
    template = asked.template(options.labels)
    if template is not None:
        name = template["metadata"]["name"]
        found.append({"name": gpus.CLAIM, "resourceClaimTemplateName": name})
    return found


def _variable(name: str, value: Variable) -> dict[str, Any]:
    reference: dict[str, Any]
    match value:
        case SecretKey(secret, key, optional):
            reference = {"secretKeyRef": {"name": secret, "key": key, "optional": optional}}
        case ConfigMapKey(config_map, key, optional):
            reference = {"configMapKeyRef": {"name": config_map, "key": key, "optional": optional}}
        case FieldPath(path):
            return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        case _:
            return {"name": name, "value": value}
    for inner in reference.values():
        if inner["optional"] is None:
            del inner["optional"]
    return {"name": name, "valueFrom": reference}
