"""A platform spec, read: the settings of `kfp.kubernetes` for each executor.

Field names are those of the message `KubernetesExecutorConfig` (kfp-kubernetes 2.17) in JSON. What
is not built is refused by its name in the SDK.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from toolkit_jobs import EmptyMount, EphemeralMount

from . import initcontainers, lifetimes
from .errors import NotSupportedError, SpecError
from .fields import entries, list_of, mapping, string
from .kubernetes import (
    WORKSPACE_PATH,
    ClaimFolder,
    Files,
    Identity,
    KeyVariable,
    KubernetesSettings,
)
from .sources import Constant, DagInput, Json, ParameterSource, TaskOutput
from .workspaces import access_modes

T = TypeVar("T")

RESERVED_LABELS: Final = "toolkit.canonical.com/"
"""The service finds its pods by labels of this domain."""
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - the path that programs know
_RESERVED_PATHS: Final = ("/toolkit", "/minio", WORKSPACE_PATH)
"""Where the launcher, packages, artifacts and the run's workspace are in a step."""
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_NAME: Final = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_PULL_POLICIES: Final = ("", "Always", "IfNotPresent", "Never")
_FIELDS: Final = (
    "secretAsVolume",
    "secretAsEnv",
    "pvcMount",
    "nodeSelector",
    "podMetadata",
    "imagePullSecret",
    "imagePullPolicy",
    "configMapAsVolume",
    "configMapAsEnv",
    "activeDeadlineSeconds",
    "fieldPathAsEnv",
    "tolerations",
    "genericEphemeralVolume",
    "nodeAffinity",
    "podAffinity",
    "enabledSharedMemory",
    "emptyDirMounts",
    "securityContext",
    "initContainers",
    "podResourceClaims",
)
_HARD: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_SOFT: Final = "preferredDuringSchedulingIgnoredDuringExecution"


def read(value: Json) -> dict[str, KubernetesSettings]:
    """Give the settings by the executor's label.

    Raises:
        SpecError: a setting is wrong; the message names its place.
        NotSupportedError: it is of another platform, or not built yet.
    """
    platforms = mapping(
        mapping(value, "platform spec", ("platforms",)).get("platforms"),
        "platform spec.platforms",
    )
    found: dict[str, KubernetesSettings] = {}
    for name, each in platforms.items():
        where = f"platform spec.platforms.{name[:80]}"
        data = mapping(each, where, ("deploymentSpec", "platform", "config", "pipelineConfig"))
        pipeline_config = mapping(data.get("pipelineConfig"), f"{where}.pipelineConfig")
        if unknown := sorted(pipeline_config.keys() - set(lifetimes.FIELDS)):
            raise NotSupportedError(where, f"{unknown[0][:80]!r} of dsl.PipelineConfig")
        if pipeline_config and name != "kubernetes":
            raise NotSupportedError(where, f"dsl.PipelineConfig for the platform {name[:80]!r}")
        if data.get("config"):
            raise NotSupportedError(where, "platform configuration (config)")
        deployment = mapping(data.get("deploymentSpec"), f"{where}.deploymentSpec", ("executors",))
        executors = mapping(deployment.get("executors"), f"{where}.deploymentSpec.executors")
        for label, config in executors.items():
            spot = f"{where}.deploymentSpec.executors.{label[:80]}"
            if name != "kubernetes":
                if config:
                    raise NotSupportedError(spot, f"the platform {name[:80]!r}")
                continue
            found[label] = _settings(mapping(config, spot, _FIELDS), spot)
    return found


