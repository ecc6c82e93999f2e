"""What a task hands on to a workload that it launches: its own configuration (`dsl.TaskConfig`).

A component says of each part of the configuration whether it is handed on, and whether the task's
own pod has it as well (KFP's `taskConfigPassthroughs`). A part that it does not name is the pod's
alone. What is handed on is a value of fragments of a pod's spec, as Kubernetes has them; the
volumes bear the names that KFP's backend gives them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from toolkit_jobs import GpuOptions, PodOptions, PodRequest
from toolkit_jobs.pod import manifest

from . import podspec
from .spec.kubernetes import KubernetesSettings
from .spec.model import Accelerator, Component, Container, Json, ParameterType, Resources
from .spec.model import TaskConfigField as Field

_SETTINGS: Final[Mapping[Field, tuple[str, ...]]] = {
    Field.ENV: ("secret_variables", "config_map_variables", "field_variables"),
    Field.AFFINITY: ("node_affinity", "node_affinities", "pod_affinity"),
    Field.TOLERATIONS: ("tolerations",),
    Field.NODE_SELECTOR: ("node_selector",),
    Field.VOLUMES: (
        "secret_files",
        "config_map_files",
        "claims",
        "empty_folders",
        "ephemeral_folders",
    ),
}
"""What of the platform spec each part of the configuration is."""


def inputs(component: Component) -> list[str]:
    """Give the names of the inputs that get the configuration."""
    parameters = component.inputs.parameters
    return [name for name, each in parameters.items() if each.type is ParameterType.TASK_CONFIG]


def on_pod(component: Component, field: Field) -> bool:
    """Tell whether a task's own pod has a part of the configuration."""
    return component.passthroughs.get(field, True)


def kept(component: Component, container: Container) -> Container:
    """Give a container with what its own pod has of the configuration."""
    gone = {field for field in Field if not on_pod(component, field)}
    settings, untouched = container.kubernetes, KubernetesSettings()
    changes: dict[str, Any] = {
        name: getattr(untouched, name) for field in gone for name in _SETTINGS.get(field, ())
    }
    return dataclasses.replace(
        container,
        env={} if Field.ENV in gone else container.env,
        # The GPUs are for what it launches: the operator's default is not for the launcher either.
        resources=Resources(accelerator=Accelerator(count="0"))
        if Field.RESOURCES in gone
        else container.resources,
        kubernetes=dataclasses.replace(settings, **changes),
    )


def handed_on(
    component: Component, settings: KubernetesSettings, asked: PodRequest, resource: str
) -> dict[str, Json]:
    """Give the configuration as `dsl.TaskConfig` reads it.

    Args:
        component: says which parts are handed on.
        settings: the task's, as they are written.
        asked: a request with all that the task asks for and nothing else.
        resource: of a GPU whose type the task leaves to the operator.
    """
    options = PodOptions(namespace="", labels={}, gpus=GpuOptions(resource=resource))
    spec = manifest(asked, options)["spec"]
    container = spec["containers"][0]
    paths = podspec.volume_names(settings, asked.mounts)
    renamed = _names(paths, container["volumeMounts"])
    parts: dict[Field, dict[str, Json]] = {
        Field.RESOURCES: {"resources": container.get("resources", {})},
        Field.ENV: {"env": container["env"]},
        Field.AFFINITY: {"affinity": spec.get("affinity")},
        Field.TOLERATIONS: {"tolerations": spec.get("tolerations")},
        Field.NODE_SELECTOR: {"nodeSelector": spec.get("nodeSelector")},
        Field.VOLUMES: {
            kind: [{**each, "name": renamed[each["name"]]} for each in listed]
            for kind, listed in (
                ("volumes", spec["volumes"]),
                ("volumeMounts", container["volumeMounts"]),
            )
        },
    }
    found = {
        name: value
        for field in component.passthroughs
        for name, value in parts[field].items()
        if value
    }
    # KFP's backend always has this one.
    return {"resources": {}, **found}


def _names(paths: Mapping[str, str], placed: list[dict[str, Any]]) -> dict[str, str]:
    """Give KFP's names of volumes by ours; ours stays where two would have the same."""
    ours = {each["mountPath"]: each["name"] for each in placed}
    found = {name: name for name in ours.values()}
    for name, path in paths.items():
        if found[ours[path]] == ours[path]:
            found[ours[path]] = name
    return found
