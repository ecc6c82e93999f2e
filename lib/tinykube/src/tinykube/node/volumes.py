"""A pod's volumes: where each lies on the host, and what of them a container mounts where.

Volumes that the node fills itself (empty-dir, secrets, config maps, projections) lie below the
pod's folder, which only the node's user can enter.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError
from sandbox.spec import Image, Mount, Scratch
from sandbox.tree import Tree
from tinykube import names, podspec, quantity
from tinykube.node import env, projection
from tinykube.node.client import JSON, NodeClient, NotFoundError
from tinykube.node.env import ConfigError, Host
from tinykube.node.images import ImageMap, PullError
from tinykube.node.sources import KINDS, SourceError, Sources


class VolumeError(Exception):
    """A volume cannot be had (yet); the message is that of the FailedMount event."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume that is ready.

    Attributes:
        path: the folder (or file) on the host; None for an image.
        image: the process image of an image volume.
        read_only: True if no container may write to it.
        in_memory: True for a file system in memory, made anew with each run of its container.
        size: its bound in bytes.
    """

    path: Path | None
    image: Image | None = None
    read_only: bool = False
    in_memory: bool = False
    size: int | None = None


@dataclass(slots=True)
class Volumes:
    """Prepares the volumes of one pod.

    Attributes:
        folder: the pod's own; what the node fills lies in `volumes/NAME` below it.
        sources: reads what the node fills volumes with.
    """

    pod: JSON
    folder: Path
    client: NodeClient
    images: ImageMap
    host: Host
    sources: Sources = field(init=False)
    _ready: dict[str, Volume] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sources = Sources(self.pod, self.client, self.host)

    async def prepare(self) -> None:
        """Make every volume that is not made yet. Raises VolumeError; safe to call again."""
        for volume in self.pod["spec"].get("volumes") or ():
            name = volume["name"]
            if name in self._ready:
                continue
            if fault := names.label_fault(name):
                raise VolumeError(f'volume "{name}": {fault}')
            try:
                self._ready[name] = await self._prepare(name, volume)
            except (NotFoundError, ConfigError, SourceError, PullError, SandboxError) as error:
                raise VolumeError(
                    f'MountVolume.SetUp failed for volume "{name}" : {error}'
                ) from error

    @property
    def renew_at(self) -> float | None:
        """When the next token is due, in seconds since the epoch; None if the pod has none."""
        return self.sources.renew_at

    @property
    def living(self) -> bool:
        """True if the pod has volumes whose files may change."""
        return any(set(volume) & KINDS for volume in self.pod["spec"].get("volumes") or ())

    async def refresh(self, pod: JSON) -> None:
        """Bring what was filled up to what its sources hold now, and to the pod as it is now.

        What cannot be read any more stays as it was: raises VolumeError that names it, after
        all others were brought up to date.
        """
        self.sources.pod = pod
        faults = []
        for volume in self.pod["spec"].get("volumes") or ():
            if not set(volume) & KINDS or volume["name"] not in self._ready:
                continue
            try:
                await self._fill(volume["name"], volume)
            except (NotFoundError, ConfigError, SourceError, SandboxError) as error:
                faults.append(f'volume "{volume["name"]}" : {error}')
        if faults:
            raise VolumeError("; ".join(faults))

    def mounts(
        self, container: Mapping[str, Any], variables: Mapping[str, str]
    ) -> list[Mount | Scratch]:
        """What a container mounts, in order. Raises VolumeError."""
        found: list[Mount | Scratch] = []
        for mount in container.get("volumeMounts") or ():
            volume = self._ready[mount["name"]]
            sub = mount.get("subPath") or env.expand(mount.get("subPathExpr") or "", variables)
            target = mount["mountPath"]
            if volume.image is not None:
                found += _image_mounts(volume.image, target, sub)
            elif volume.in_memory:
                found.append(Scratch(target, volume.size or _memory(container)))
            elif volume.path is not None:
                source = confined(volume.path, sub, create=not volume.read_only)
                read_only = volume.read_only or bool(mount.get("readOnly"))
                found.append(Mount(source, target, read_only))
        # A mount inside another must come after it.
        return sorted(found, key=lambda mount: posixpath.normpath(mount.target).count("/"))

    async def _prepare(self, name: str, volume: Mapping[str, Any]) -> Volume:
        if "persistentVolumeClaim" in volume:
            return await self._claim(volume["persistentVolumeClaim"])
        if "ephemeral" in volume:
            return await self._claim({"claimName": podspec.of_volume(self.pod, name)}, own=True)
        if "hostPath" in volume:
            return _host_path(volume["hostPath"], self.host)
        if "image" in volume:
            # An image without a process image is the machine itself: nothing to mount.
            resolved = self.images.resolve(volume["image"]["reference"])
            if resolved.image is None:
                raise VolumeError(f"image {volume['image']['reference']} is not a process image")
            return Volume(None, resolved.image, read_only=True)
        if set(volume) & KINDS:
            return await self._fill(name, volume)
        if "emptyDir" in volume or set(volume) == {"name"}:
            return self._empty(name, volume)
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        raise VolumeError(f'volume "{name}": this node has no volumes of kind {kinds}')

    async def _fill(self, name: str, volume: Mapping[str, Any]) -> Volume:
        place = self.folder / "volumes" / name
        files = await self.sources.files(volume)
        await asyncio.to_thread(projection.write, place, files)
        return Volume(place, read_only=True)

    def _empty(self, name: str, volume: Mapping[str, Any]) -> Volume:
        """An empty-dir: in memory where one container alone mounts all of it, once."""
        if podspec.in_memory(self.pod, volume):
            limit = volume["emptyDir"].get("sizeLimit")
            return Volume(None, in_memory=True, size=quantity.bytes_of(limit) if limit else None)
        place = self.folder / "volumes" / name
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        place.chmod(0o1777)
        return Volume(place)

    async def _claim(self, source: Mapping[str, Any], *, own: bool = False) -> Volume:
        namespace, name = self.pod["metadata"]["namespace"], source["claimName"]
        claim = await self.client.get("PersistentVolumeClaim", namespace, name)
        if own and not podspec.made_for(claim, self.pod):
            raise VolumeError(f'persistentvolumeclaim "{name}" was not made for this pod')
        volume_name = claim["spec"].get("volumeName")
        if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
            raise VolumeError(f'persistentvolumeclaim "{name}" is not bound to a volume')
        volume = await self.client.get("PersistentVolume", None, volume_name)
        local = volume["spec"].get("hostPath") or volume["spec"].get("local")
        if not local:
            raise VolumeError(f'persistentvolume "{volume_name}" is not a folder of this machine')
        found = _host_path(local, self.host)
        return Volume(found.path, read_only=bool(source.get("readOnly")))


def _memory(container: Mapping[str, Any]) -> int | None:
    """A container's memory limit, in bytes: it bounds what is kept in memory as files as well."""
    amount = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return quantity.bytes_of(amount) if amount else None