def _settings(data: Mapping[str, Json], where: str) -> KubernetesSettings:
    claim_templates, claim_configurations = _resource_claims(data, where)
    pull_policy = string(data.get("imagePullPolicy"), f"{where}.imagePullPolicy")
    if pull_policy not in _PULL_POLICIES:
        raise SpecError(
            f"{where}.imagePullPolicy",
            f"{pull_policy[:80]!r} is none of Always, IfNotPresent and Never",
        )
    metadata = mapping(data.get("podMetadata"), f"{where}.podMetadata", ("labels", "annotations"))
    node_affinity, affinity_sources = _node_affinity(data.get("nodeAffinity"), where)
    deadline = _integer(data.get("activeDeadlineSeconds"), f"{where}.activeDeadlineSeconds")
    return KubernetesSettings(
        secret_variables=_variables(data, where, "secret"),
        config_map_variables=_variables(data, where, "configMap"),
        field_variables=_field_variables(data.get("fieldPathAsEnv"), f"{where}.fieldPathAsEnv"),
        secret_files=_files(data, where, "secret"),
        config_map_files=_files(data, where, "configMap"),
        claims=_each(data, "pvcMount", where, _claim),
        empty_folders=(
            *_each(data, "emptyDirMounts", where, _empty),
            *_shared_memory(data.get("enabledSharedMemory"), f"{where}.enabledSharedMemory"),
        ),
        ephemeral_folders=_each(data, "genericEphemeralVolume", where, _ephemeral),
        volumes=_volume_names(data, where),
        node_selector=_node_selector(data.get("nodeSelector"), f"{where}.nodeSelector"),
        tolerations=_each(data, "tolerations", where, _toleration),
        node_affinity=node_affinity,
        node_affinities=affinity_sources,
        pod_affinity=_pod_affinity(data.get("podAffinity"), f"{where}.podAffinity"),
        labels=_labels(metadata.get("labels"), f"{where}.podMetadata.labels", own=True),
        annotations=_annotations(metadata.get("annotations"), f"{where}.podMetadata.annotations"),
        pull_policy=pull_policy,
        pull_secrets=_each(data, "imagePullSecret", where, _pull_secret),
        claim_templates=claim_templates,
        claim_configurations=claim_configurations,
        identity=_identity(data.get("securityContext"), f"{where}.securityContext"),
        deadline=deadline or None,
        before=initcontainers.read(data.get("initContainers"), f"{where}.initContainers"),
    )


def _each(
    data: Mapping[str, Json], field: str, where: str, read_one: Callable[[Json, str], T]
) -> tuple[T, ...]:
    return tuple(
        read_one(value, f"{where}.{field}[{number}]")
        for number, value in enumerate(list_of(data.get(field), f"{where}.{field}"))
    )


def _source(value: Json, where: str) -> ParameterSource:
    """Read where a setting comes from; what it names is checked with the task."""
    data = mapping(
        value, where, ("runtimeValue", "componentInputParameter", "taskOutputParameter")
    )
    if len(data) != 1:
        raise SpecError(where, "exactly one source is needed")
    ((kind, inner),) = data.items()
    if kind == "componentInputParameter":
        return DagInput(string(inner, where, required=True))
    if kind == "taskOutputParameter":
        output = mapping(inner, where, ("producerTask", "outputParameterKey"))
        return TaskOutput(
            string(output.get("producerTask"), f"{where}.producerTask", required=True),
            string(output.get("outputParameterKey"), f"{where}.outputParameterKey", required=True),
        )
    return Constant(mapping(inner, where, ("constant",)).get("constant"))


def _named(data: Mapping[str, Json], old: str, new: str, where: str) -> ParameterSource:
    """Read a name that is a source, or (older compilers) a text."""
    if new in data:
        found = _source(data[new], f"{where}.{new}")
    else:
        found = Constant(string(data.get(old), f"{where}.{old}", required=True))
    if isinstance(found, Constant):
        object_name(found.value, where)
    return found


def object_name(value: Json, where: str) -> str:
    """Give the name of an object of Kubernetes; SpecError if it is none."""
    if not isinstance(value, str) or not _OBJECT_NAME.fullmatch(value):
        raise SpecError(where, f"{str(value)[:80]!r} is not the name of an object in Kubernetes")
    return value


def _path(value: Json, where: str) -> str:
    path = string(value, where, required=True)
    if not path.startswith("/") or posixpath.normpath(path) != path.rstrip("/") or ":" in path:
        raise SpecError(where, f"{path[:80]!r} is not an absolute path without '..' and ':'")
    for reserved in _RESERVED_PATHS:
        if path == reserved or path.startswith(f"{reserved}/"):
            raise SpecError(where, f"{path[:80]!r} is the service's own: nothing is mounted there")
    return path.rstrip("/")


