"""Tasks that make and delete claims: what `CreatePVC` and `DeletePVC` of `kfp.kubernetes` do.

The service does it itself, after the attempt's start is recorded, so every act must come out the
same if it is done again by an engine that was started after a kill:

- a claim that is made has a name that follows from its run and task, and bears the task's id: one
  that is there and bears it was made before, any other is somebody else's;
- which claim is deleted is written down with its uid before it is: one of another uid, made under
  the same name since, is let be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from toolkit_jobs import RefusedError

from . import naming
from .documents import Kind, lasting
from .events import Json, Values
from .pods import Pods, persist
from .reserved import Reserved
from .root import Attempt, PipelineRoot
from .spec import SpecError
from .spec.model import ClaimTask
from .spec.platform import object_name
from .spec.workspaces import access_modes
from .step import LABEL_RUN, Step

RESOURCE: Final = "persistentvolumeclaims"
LABEL_TASK: Final = "toolkit.canonical.com/task-id"
_WHERE: Final = "inputs.parameters"
_SOURCE: Final = frozenset({"apiGroup", "kind", "name"})


class ClaimError(Exception):
    """A claim could not be made or deleted; the message has Kubernetes' words."""


class Claims:
    """Carries out tasks that make and delete claims.

    Args:
        pods: the Kubernetes API.
        root: where it is written down what is deleted.
        reserved: knows which claims tasks may neither delete nor copy.
    """

    def __init__(self, pods: Pods, root: PipelineRoot, reserved: Reserved) -> None:
        self._pods = pods
        self._root = root
        self._reserved = reserved

    async def carry_out(self, step: Step) -> Values:
        """Do what a task asks for and give its outputs; again and again if need be.

        Raises:
            ClaimError: Kubernetes does not do it.
            SpecError: what is asked for cannot be, or the claim is not for steps.
            OSError: it cannot be written down what is deleted.
        """
        body = step.component.body
        assert isinstance(body, ClaimTask)  # noqa: S101 - no others are carried out
        if body.deletes:
            await self._delete(step)
            return Values()
        return Values({"name": await self._create(step)})

    async def _create(self, step: Step) -> str:
        given = step.task.inputs.parameters
        run_id, task = step.created.run_id, naming.task_id(step.created.run_id, step.task.path)
        name, spec = _name(given, task), _spec(given)
        metadata = {
            "labels": {LABEL_RUN: run_id, LABEL_TASK: task},
            "annotations": _annotations(given.get("annotations")),
        }
        if copied := (spec.get("dataSource") or {}).get("name"):
            found = await self._metadata(copied)
            self._reserved.judge(RESOURCE, copied, found)
        try:
            await persist(
                f"claim {name}",
                lambda: self._pods.create_claim(name, spec, metadata, own=False),
            )
        except RefusedError as error:
            if error.reason != "AlreadyExists":
                raise ClaimError(f"the claim cannot be made: {error}") from error
            if ((await self._metadata(name)).get("labels") or {}).get(LABEL_TASK) != task:
                raise ClaimError(f"the claim cannot be made: {error}") from error
        return name

    async def _delete(self, step: Step) -> None:
        name = object_name(step.task.inputs.parameters.get("pvc_name"), f"{_WHERE}.pvc_name")
        uid = await lasting(f"claim {name}", lambda: self._recorded(step.files))
        if not uid:
            found = await self._metadata(name)
            if not found:
                raise ClaimError(f'the claim cannot be deleted: {RESOURCE} "{name}" not found')
            self._reserved.judge(RESOURCE, name, found)
            uid = str(found["uid"])
            record = {"deletes": name, "uid": uid}
            await lasting(f"claim {name}", lambda: self._root.prepare(step.files, record))
        try:
            await persist(f"claim {name}", lambda: self._pods.delete_claim(name, uid))
        except RefusedError as error:
            raise ClaimError(f"the claim cannot be deleted: {error}") from error

    def _recorded(self, files: Attempt) -> str:
        """Give the uid of the claim that the attempt deletes, if that was written down."""
        text = self._root.documents.read(files.folder, Kind.INPUT)
        return str(json.loads(text)["uid"]) if text is not None else ""

    async def _metadata(self, name: str) -> Mapping[str, Any]:
        try:
            return await persist(f"claim {name}", lambda: self._pods.metadata(RESOURCE, name))
        except RefusedError as error:
            raise ClaimError(f"the claim cannot be looked at: {error}") from error


def _name(given: Mapping[str, Json], task: str) -> str:
    """Give the name of a claim; without `pvc_name` it is the task's id and the suffix."""
    name, suffix = given.get("pvc_name") or "", given.get("pvc_name_suffix") or ""
    if name and suffix:
        raise SpecError(_WHERE, "only one of pvc_name and pvc_name_suffix may be given")
    return object_name(name or f"{task}{suffix}", f"{_WHERE}.pvc_name")


def _spec(given: Mapping[str, Json]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "accessModes": access_modes(given.get("access_modes"), f"{_WHERE}.access_modes"),
        "resources": {"requests": {"storage": given.get("size")}},
    }
    # "" is a class to Kubernetes: none, for a volume that somebody has made by hand.
    if (storage_class := given.get("storage_class_name")) is not None:
        spec["storageClassName"] = storage_class
    if volume := given.get("volume_name"):
        spec["volumeName"] = volume
    if source := given.get("data_source"):
        spec["dataSource"] = _source(source)
    return spec


def _source(source: Mapping[str, Json]) -> dict[str, Json]:
    where = f"{_WHERE}.data_source"
    if not source.keys() <= _SOURCE or source.get("kind") != "PersistentVolumeClaim":
        # Of a snapshot nobody can tell here whose claim it is of.
        raise SpecError(where, "only another claim can be copied (kind: PersistentVolumeClaim)")
    object_name(source.get("name"), f"{where}.name")
    return {key: value for key, value in source.items() if value}


def _annotations(given: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in (given or {}).items():
        if not isinstance(value, str):
            raise SpecError(f"{_WHERE}.annotations", f"{name[:80]!r} is not a text")
        found[name] = value
    return found