def _host_path(source: Mapping[str, Any], host: Host) -> Volume:
    path, kind = Path(source["path"]), source.get("type") or ""
    if host.folders is not None and not any(
        path.resolve().is_relative_to(folder.resolve()) for folder in host.folders
    ):
        raise VolumeError(
            f"hostPath {path} is in none of the folders that node {host.name} lends to pods; its "
            "owner may name it under `hostPaths` in the node's config file"
        )
    if kind == "DirectoryOrCreate" or (kind == "" and not path.exists()):
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.touch(mode=0o644)
    wanted = {"Directory": path.is_dir, "File": path.is_file}.get(kind, path.exists)
    if not wanted():
        raise VolumeError(f"hostPath type check failed: {path} is not a {kind or 'path'}")
    return Volume(path)


def confined(top: Path, sub: str, *, create: bool) -> Path:
    """The place `sub` inside the volume `top`. Raises VolumeError if it leads out of it.

    A folder that is not there is made where `create` says so, as Kubernetes does.
    """
    if not sub:
        return top
    parts = [part for part in sub.split("/") if part not in ("", ".")]
    if sub.startswith("/") or ".." in parts or "\0" in sub:
        raise VolumeError(f"subPath {sub!r} must be relative and inside the volume")
    base = _real(top)
    place = "/".join((base.rstrip("/"), *parts))
    if _plain(base, parts):
        return Path(place)
    real = Path(place).resolve()
    if not real.is_relative_to(base):
        raise VolumeError(f"subPath {sub!r} leads out of the volume by a symbolic link")
    if not real.exists():
        if not create:
            raise VolumeError(f"subPath {sub!r} does not exist in a read-only volume")
        Tree(Path(base)).folder(str(real.relative_to(base)))
    return real


def _real(path: Path) -> str:
    """A path without links: asked of the kernel at once, not of each folder on the way."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return os.path.realpath(path)
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _plain(base: str, parts: Sequence[str]) -> bool:
    """True if all of these are there below `base`, and none is a link: nearly always so."""
    place = base
    for part in parts:
        place = f"{place}/{part}"
        try:
            if stat.S_ISLNK(os.lstat(place).st_mode):
                return False
        except OSError:
            # Not there, or not to be looked at: that is told where all is looked into.
            return False
    return True


def _image_mounts(image: Image, target: str, sub: str) -> list[Mount]:
    """An image volume: the image's environment at its prefix below `target`, or a part of it."""
    wanted = posixpath.normpath(f"/{sub}").lstrip("/")
    prefix = posixpath.normpath(image.prefix).lstrip("/")
    if wanted == prefix or wanted.startswith(f"{prefix}/"):
        source = confined(image.path, wanted[len(prefix) :].lstrip("/"), create=False)
        return [Mount(source, target, read_only=True)]
    if wanted and not prefix.startswith(f"{wanted}/"):
        raise VolumeError(f"image {image.reference} has nothing at {sub!r}, only at {prefix}")
    inner = prefix[len(wanted) :].lstrip("/")
    return [Mount(image.path, posixpath.join(target, inner), read_only=True)]