def _optional(value: Json, where: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise SpecError(where, f"expected a boolean, got {type(value).__name__}")
    return value


def _integer(value: Json, where: str) -> int | None:
    """Read an integer; protobuf writes those of 64 bits as strings."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SpecError(where, f"{str(value)[:80]!r} is not a whole number from 0")
    return value


def _variable(value: Json, where: str) -> str:
    name = string(value, where, required=True)
    if not _VARIABLE.fullmatch(name):
        raise SpecError(where, f"{name[:80]!r} is not the name of an environment variable")
    return name


_OLD_NAMES: Final = {"secret": "secretName", "configMap": "configMapName"}
_KEYS: Final = {"secret": "secretKey", "configMap": "configMapKey"}


def _variables(data: Mapping[str, Json], where: str, kind: str) -> tuple[KeyVariable, ...]:
    old, new, key = _OLD_NAMES[kind], f"{_OLD_NAMES[kind]}Parameter", _KEYS[kind]

    def read_one(value: Json, spot: str) -> list[KeyVariable]:
        entry = mapping(value, spot, (old, new, "keyToEnv", "optional"))
        name = _named(entry, old, new, spot)
        optional = _optional(entry.get("optional"), f"{spot}.optional")
        return [
            KeyVariable(variable, name, inner, optional)
            for variable, inner in _each(entry, "keyToEnv", spot, pair)
        ]

    def pair(value: Json, spot: str) -> tuple[str, str]:
        entry = mapping(value, spot, (key, "envVar"))
        return (
            _variable(entry.get("envVar"), f"{spot}.envVar"),
            string(entry.get(key), f"{spot}.{key}", required=True),
        )

    groups = _each(data, f"{kind}AsEnv", where, read_one)
    return tuple(each for group in groups for each in group)


def _field_variables(value: Json, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, each in enumerate(list_of(value, where)):
        spot = f"{where}[{number}]"
        entry = mapping(each, spot, ("name", "fieldPath"))
        name = _variable(entry.get("name"), f"{spot}.name")
        found[name] = string(entry.get("fieldPath"), f"{spot}.fieldPath", required=True)
    return found


def _files(data: Mapping[str, Json], where: str, kind: str) -> tuple[Files, ...]:
    old, new = _OLD_NAMES[kind], f"{_OLD_NAMES[kind]}Parameter"

    def read_one(value: Json, spot: str) -> Files:
        entry = mapping(value, spot, (old, new, "mountPath", "optional"))
        return Files(
            _path(entry.get("mountPath"), f"{spot}.mountPath"),
            _named(entry, old, new, spot),
            bool(_optional(entry.get("optional"), f"{spot}.optional")),
        )

    return _each(data, f"{kind}AsVolume", where, read_one)


def _claim(value: Json, where: str) -> ClaimFolder:
    fields = ("taskOutputParameter", "constant", "componentInputParameter")
    entry = mapping(value, where, (*fields, "mountPath", "pvcNameParameter", "subPath"))
    if "pvcNameParameter" not in entry and "constant" not in entry:
        older = {name: entry[name] for name in fields if name in entry}
        entry = {**entry, "pvcNameParameter": older}
    sub_path = string(entry.get("subPath"), f"{where}.subPath")
    if sub_path.startswith("/") or ".." in sub_path.split("/"):
        raise SpecError(f"{where}.subPath", f"{sub_path[:80]!r} is not a path below the volume")
    return ClaimFolder(
        _path(entry.get("mountPath"), f"{where}.mountPath"),
        _named(entry, "constant", "pvcNameParameter", where),
        sub_path,
    )


def _empty(value: Json, where: str) -> EmptyMount:
    entry = mapping(value, where, ("volumeName", "mountPath", "medium", "sizeLimit"))
    return EmptyMount(
        _path(entry.get("mountPath"), f"{where}.mountPath"),
        string(entry.get("medium"), f"{where}.medium"),
        string(entry.get("sizeLimit"), f"{where}.sizeLimit"),
    )


def _shared_memory(value: Json, where: str) -> tuple[EmptyMount, ...]:
    if value is None:
        return ()
    entry = mapping(value, where, ("volumeName", "size"))
    return (EmptyMount(_SHARED_MEMORY, "Memory", string(entry.get("size"), f"{where}.size")),)


def _ephemeral(value: Json, where: str) -> EphemeralMount:
    entry = mapping(
        value,
        where,
        (
            "volumeName",
            "mountPath",
            "accessModes",
            "size",
            "defaultStorageClass",
            "storageClassName",
            "metadata",
        ),
    )
    modes = tuple(access_modes(entry.get("accessModes"), f"{where}.accessModes"))
    metadata = mapping(entry.get("metadata"), f"{where}.metadata", ("labels", "annotations"))
    default = _optional(entry.get("defaultStorageClass"), f"{where}.defaultStorageClass")
    return EphemeralMount(
        path=_path(entry.get("mountPath"), f"{where}.mountPath"),
        size=string(entry.get("size"), f"{where}.size", required=True),
        access_modes=modes,
        storage_class=None
        if default
        else string(entry.get("storageClassName"), f"{where}.storageClassName"),
        labels=_labels(metadata.get("labels"), f"{where}.metadata.labels"),
        annotations=_annotations(metadata.get("annotations"), f"{where}.metadata.annotations"),
    )


def _volume_names(data: Mapping[str, Json], where: str) -> dict[str, str]:
    """Give the paths of empty and ephemeral folders by what the author calls their volumes."""
    found: dict[str, str] = {}
    for field in ("emptyDirMounts", "genericEphemeralVolume"):
        for spot, entry in entries(data.get(field), f"{where}.{field}"):
            name = string(entry.get("volumeName"), f"{spot}.volumeName")
            if name in found:
                raise SpecError(f"{spot}.volumeName", f"there are two volumes {name[:80]!r}")
            if name:
                found[name] = _path(entry.get("mountPath"), f"{spot}.mountPath")
    return found


def _node_selector(value: Json, where: str) -> Mapping[str, str] | ParameterSource:
    entry = mapping(value, where, ("labels", "nodeSelectorJson"))
    if "nodeSelectorJson" in entry:
        source = _source(entry["nodeSelectorJson"], f"{where}.nodeSelectorJson")
        if not isinstance(source, Constant):
            return source
        return {} if source.value is None else labels(source.value, where)
    return labels(entry.get("labels"), f"{where}.labels")


def labels(value: Json, where: str) -> dict[str, str]:
    """Give labels; SpecError if a name or a value is none that Kubernetes takes."""
    return _labels(value, where)


def _labels(value: Json, where: str, *, own: bool = False) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in mapping(value, where).items():
        if not _LABEL_NAME.fullmatch(name):
            raise SpecError(where, f"{name[:80]!r} is not the name of a label")
        if not isinstance(text, str) or not _LABEL_VALUE.fullmatch(text):
            raise SpecError(where, f"{str(text)[:80]!r} is not the value of a label")
        if own:
            _not_reserved(name, where)
        found[name] = text
    return found


def _annotations(value: Json, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in mapping(value, where).items():
        _not_reserved(name, where)
        found[name] = string(text, where)
    return found


def _not_reserved(name: str, where: str) -> None:
    if name.startswith(RESERVED_LABELS):
        raise SpecError(where, f"{name[:80]!r}: names of {RESERVED_LABELS} are the service's own")


def _toleration(value: Json, where: str) -> Mapping[str, Json] | ParameterSource:
    fields = ("key", "operator", "value", "effect", "tolerationSeconds")
    entry = mapping(value, where, (*fields, "tolerationJson"))
    if "tolerationJson" in entry:
        return _source(entry["tolerationJson"], f"{where}.tolerationJson")
    found: dict[str, Any] = {
        name: string(entry.get(name), f"{where}.{name}") for name in fields[:4] if entry.get(name)
    }
    seconds = _integer(entry.get("tolerationSeconds"), f"{where}.tolerationSeconds")
    if seconds is not None:
        found["tolerationSeconds"] = seconds
    return found


def _node_affinity(value: Json, where: str) -> tuple[dict[str, Json], tuple[ParameterSource, ...]]:
    sources: list[ParameterSource] = []
    hard: list[Json] = []
    soft: list[Json] = []
    for number, each in enumerate(list_of(value, f"{where}.nodeAffinity")):
        spot = f"{where}.nodeAffinity[{number}]"
        entry = mapping(
            each, spot, ("matchExpressions", "matchFields", "weight", "nodeAffinityJson")
        )
        if "nodeAffinityJson" in entry:
            sources.append(_source(entry["nodeAffinityJson"], f"{spot}.nodeAffinityJson"))
            continue
        term = {
            name: list(_each(entry, name, spot, _requirement))
            for name in ("matchExpressions", "matchFields")
            if entry.get(name)
        }
        if not term:
            continue
        weight = _integer(entry.get("weight"), f"{spot}.weight")
        if weight is None:
            hard.append(term)
        else:
            soft.append({"weight": weight, "preference": term})
    found: dict[str, Json] = {}
    if hard:
        found[_HARD] = {"nodeSelectorTerms": hard}
    if soft:
        found[_SOFT] = soft
    return found, tuple(sources)


def _requirement(value: Json, where: str) -> dict[str, Json]:
    entry = mapping(value, where, ("key", "operator", "values"))
    found: dict[str, Json] = {
        "key": string(entry.get("key"), f"{where}.key", required=True),
        "operator": string(entry.get("operator"), f"{where}.operator", required=True),
    }
    values = list_of(entry.get("values"), f"{where}.values")
    if values:
        found["values"] = [string(each, f"{where}.values") for each in values]
    return found


def _pod_affinity(value: Json, where: str) -> dict[str, Json]:
    found: dict[str, dict[str, list[Json]]] = {}
    for number, each in enumerate(list_of(value, where)):
        spot = f"{where}[{number}]"
        entry = mapping(
            each,
            spot,
            (
                "matchPodExpressions",
                "matchPodLabels",
                "topologyKey",
                "namespaces",
                "matchNamespaceExpressions",
                "matchNamespaceLabels",
                "weight",
                "anti",
            ),
        )
        term: dict[str, Json] = {
            "topologyKey": string(entry.get("topologyKey"), f"{spot}.topologyKey", required=True)
        }
        for name, prefix in (
            ("labelSelector", "matchPod"),
            ("namespaceSelector", "matchNamespace"),
        ):
            selector = _selector(entry, prefix, spot)
            if selector:
                term[name] = selector
        namespaces = list_of(entry.get("namespaces"), f"{spot}.namespaces")
        if namespaces:
            term["namespaces"] = [string(name, f"{spot}.namespaces") for name in namespaces]
        kind = "podAntiAffinity" if _optional(entry.get("anti"), spot) else "podAffinity"
        weight = _integer(entry.get("weight"), f"{spot}.weight")
        group = found.setdefault(kind, {})
        if weight is None:
            group.setdefault(_HARD, []).append(term)
        else:
            group.setdefault(_SOFT, []).append({"weight": weight, "podAffinityTerm": term})
    return dict(found)


def _selector(entry: Mapping[str, Json], prefix: str, where: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    expressions = _each(entry, f"{prefix}Expressions", where, _requirement)
    if expressions:
        found["matchExpressions"] = list(expressions)
    matched = labels(entry.get(f"{prefix}Labels"), f"{where}.{prefix}Labels")
    if matched:
        found["matchLabels"] = matched
    return found


def _pull_secret(value: Json, where: str) -> ParameterSource:
    entry = mapping(value, where, ("secretName", "secretNameParameter"))
    return _named(entry, "secretName", "secretNameParameter", where)


def _resource_claims(
    data: Mapping[str, Json], where: str
) -> tuple[tuple[ParameterSource, ...], tuple[ParameterSource, ...]]:
    """Give the names of resource claim templates, and the sources of configurations."""
    names: list[ParameterSource] = []
    configurations: list[ParameterSource] = []
    known = ("resourceClaimTemplateName", "resourceClaimJson")
    claims = f"{where}.podResourceClaims"
    for spot, entry in entries(data.get("podResourceClaims"), claims, known):
        if "resourceClaimJson" in entry:
            source = _source(entry["resourceClaimJson"], f"{spot}.resourceClaimJson")
            if isinstance(source, Constant):
                claim_templates(source.value, f"{spot}.resourceClaimJson")
            configurations.append(source)
        else:
            names.append(_named(entry, "resourceClaimTemplateName", "", spot))
    return tuple(names), tuple(configurations)


def claim_templates(value: Json, where: str) -> list[str]:
    """Give the templates that a configuration of resource claims, or a list of them, names.

    Raises:
        SpecError: it is none.
    """
    if value is None:
        return []
    found = []
    for each in value if isinstance(value, list) else [value]:
        entry = mapping(each, where, ("resourceClaimTemplateName",))
        found.append(object_name(entry.get("resourceClaimTemplateName"), where))
    return found


def _identity(value: Json, where: str) -> Identity:
    entry = mapping(value, where, ("runAsUser", "runAsGroup", "runAsNonRoot"))
    return Identity(
        _integer(entry.get("runAsUser"), f"{where}.runAsUser"),
        _integer(entry.get("runAsGroup"), f"{where}.runAsGroup"),
        _optional(entry.get("runAsNonRoot"), f"{where}.runAsNonRoot"),
    )
