"""What a task asks of Kubernetes, looked up and put into its pod's request.

Placeholders and parameters are resolved here, when the task starts: what they give is checked
again, since nothing but a running task could know it at upload.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from toolkit_jobs import (
    ClaimMount,
    ConfigMapKey,
    ConfigMapMount,
    FieldPath,
    GpuRequest,
    Identity,
    InitContainer,
    Mount,
    Placement,
    PodRequest,
    Resources,
    SecretKey,
    SecretMount,
    Variable,
)

from .spec import SpecError, accelerators
from .spec import platform as platforms
from .spec.kubernetes import (
    WORKSPACE_PATH,
    WORKSPACE_VOLUME,
    ClaimFolder,
    KubernetesSettings,
)
from .spec.model import Container, Json, ParameterSource

Lookup: TypeAlias = Callable[[ParameterSource], Json]
"""Gives a source's value; None if it has none."""
Text: TypeAlias = Callable[[str], str]
"""Gives a text with its placeholders filled in."""

_WHERE = "its platform spec"


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of the namespace that a pod reads, by kind."""

    secrets: frozenset[str] = frozenset()
    config_maps: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()


def extend(
    request: PodRequest, container: Container, text: Text, look_up: Lookup
) -> tuple[PodRequest, Objects]:
    """Add what a container asks for to a request that has its image, command and mounts.

    Returns:
        The request, and the objects that it reads because the pipeline's author says so.

    Raises:
        SpecError: a value that a parameter gave is none that Kubernetes takes.
    """
    settings = container.kubernetes
    names = _Names(look_up)
    env: dict[str, Variable] = {**request.env, **_variables(settings, names)}
    asked = _mounts(settings, names)
    mounts = (*request.mounts, *asked)
    # What the service mounts for itself no name leads to.
    workspace = [each for each in request.mounts if each.path == WORKSPACE_PATH]
    extended = dataclasses.replace(
        request,
        env=env,
        mounts=mounts,
        resources=_resources(container, text),
        gpus=_gpus(container, text),
        placement=_placement(settings, look_up),
        labels={**settings.labels, **request.labels},
        annotations={**settings.annotations, **request.annotations},
        deadline=settings.deadline,
        claim_templates=(*names.known(settings.claim_templates), *_configured(settings, look_up)),
        pull_policy=settings.pull_policy,
        pull_secrets=tuple(names.known(settings.pull_secrets)),
        identity=Identity(
            settings.identity.user, settings.identity.group, settings.identity.non_root
        ),
        before=_before(settings, volume_names(settings, [*workspace, *asked])),
    )
    return extended, _objects(env, asked, request.env)


def volume_names(settings: KubernetesSettings, mounts: Iterable[Mount]) -> dict[str, str]:
    """Give the paths of a task's volumes by KFP's names of them; the first, if two have one.

    A secret, a config map and a claim give their volume its name, the others have what the author
    calls them; the run's workspace is `kfp-workspace`.
    """
    own = {path: name for name, path in settings.volumes.items()}
    found: dict[str, str] = {}
    for mount in mounts:
        name = own.get(mount.path, "")
        match mount:
            case ClaimMount(path=path, claim=claim):
                name = WORKSPACE_VOLUME if path == WORKSPACE_PATH else claim
            case SecretMount(_, secret):
                name = secret
            case ConfigMapMount(_, config_map):
                name = config_map
        if name:
            found.setdefault(name, mount.path)
    return found


def _before(settings: KubernetesSettings, volumes: Mapping[str, str]) -> tuple[InitContainer, ...]:
    found = []
    for each in settings.before:
        for name in each.mounts.values():
            if name not in volumes:
                known = ", ".join(sorted(volumes)) or "none"
                raise SpecError(
                    _WHERE,
                    f"the init container {each.name!r} mounts {name[:80]!r}: the task has no such "
                    f"volume; its volumes are: {known}",
                )
        mounts = {path: volumes[name] for path, name in each.mounts.items()}
        found.append(dataclasses.replace(each, mounts=mounts))
    return tuple(found)


def _configured(settings: KubernetesSettings, look_up: Lookup) -> list[str]:
    where = f"{_WHERE}: resourceClaimJson"
    return [
        name
        for source in settings.claim_configurations
        for name in platforms.claim_templates(look_up(source), where)
    ]


def claims(settings: KubernetesSettings, look_up: Lookup) -> list[str]:
    """Give the names of the claims that a task mounts.

    Raises:
        SpecError: one of them is no name, or there is none.
    """
    names = _Names(look_up)
    return [_claim(each, names.one(each.name)).claim for each in settings.claims]


class _Names:
    """Names of objects, from wherever they come."""

    def __init__(self, look_up: Lookup) -> None:
        self._look_up = look_up

    def one(self, source: ParameterSource) -> str:
        """Give a name, "" if there is none."""
        value = self._look_up(source)
        return "" if value is None else platforms.object_name(value, _WHERE)

    def known(self, sources: Iterable[ParameterSource]) -> list[str]:
        """Give the names that there are."""
        return [name for name in map(self.one, sources) if name]


def _variables(settings: KubernetesSettings, names: _Names) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    for each in settings.secret_variables:
        if name := names.one(each.name):
            found[each.variable] = SecretKey(name, each.key, each.optional)
    for each in settings.config_map_variables:
        if name := names.one(each.name):
            found[each.variable] = ConfigMapKey(name, each.key, each.optional)
    for variable, path in settings.field_variables.items():
        found[variable] = FieldPath(path)
    return found


def _mounts(settings: KubernetesSettings, names: _Names) -> list[Mount]:
    secrets = ((each, names.one(each.name)) for each in settings.secret_files)
    config_maps = ((each, names.one(each.name)) for each in settings.config_map_files)
    return [
        *(SecretMount(each.path, name, each.optional) for each, name in secrets if name),
        *(ConfigMapMount(each.path, name, each.optional) for each, name in config_maps if name),
        *(_claim(each, names.one(each.name)) for each in settings.claims),
        *settings.empty_folders,
        *settings.ephemeral_folders,
    ]


def _claim(folder: ClaimFolder, name: str) -> ClaimMount:
    if not name:
        raise SpecError(_WHERE, f"the claim to mount at {folder.path} has no name")
    return ClaimMount(folder.path, name, folder.sub_path)


def _objects(
    env: Mapping[str, Variable], mounts: Iterable[Mount], own: Mapping[str, Variable]
) -> Objects:
    secrets: set[str] = set()
    config_maps: set[str] = set()
    claims: set[str] = set()
    for variable, value in env.items():
        if own.get(variable) == value:
            continue
        match value:
            case SecretKey(name):
                secrets.add(name)
            case ConfigMapKey(name):
                config_maps.add(name)
    for mount in mounts:
        match mount:
            case SecretMount(_, name):
                secrets.add(name)
            case ConfigMapMount(_, name):
                config_maps.add(name)
            case ClaimMount(_, name):
                claims.add(name)
    return Objects(frozenset(secrets), frozenset(config_maps), frozenset(claims))


def _resources(container: Container, text: Text) -> Resources:
    resources = container.resources
    return Resources(
        text(resources.cpu_request),
        text(resources.memory_request),
        text(resources.cpu_limit),
        text(resources.memory_limit),
    )


def _gpus(container: Container, text: Text) -> GpuRequest:
    accelerator = container.resources.accelerator
    kind, count = text(accelerator.type), text(accelerator.count)
    if kind:
        accelerators.check_type(kind, "its resources")
    number = accelerators.count(count, "its resources") if count else None
    return GpuRequest(number, kind)


def _placement(settings: KubernetesSettings, look_up: Lookup) -> Placement:
    selector: Json = settings.node_selector
    if not isinstance(selector, Mapping):
        selector = platforms.labels(look_up(selector), f"{_WHERE}: nodeSelector")
    affinity = dict(settings.pod_affinity)
    node = _node_affinity(settings, look_up)
    if node:
        affinity["nodeAffinity"] = node
    return Placement(selector, tuple(_tolerations(settings, look_up)), affinity)


def _tolerations(settings: KubernetesSettings, look_up: Lookup) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for each in settings.tolerations:
        if isinstance(each, Mapping):
            found.append(each)
            continue
        value = look_up(each)
        for toleration in value if isinstance(value, list) else [value]:
            if toleration is not None and not isinstance(toleration, Mapping):
                raise SpecError(_WHERE, f"{str(toleration)[:80]!r} is not a toleration")
            # An empty one would tolerate everything: a parameter that says nothing means nothing.
            if toleration:
                found.append(toleration)
    return found


def _node_affinity(settings: KubernetesSettings, look_up: Lookup) -> dict[str, Any]:
    """Join the terms written in the spec with those that parameters give."""
    hard: list[Any] = []
    soft: list[Any] = []
    for each in (settings.node_affinity, *map(look_up, settings.node_affinities)):
        if each is None:
            continue
        if not isinstance(each, Mapping):
            raise SpecError(_WHERE, f"{str(each)[:80]!r} is not a node affinity")
        required = each.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
        preferred = each.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        if not isinstance(required, Mapping) or not isinstance(preferred, list):
            raise SpecError(_WHERE, f"{str(each)[:80]!r} is not a node affinity")
        hard += required.get("nodeSelectorTerms") or []
        soft += preferred
    found: dict[str, Any] = {}
    if hard:
        found["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": hard}
    if soft:
        found["preferredDuringSchedulingIgnoredDuringExecution"] = soft
    return found
