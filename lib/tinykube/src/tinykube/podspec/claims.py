"""The claims of a pod: those that it names, and those that are made for its ephemeral volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tinykube.podspec.placement import LABEL_SELECTOR
from tinykube.schema import Fields, Many, Refused, Table

SPEC: Final = Fields(
    {
        "accessModes": Many("str"),
        "resources": Fields({"requests": Table("quantity"), "limits": Table("quantity")}),
        "storageClassName": "str",
        "volumeMode": "str",
        "volumeName": "str",
        "selector": LABEL_SELECTOR,
        "dataSource": Refused("volumes cannot be filled from a source here"),
        "dataSourceRef": Refused("volumes cannot be filled from a source here"),
        "volumeAttributesClassName": Refused("volume attributes are not known here"),
    },
    optional=("storageClassName", "volumeMode"),
    always=("resources",),
)
"""What a claim asks for."""
EPHEMERAL: Final = Fields(
    {
        "volumeClaimTemplate": Fields(
            {
                "metadata": Fields({"labels": Table("str"), "annotations": Table("str")}),
                "spec": SPEC,
            },
            always=("spec",),
        )
    }
)
"""A volume that is made for its pod."""


def claimed(pod: Mapping[str, Any]) -> Iterator[str]:
    """The names of the claims that a pod mounts."""
    for volume in pod["spec"].get("volumes") or ():
        if "ephemeral" in volume:
            yield of_volume(pod, volume["name"])
        elif found := volume.get("persistentVolumeClaim"):
            yield found.get("claimName", "")


def of_volume(pod: Mapping[str, Any], volume: str) -> str:
    """The name of the claim of an ephemeral volume, as Kubernetes has it."""
    return f"{pod['metadata']['name']}-{volume}"


def ephemeral(pod: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The ephemeral volumes of a pod: the path of each one's template, and the volume."""
    for index, volume in enumerate(pod["spec"].get("volumes") or ()):
        if "ephemeral" in volume:
            yield f"spec.volumes[{index}].ephemeral.volumeClaimTemplate", volume


def made_for(claim: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """True if a claim is of a pod's own; one that somebody else made is not its to use."""
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(each.get("controller") and each["uid"] == pod["metadata"]["uid"] for each in owners)
