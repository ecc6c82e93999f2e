"""Workspaces of pipelines, and tasks that make and delete claims: what specs say of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from .errors import NotSupportedError, SpecError
from .fields import list_of, mapping, string
from .kubernetes import Workspace
from .model import ClaimTask, Inputs, Json, Outputs, ParameterType

NONE: Final = (
    "the pipeline has no workspace; give it one by "
    "dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size=...))"
)
ACCESS_MODES: Final = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_SIZE: Final = re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?([KMGTPE]i?)?")
_PATCH: Final = (
    "accessModes",
    "resources",
    "selector",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
    "volumeName",
)
_CREATE: Final = {
    "access_modes": ParameterType.LIST,
    "annotations": ParameterType.STRUCT,
    "data_source": ParameterType.STRUCT,
    "pvc_name": ParameterType.STRING,
    "pvc_name_suffix": ParameterType.STRING,
    "size": ParameterType.STRING,
    "storage_class_name": ParameterType.STRING,
    "volume_name": ParameterType.STRING,
}
_DELETE: Final = {"pvc_name": ParameterType.STRING}


def read(platform_spec: Json) -> Workspace | None:
    """Read what a platform spec says of the workspace; None if it says nothing.

    Raises:
        SpecError: a setting is wrong; the message names its place.
        NotSupportedError: it asks for what is not built.
    """
    where, found = "platform spec", mapping(platform_spec, "platform spec")
    for part in ("platforms", "kubernetes", "pipelineConfig"):
        where = f"{where}.{part}"
        found = mapping(found.get(part), where)
    where = f"{where}.workspace"
    if found.get("workspace") is None:
        return None
    data = mapping(found["workspace"], where, ("size", "kubernetes"))
    size = string(data.get("size"), f"{where}.size", required=True)
    if not _SIZE.fullmatch(size):
        raise SpecError(f"{where}.size", f"{size[:80]!r} is no size such as '10Gi'")
    kubernetes = mapping(data.get("kubernetes"), f"{where}.kubernetes", ("pvcSpecPatch",))
    return Workspace(
        size, _patch(kubernetes.get("pvcSpecPatch"), f"{where}.kubernetes.pvcSpecPatch")
    )


def _patch(value: Json, where: str) -> Mapping[str, Json]:
    for source in ("dataSource", "dataSourceRef"):
        if source in mapping(value, where):
            raise NotSupportedError(where, f"a workspace that is made from other data ({source})")
    patch = mapping(value, where, _PATCH)
    if "accessModes" in patch:
        access_modes(patch["accessModes"], f"{where}.accessModes")
    if "storageClassName" in patch:
        # "" would be a claim that waits for a volume that somebody makes by hand.
        string(patch["storageClassName"], f"{where}.storageClassName", required=True)
    if patch.get("volumeMode") not in (None, "Filesystem"):
        raise SpecError(f"{where}.volumeMode", "a workspace holds files: Filesystem is needed")
    return patch


def access_modes(value: Json, where: str) -> list[str]:
    """Give how a claim may be mounted; SpecError if these are no access modes of Kubernetes."""
    modes = [string(each, where) for each in list_of(value, where)]
    if not modes or not set(modes) <= set(ACCESS_MODES):
        raise SpecError(where, f"one or more of {', '.join(ACCESS_MODES)} are needed")
    return modes


def check_claim_task(body: ClaimTask, inputs: Inputs, outputs: Outputs, where: str) -> None:
    """See that a component that makes or deletes a claim has kfp-kubernetes' inputs and outputs.

    Raises:
        SpecError: it has others.
    """
    known = _DELETE if body.deletes else _CREATE
    needed = {"pvc_name"} if body.deletes else {"access_modes", "size"}
    given = {name: each.type for name, each in inputs.parameters.items()}
    if inputs.artifacts or not given.items() <= known.items() or not needed <= given.keys():
        raise SpecError(
            f"{where}.inputDefinitions",
            f"it takes {', '.join(sorted(known))}, as kfp.kubernetes defines them",
        )
    produced = {} if body.deletes else {"name": ParameterType.STRING}
    if outputs.artifacts or dict(outputs.parameters) != produced:
        raise SpecError(
            f"{where}.outputDefinitions",
            f"it gives {', '.join(produced) or 'nothing'}, as kfp.kubernetes defines it",
        )
