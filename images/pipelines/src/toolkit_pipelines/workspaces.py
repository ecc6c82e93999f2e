"""Workspaces: a volume that the steps of a run share, from its first step to its end.

The claim is the run's: its name follows from the run's, and it bears the run's id. It is made
when the first step needs it, once: that it has been made is written down beside the run's files,
so that one that somebody deletes is not replaced by an empty one in the middle of a run. A run
that is retried has another one, of another name: what was in the first is lost, and `reset` has
those steps run again that used it. It is deleted before the run's end is recorded; an engine that
is killed in between finds the run under way and does it again. While Kubernetes is away the run
ends without that: the claim is deleted later, and one that an engine was killed over is found by
its labels when the next one starts.

Who has it `workspaceuse` tells. Importers copy artifacts into it in a pod.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import logging
from collections.abc import Callable
from typing import Any, Final

from toolkit_jobs import RefusedError

from . import naming
from .claims import RESOURCE, ClaimError
from .disposal import report
from .documents import Kind, lasting
from .environments import LAUNCHER
from .events import Values
from .pods import Pods, persist
from .resolution import Resolver
from .root import PipelineRoot
from .spec.kubernetes import WORKSPACE_PATH
from .spec.model import (
    ArtifactInput,
    Component,
    Container,
    Importer,
    Inputs,
    Outputs,
    Workspace,
)
from .step import LABEL_RUN, Step
from .workspaceuse import uses

log = logging.getLogger(__name__)

MOUNT: Final = WORKSPACE_PATH
ARTIFACTS: Final = f"{MOUNT}/.artifacts"
"""Where artifacts are in it: below this, at the paths that they have elsewhere in a step."""
_INPUT: Final = "artifact"
_PATIENCE: Final = 10.0
"""Seconds that the end of a run waits for its workspace to be deleted."""
_SUFFIX: Final = "-kfp-workspace"
RECORD: Final = "workspace.json"
"""The file in a run's folder that says that its workspace has been made."""


def name(pipeline: str, run_id: str, retries: int = 0) -> str:
    """Give the name of a run's workspace: KFP's, the run's and a suffix.

    Args:
        pipeline: the pipeline's name.
        run_id: the run.
        retries: how often the run has been retried.
    """
    number = f"-{retries}" if retries else ""
    return f"{naming.resource_name(pipeline, run_id)}{number}{_SUFFIX}"


def claims(step: Step) -> list[str]:
    """Give the names of the claims by which a step has its workspace."""
    return [_claim(step)] if needed(step) else []


def _claim(step: Step) -> str:
    return name(step.pipeline.name, step.created.run_id, step.state.retries)


def needed(step: Step) -> bool:
    """Tell whether a step has the workspace of its run."""
    if step.pipeline.workspace is None:
        return False
    return step.gives is not None or uses(step.component, step.task.inputs)


def importing(step: Step, image: str) -> Step:
    """Give a step as its pod runs it: an importer as a container that copies its artifact.

    Args:
        step: any step.
        image: what such a container runs; the launcher and Python are in it.
    """
    component = step.component
    importer = component.body
    if not isinstance(importer, Importer):
        return step
    task = step.pipeline.task(step.task.path)

    def none(path: str) -> Any:
        raise AssertionError(f"an importer asks for no other task: {path}")

    resolver = Resolver(step.created.run_id, step.constants, none)
    gives = resolver.imported(step.task.path, task, component, importer, step.task.inputs)
    ((artifact,),) = gives.artifacts.values()
    source = PipelineRoot.local(artifact.uri)
    copied = dataclasses.replace(artifact, metadata={})
    (kind,) = (each.type for each in component.outputs.artifacts.values())
    command = ("python3", LAUNCHER, "copy", source, f"{ARTIFACTS}{source}")
    return dataclasses.replace(
        step,
        task=dataclasses.replace(step.task, inputs=Values({}, {_INPUT: (copied,)})),
        runs=Component(
            component.name,
            Inputs({}, {_INPUT: ArtifactInput(kind)}),
            Outputs(),
            Container(image, command),
        ),
        gives=gives,
    )


