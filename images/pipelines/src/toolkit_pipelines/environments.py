"""Environments: packages that steps ask for, installed once and kept.

An environment is a folder on the environments volume, named by a digest of its owner, the image
and the packages asked for. A pod of the user's own image builds it with uv, so that wheels fit
that image's Python. It is built beside its place and renamed into it, so one that is there is
whole; one build at a time for each. Steps mount it read-only, and only those of its owner.

An environment is kept, within the bound that the operator sets (`trimming`): `scikit-learn`
without a version means what was newest when it was first asked for. So one that was removed may
come back with later versions.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from toolkit_jobs import ClaimMount, ImageMount, PodPhase, PodRequest, PodStatus, RefusedError

from . import confined, disks, naming, provenance
from .disposal import report
from .installs import Group
from .pods import Ends, Pods, persist
from .trimming import BUILD, CACHE, Trimming

log = logging.getLogger(__name__)

MOUNT: Final = "/toolkit/environment"
"""Where an environment is in a step and while it is built: what is installed may hold its path."""
SITE: Final = f"{MOUNT}/site"
LAUNCHER: Final = "/toolkit/launcher"
BIN: Final = "/toolkit/bin"
LABEL_ENVIRONMENT: Final = "toolkit.canonical.com/environment"
"""On the pod of a step that asks for packages: the key of their environment."""
_CACHE: Final = "/toolkit/cache"
_RECORD: Final = "result.json"
_PREFIX: Final = "environment-"
_KIND: Final = "toolkit.canonical.com/kind"
_ENVIRONMENT: Final = "environment"
_FORMAT: Final = 1
_DEADLINE: Final = 3600


class BuildError(Exception):
    """Packages could not be installed; the message is for the pipeline's author."""


@dataclass(frozen=True, slots=True)
class EnvironmentOptions:
    """Where environments are and how they are built.

    Attributes:
        folder: the environments volume in this process.
        claim: the claim of that volume.
        step_image: the image that holds the launcher and uv.
        owner: whose environments these are; others' are not shared.
        env: variables for the builds (`UV_DEFAULT_INDEX`, proxies), without secrets.
        limit: how much the owner's folder may take in bytes before environments are removed; 0
            for however much.
        keep_cache: whether the cache of downloads is never removed.
    """

    folder: Path
    claim: str
    step_image: str
    owner: str = "default"
    env: Mapping[str, str] = field(default_factory=dict)
    limit: int = 0
    keep_cache: bool = False


def launcher_mounts(step_image: str) -> tuple[ImageMount, ImageMount]:
    """Give the mounts of the launcher and of uv."""
    return (
        ImageMount(LAUNCHER, step_image, "opt/venv/share/toolkit-launcher"),
        ImageMount(BIN, step_image, "opt/venv/bin"),
    )


