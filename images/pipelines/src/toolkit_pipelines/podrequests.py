"""The pod of a step: what it mounts, what its launcher reads, what its author asks for."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Final

from toolkit_jobs import ClaimMount, EmptyMount, Mount, PodRequest, Variable

from . import disks, installs, podspec, taskconfig, workspaces
from .documents import Kind, lasting
from .endings import Endings
from .environments import (
    LABEL_ENVIRONMENT,
    LAUNCHER,
    MOUNT,
    SITE,
    Environments,
    launcher_mounts,
)
from .events import Json, RunCreated, Values
from .options import EngineOptions
from .provenance import Provenance
from .reserved import Reserved
from .root import Attempt, OutputError, PipelineRoot
from .spec import placeholders
from .spec.errors import SpecError
from .spec.model import Constant, Container, TaskConfigField
from .step import LABEL_RUN, Step
from .steps import PREFIX
from .steps.routes import TOKEN
from .workspaces import Workspaces

log = logging.getLogger(__name__)

LABEL_SALT: Final = "toolkit.canonical.com/attempt"
RETRY_INDEX: Final = "KFP_RETRY_INDEX"
"""The variable in which a step of KFP finds the number of its attempt, from 0."""


class PodRequests:
    """Makes requests for pods, and the input files that their launchers read.

    Args:
        reserved: knows what steps may not read.
        root: where the files lie.
        environments: has what steps install.
        options: how steps run.
        workspaces: makes the workspace of a run.
    """

    def __init__(
        self,
        reserved: Reserved,
        root: PipelineRoot,
        environments: Environments,
        options: EngineOptions,
        workspaces: Workspaces,
        endings: Endings,
    ) -> None:
        self._root = root
        self._environments = environments
        self._options = options
        self._workspaces = workspaces
        self._endings = endings
        self._reserved = reserved

    async def make(self, step: Step) -> PodRequest:
        """Prepare an attempt and give the request for its pod; again and again if need be.

        Raises:
            BuildError: what it installs cannot be had.
            ClaimError: its run's workspace cannot be made.
            SpecError: what it asks for cannot be, or may not be read.
            OSError: its files cannot be written.
        """
        component, files = step.component, step.files
        container = component.body
        assert isinstance(container, Container)  # noqa: S101 - only these have pods
        inputs = step.task.inputs
        given = step.pipeline.task(step.task.path)
        constants = step.placeholders

        def text(value: str) -> str:
            return placeholders.fill_text(value, inputs.parameters, constants)

        image = self._image(step, container)
        install = installs.read(container.command)
        workspace = [ClaimMount(workspaces.MOUNT, claim) for claim in workspaces.claims(step)]
        own = container
        if component.passthroughs or taskconfig.inputs(component):
            # What is handed on is judged as what the pod has: the step is told of it.
            configuration, objects = self._configuration(step, container, text, workspace)
            await self._reserved.check(objects)
            given_on = dict.fromkeys(taskconfig.inputs(component), configuration)
            inputs = Values({**inputs.parameters, **given_on}, inputs.artifacts)
            own = taskconfig.kept(component, container)
        transfer = self._options.transfer
        environment = ""
        labels = {LABEL_RUN: step.created.run_id, LABEL_SALT: files.salt}
        if transfer is None and install.groups:
            key = labels[LABEL_ENVIRONMENT] = self._environments.key(image, install.groups)
            # From here on it stays, until the attempt has been cleaned up after.
            self._environments.use(step.task.pod, key)
            environment = await self._environments.ensure(image, install.groups)
        remote = transfer is not None and bool(install.groups)
        task = {
            "version": "1",
            "root": self._root.mount,
            "folder": f"{self._root.mount}/{files.folder}",
            "executor_input": self._root.executor_input(files, component, inputs),
            "output_types": {key: str(kind) for key, kind in component.outputs.parameters.items()},
            "command": [*install.command, *container.args],
            "constants": constants,
            # What the author wrote may hold placeholders. What a user gave or a task produced is
            # data, and stays as it is.
            "written_inputs": [
                key
                for key, source in given.parameters.items()
                if isinstance(source, Constant) and key in inputs.parameters
            ],
            "environment": SITE if environment or remote else None,
            # Without a volume of environments, a step installs for itself.
            "install": self._environments.request(install.groups) if remote else None,
            # For the engine, which may know another map of images by the time the step ends.
            "image": image,
            "part_size": transfer.part_size if transfer is not None else 0,
            "certificates": transfer.certificates if transfer is not None else "",
        }
        if step.gives is not None:
            self._check_copied(inputs)
        imported = self._imported(files, inputs)
        here = disks.small(inputs) and self._root.documents.near(files.folder, Kind.INPUT)
        await lasting(f"pod {step.task.pod}", lambda: self._prepare(files, task), here=here)
        mounts, arguments = self._files(files, imported)
        if environment:
            mounts.append(
                ClaimMount(MOUNT, self._options.environments_claim, environment, read_only=True)
            )
        elif remote:
            mounts.append(EmptyMount(MOUNT))
        if workspace:
            await self._workspaces.ensure(step)
        if taskconfig.on_pod(component, TaskConfigField.VOLUMES):
            mounts += workspace
        run_id = step.created.run_id
        plain = PodRequest(
            name=step.task.pod,
            image=image,
            command=("python3", LAUNCHER, *arguments),
            env={
                **self._tracking(step.created),
                RETRY_INDEX: str(step.task.attempt),
                **{key: text(value) for key, value in own.env.items()},
            },
            secret_env={}
            if transfer is None
            else {TOKEN: transfer.tokens.issue(run_id, step.task.pod)},
            mounts=tuple(mounts),
            labels=labels,
            annotations={"toolkit.canonical.com/task": step.task.path},
            # A copy needs no GPU.
            auxiliary=step.gives is not None,
        )
        request, objects = podspec.extend(plain, own, text, step.look_up)
        await self._reserved.check(objects)
        images = self._options.images
        before = (
            dataclasses.replace(each, image=images.of(each.image)) for each in request.before
        )
        return dataclasses.replace(request, before=tuple(before))

    @property
    def near(self) -> bool:
        """True if what `provenance` does takes no time worth a thread."""
        return self._options.transfer is not None or self._environments.near

    def _prepare(self, files: Attempt, task: Mapping[str, Json]) -> None:
        """Make room for an attempt and listen to it; blocking."""
        self._root.prepare(files, task)
        self._endings.watch(files.folder)

    def provenance(self, step: Step, packages: tuple[str, ...], image: str) -> Provenance:
        """Give what a step that has ended well ran in; blocking.

        Args:
            step: the step.
            packages: what it says itself that it had, if it did.
            image: what its pod was given; "" if that is not known any more.

        Raises:
            StoreError: the database that has its input does not answer.
        """
        container = step.component.body
        assert isinstance(container, Container)  # noqa: S101 - only these have pods
        image = image or self._ran(step.files) or self._image(step, container)
        if self._options.transfer is None:
            packages = self._environments.lock(image, installs.read(container.command).groups)
        return Provenance(image, packages)

    def _ran(self, files: Attempt) -> str:
        """Give the image that an attempt was given, "" if its input does not say."""
        try:
            text = self._root.documents.read(files.folder, Kind.INPUT)
            return str(json.loads(text).get("image", "")) if text is not None else ""
        except (OSError, ValueError) as error:
            # The step has ended well all the same.
            log.warning("the input of %s cannot be read: %s", files.folder, error)
            return ""

    def _image(self, step: Step, container: Container) -> str:
        """Give the image of a step's pod."""
        if step.runs is not None:
            # What the service runs for itself is the operator's own choice.
            return container.image
        inputs = step.task.inputs
        written = placeholders.fill_text(container.image, inputs.parameters, step.placeholders)
        return self._options.images.of(written)

    def _configuration(
        self, step: Step, container: Container, text: podspec.Text, workspace: list[ClaimMount]
    ) -> tuple[Json, podspec.Objects]:
        """Give a task's configuration as it is handed on, and the objects that it names."""
        bare = PodRequest(
            name=step.task.pod,
            image=container.image,
            command=(),
            env={key: text(value) for key, value in container.env.items()},
            mounts=tuple(workspace),
        )
        asked, objects = podspec.extend(bare, container, text, step.look_up)
        found = taskconfig.handed_on(
            step.component, container.kubernetes, asked, self._options.gpu_resource
        )
        return found, objects

    def _imported(self, files: Attempt, inputs: Values) -> list[str]:
        """Give the folders of what a step gets that other runs made."""
        try:
            imported = self._root.imported(files, inputs)
        except OutputError as error:
            raise SpecError("", f"what was imported cannot be read: {error}") from error
        if self._options.transfer is None:
            for folder in imported:
                if not (self._root.folder / folder).is_dir():
                    raise SpecError("", f"what was imported is not there (any more): {folder!r}")
        return imported

    def _check_copied(self, inputs: Values) -> None:
        """See that what is to be copied into the workspace is where steps have files."""
        for listed in inputs.artifacts.values():
            for each in listed:
                if self._root.below(each.uri) is None:
                    raise SpecError(
                        "",
                        f"only artifacts below {self._root.uri} can be copied into the "
                        f"workspace, not {each.uri[:200]!r}: nothing is fetched from elsewhere",
                    )

    def _files(self, files: Attempt, imported: Iterable[str]) -> tuple[list[Mount], list[str]]:
        """Give how a step has its files, and what its launcher is told of them."""
        mount = self._root.mount
        mounts: list[Mount] = list(launcher_mounts(self._options.step_image))
        transfer, claim = self._options.transfer, self._options.claim
        if transfer is not None:
            mounts.append(EmptyMount(mount))
            return mounts, ["remote", f"{transfer.address}{PREFIX}"]
        mounts += [
            ClaimMount(f"{mount}/{files.run}", claim, files.run, read_only=True),
            ClaimMount(f"{mount}/{files.folder}", claim, files.folder),
            *(ClaimMount(f"{mount}/{each}", claim, each, read_only=True) for each in imported),
        ]
        return mounts, ["run", f"{mount}/{files.input}"]

    def _tracking(self, created: RunCreated) -> dict[str, Variable]:
        tracking = self._options.tracking
        if tracking is None:
            return {}
        env: dict[str, Variable] = {
            "MLFLOW_TRACKING_URI": tracking.uri,
            "MLFLOW_EXPERIMENT_NAME": created.experiment_name,
        }
        if tracking.token is not None:
            env["MLFLOW_TRACKING_TOKEN"] = tracking.token
        return env