class Workspaces:
    """The workspaces of the runs that are driven.

    Args:
        pods: the Kubernetes API.
        root: has the documents of runs; there it is written down that a workspace has been made.
    """

    def __init__(self, pods: Pods, root: PipelineRoot) -> None:
        self._pods = pods
        self._root = root
        # By claim.
        self._making: dict[str, asyncio.Task[None]] = {}
        self._releasing: dict[str, asyncio.Task[None]] = {}

    def tasks(self) -> list[asyncio.Task[None]]:
        """Give what is under way."""
        return [*self._making.values(), *self._releasing.values()]

    async def ensure(self, step: Step) -> str:
        """Give the name of the claim of a run's workspace, which is made if it never was.

        Raises:
            ClaimError: Kubernetes does not make it.
        """
        run_id, workspace = step.created.run_id, step.pipeline.workspace
        assert workspace is not None  # noqa: S101 - needed() looked
        claim = _claim(step)
        making = self._making.get(claim)
        if making is None:
            coroutine = self._make(claim, run_id, workspace, step.files.run)
            making = self._making[claim] = asyncio.create_task(coroutine, name=f"claim-{claim}")
            # Whoever waited for it may have been stopped.
            making.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            # The claim must not come about unnoticed when one step is stopped.
            await asyncio.shield(making)
        except ClaimError:
            # The next attempt tries again.
            if self._making.get(claim) is making:
                del self._making[claim]
            raise
        return claim

    async def _make(self, claim: str, run_id: str, workspace: Workspace, folder: str) -> None:
        documents = self._root.documents
        try:
            known = await lasting(f"claim {claim}", lambda: documents.read(folder, Kind.WORKSPACE))
        except OSError as error:
            raise ClaimError(
                f"the record of the run's workspace cannot be read: {error}"
            ) from error
        if known is not None and json.loads(known)["claim"] == claim:
            return
        asked = workspace.claim
        resources = dict(asked.get("resources") or {})
        resources["requests"] = {**(resources.get("requests") or {}), "storage": workspace.size}
        body = {"accessModes": ["ReadWriteOnce"], **asked, "resources": resources}
        metadata = {"labels": {LABEL_RUN: run_id}}
        try:
            await persist(
                f"claim {claim}",
                lambda: self._pods.create_claim(claim, body, metadata, own=True),
            )
        except RefusedError as error:
            if error.reason != "AlreadyExists" or not await self._own(claim, run_id):
                raise ClaimError(f"the run's workspace cannot be made: {error}") from error
        try:
            record = json.dumps({"claim": claim})
            await lasting(
                f"claim {claim}", lambda: documents.write(folder, Kind.WORKSPACE, record)
            )
        except OSError as error:
            raise ClaimError(f"the run's workspace cannot be recorded: {error}") from error

    async def release(self, pipeline: str, run_id: str, retries: int = 0) -> None:
        """Delete the claim of a run's workspace; it goes on by itself if that takes long.

        What still runs in it keeps it until it has ended. With it goes what is left of those that
        the run had before it was retried.
        """
        releases = []
        for number in range(retries + 1):
            claim = name(pipeline, run_id, number)
            releasing = self._releasing.get(claim)
            if releasing is None:
                releasing = self._releasing[claim] = asyncio.create_task(
                    self._release(claim, run_id), name=f"release-{claim}"
                )
                releasing.add_done_callback(functools.partial(self._released, claim))
                releasing.add_done_callback(report)
            releases.append(releasing)
        await asyncio.wait(releases, timeout=_PATIENCE)

    def _released(self, claim: str, releasing: asyncio.Task[None]) -> None:
        del releasing
        self._releasing.pop(claim, None)

    async def sweep(self, going: Callable[[str], bool]) -> None:
        """Delete the workspaces of runs that have ended, over which an engine was killed.

        Args:
            going: tells whether a run, by its id, is being driven.
        """
        try:
            found = await persist("the workspaces", self._pods.own_claims)
        except RefusedError as error:
            log.warning("workspaces that were left are not looked for: %s", error)
            return
        for claim, labels in found.items():
            run_id = labels.get(LABEL_RUN, "")
            if run_id and claim.endswith(_SUFFIX) and not going(run_id):
                await self._release(claim, run_id)

    async def _release(self, claim: str, run_id: str) -> None:
        making = self._making.pop(claim, None)
        if making is not None:
            # So that it cannot come about after it was looked for.
            await asyncio.wait([making])
        try:
            if uid := await self._own(claim, run_id):
                await persist(f"claim {claim}", lambda: self._pods.delete_claim(claim, uid))
        except RefusedError as error:
            log.warning("the workspace %s of run %s stays: %s", claim, run_id, error)

    async def _own(self, claim: str, run_id: str) -> str:
        """Give the uid of a claim if it is there and the run's, else ""."""
        found = await persist(f"claim {claim}", lambda: self._pods.metadata(RESOURCE, claim))
        if (found.get("labels") or {}).get(LABEL_RUN) != run_id:
            return ""
        return str(found["uid"])