class Environments:
    """The environments of one owner."""

    def __init__(self, pods: Pods, options: EnvironmentOptions) -> None:
        self._pods = pods
        self._options = options
        self._ends = Ends(pods)
        self._owner = naming.slug(options.owner, 40) or "default"
        self._building: dict[str, asyncio.Task[str]] = {}
        # Keys of what builds for an engine that was killed, and nobody has asked for again.
        self._left: set[str] = set()
        self._trimming = Trimming(
            options.folder / self._owner,
            options.limit,
            keep_cache=options.keep_cache,
            building=lambda: {*self._building, *self._left},
        )
        self._trims: set[asyncio.Task[None]] = set()
        pods.subscribe(self._heard)

    @property
    def near(self) -> bool:
        """True if what `lock` does takes no time worth a thread."""
        return disks.near(self._options.folder)

    def use(self, pod: str, key: str) -> None:
        """Keep an environment for a pod, from before `ensure` until the pod leaves it."""
        self._trimming.use(pod, key)

    def leave(self, pod: str) -> None:
        """Let go of the environment of a pod that is gone, if it had one."""
        self._trimming.leave(pod)

    def tasks(self) -> list[asyncio.Task[None]]:
        """Give what is being removed just now."""
        return list(self._trims)

    def key(self, image: str, groups: Sequence[Group]) -> str:
        """Give the name of the environment for these packages in this image."""
        asked = [[each.requirements, each.no_deps, each.options] for each in groups]
        content = [_FORMAT, self._options.owner, image, asked]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]

    def ready(self, image: str, groups: Sequence[Group]) -> str | None:
        """Give the environment's folder on the volume, "" if none is needed, None if not built."""
        if not groups:
            return ""
        key = self.key(image, groups)
        place = self._place(key)
        if not _recorded(place):
            return None
        return "" if self._read(place / _RECORD)["satisfied"] else f"{self._owner}/{key}"

    def lock(self, image: str, groups: Sequence[Group]) -> tuple[str, ...]:
        """Give every package that steps in an environment can import; blocking.

        () if there is no such environment, or one that was built before packages were listed.
        """
        if not groups:
            return ()
        place = self._place(self.key(image, groups))
        if not _recorded(place):
            return ()
        try:
            return provenance.listed(self._read(place / _RECORD).get("packages"))
        except (OSError, ValueError, BuildError) as error:
            # The step runs in it all the same.
            log.warning("the packages of %s are not known: %s", place, error)
            return ()

    async def ensure(self, image: str, groups: Sequence[Group]) -> str:
        """Give the environment's folder on the volume, built if need be; "" if none is needed.

        Whoever works in it says so first (`use`).

        Raises:
            BuildError: the packages could not be installed. The next call tries again.
        """
        found = await disks.call(lambda: self._found(image, groups), here=self.near)
        if found is not None:
            return found
        key = self.key(image, groups)
        build = self._building.get(key)
        if build is None:
            build = asyncio.create_task(self._build(key, image, groups), name=f"build-{key}")
            self._building[key] = build
            build.add_done_callback(functools.partial(self._built, key))
        # One of those who wait may be cancelled; the others still want it.
        return await asyncio.shield(build)

    async def sweep(self, known: Mapping[str, PodStatus]) -> None:
        """Clean up after an engine that was killed, and take over what its pods use.

        The pods of builds that it took in are deleted, and what it was removing.

        Args:
            known: all pods of this service, by name.
        """
        # Before anything is awaited: what steps use is known before anyone leaves or chooses.
        for name, pod in known.items():
            if key := pod.labels.get(LABEL_ENVIRONMENT):
                self.use(name, key)
            if pod.labels.get(_KIND) == _ENVIRONMENT and not pod.phase.ended:
                self._left.add(name.removeprefix(_PREFIX))
        for name, pod in known.items():
            place = self._place(name.removeprefix(_PREFIX))
            built = pod.labels.get(_KIND) == _ENVIRONMENT and _ended(pod)
            if built and await asyncio.to_thread(_recorded, place):
                await persist(f"pod {name}", functools.partial(self._pods.delete, name, grace=0))
        await self._trimming.clear()
        await self._trimming.trim()

    def _heard(self, pod: PodStatus) -> None:
        if pod.phase.ended:
            self._left.discard(pod.name.removeprefix(_PREFIX))

    def _built(self, key: str, build: asyncio.Task[str]) -> None:
        self._building.pop(key, None)
        if build.cancelled():
            # The service stops.
            return
        task = asyncio.create_task(self._trimming.trim(), name=f"trim-{key}")
        self._trims.add(task)
        task.add_done_callback(self._trims.discard)
        task.add_done_callback(report)

    def _found(self, image: str, groups: Sequence[Group]) -> str | None:
        """Give the environment as `ready` does, and note that it is used; blocking."""
        found = self.ready(image, groups)
        if groups and found is not None:
            place = self._place(self.key(image, groups))
            try:
                os.utime(place)
            except OSError as error:
                # It works all the same, and may be removed sooner than others.
                log.warning("%s cannot be noted as used: %s", place, error)
        return found

    def _place(self, key: str) -> Path:
        return self._options.folder / self._owner / key

    async def _build(self, key: str, image: str, groups: Sequence[Group]) -> str:
        name = f"{_PREFIX}{key}"
        below = f"{self._owner}/{BUILD}{key}"
        folder = self._options.folder / below
        pod = await persist(f"pod {name}", lambda: self._pods.get(name))
        if _ended(pod) and not await asyncio.to_thread(_recorded, folder):
            # An engine was killed after it had taken in how that one ended.
            await persist(f"pod {name}", lambda: self._pods.delete(name, grace=0))
            pod = PodStatus(name, PodPhase.GONE)
        if pod.phase is PodPhase.GONE:
            await asyncio.to_thread(self._prepare, folder, groups)
        request = PodRequest(
            name=name,
            image=image,
            command=("python3", LAUNCHER, "build", f"{MOUNT}/request.json"),
            env={
                **self._options.env,
                "HOME": "/tmp",  # noqa: S108 - the container's own
                "TOOLKIT_UV": f"{BIN}/uv",
                "UV_CACHE_DIR": _CACHE,
                # An environment shares no file with the cache, nor with another one.
                "UV_LINK_MODE": "copy",
            },
            mounts=(
                *launcher_mounts(self._options.step_image),
                ClaimMount(MOUNT, self._options.claim, below),
                ClaimMount(_CACHE, self._options.claim, f"{self._owner}/{CACHE}"),
            ),
            labels={_KIND: _ENVIRONMENT},
            deadline=_DEADLINE,
            auxiliary=True,
        )
        try:
            ended = await self._ends.start(self._pods, request)
        except RefusedError as error:
            raise BuildError(f"the pod that installs packages was refused: {error}") from error
        try:
            return await asyncio.to_thread(self._settle, key, folder, groups, ended)
        finally:
            await persist(f"pod {name}", lambda: self._pods.delete(name, grace=0))

    def request(self, groups: Sequence[Group]) -> dict[str, Any]:
        """Give what a step is told that installs these packages for itself alone."""
        return {
            "target": SITE,
            "groups": [asdict(each) for each in groups],
            "env": {
                **self._options.env,
                "TOOLKIT_UV": f"{BIN}/uv",
                "UV_CACHE_DIR": f"{MOUNT}/cache",
                "UV_LINK_MODE": "hardlink",
                "HOME": MOUNT,
            },
        }

    def _prepare(self, folder: Path, groups: Sequence[Group]) -> None:
        """Make a build's folder; again and again if need be.

        What half a build has left there is for the next one to remove: the pod that a killed
        engine asked for may come to be only now, and work in the folder.
        """
        (folder / "site").mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder.parent / CACHE).mkdir(exist_ok=True, mode=0o700)
        request = {"version": "1", "target": SITE, "groups": [asdict(each) for each in groups]}
        temporary = folder / "request.json.new"
        temporary.write_text(json.dumps(request))
        temporary.replace(folder / "request.json")

    def _settle(self, key: str, folder: Path, groups: Sequence[Group], pod: PodStatus) -> str:
        wanted = " ".join(each for group in groups for each in group.requirements)
        try:
            result = self._read(folder / _RECORD)
        except (OSError, ValueError) as error:
            # Its pod has ended, and the next build would begin anew in any case.
            shutil.rmtree(folder, ignore_errors=True)
            why = f"{pod.reason or pod.phase} {pod.message}".strip()
            raise BuildError(
                f"could not install {wanted}: the build ended without a record ({why})"
            ) from error
        if result["message"]:
            shutil.rmtree(folder)
            raise BuildError(str(result["message"]))
        target = folder.parent / key
        if _recorded(target):
            # Another engine on the same volume was faster.
            shutil.rmtree(folder)
        else:
            # At most an empty folder takes its place: a pod that starts late, for an attempt that
            # has ended, makes what it is to mount.
            folder.rename(target)
            descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return "" if result["satisfied"] else f"{self._owner}/{key}"

    def _read(self, path: Path) -> dict[str, Any]:
        with (
            confined.opened(self._options.folder, path) as descriptor,
            confined.stream(descriptor) as file,
        ):
            found = json.loads(file.read(1024 * 1024))
        if not isinstance(found, dict):
            raise BuildError(f"{path}: the build's record is damaged")
        return found


def _ended(pod: PodStatus) -> bool:
    """True for a build that has ended and whose pod is still there."""
    return pod.phase.ended and pod.phase is not PodPhase.GONE


def _recorded(folder: Path) -> bool:
    # An empty one is what a loss of power may leave of it.
    return os.path.lexists(folder / _RECORD) and os.lstat(folder / _RECORD).st_size > 0
