"""A pod's volumes: where each lies on the host, and what of them a container mounts where.

Volumes that the node fills itself (empty-dir, secrets, config maps, projections) lie below the
pod's folder, which only the node's user can enter.
"""

from __future__ import annotations

import asyncio
import posixpath
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError
from sandbox.spec import Image, Mount
from sandbox.tree import Tree
from tinykube import names
from tinykube.node import env
from tinykube.node.client import JSON, NodeClient, NotFoundError
from tinykube.node.env import ConfigError, Host
from tinykube.node.images import ImageMap, PullError

_FILE_MODE = 0o644
# A token is renewed when this part of its life is over, as a kubelet does.
_RENEW_AFTER = 0.8


class VolumeError(Exception):
    """A volume cannot be had (yet); the message is that of the FailedMount event."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume that is ready.

    Attributes:
        path: the folder (or file) on the host; None for an image.
        image: the process image of an image volume.
        read_only: True if no container may write to it.
    """

    path: Path | None
    image: Image | None = None
    read_only: bool = False


@dataclass(slots=True)
class Volumes:
    """Prepares the volumes of one pod.

    Attributes:
        folder: the pod's own; what the node fills lies in `volumes/NAME` below it.
        renew_at: when the next token is due, in seconds since the epoch; None if the pod has none.
    """

    pod: JSON
    folder: Path
    client: NodeClient
    images: ImageMap
    host: Host
    renew_at: float | None = None
    _ready: dict[str, Volume] = field(default_factory=dict)

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
            except (NotFoundError, ConfigError, PullError, SandboxError) as error:
                raise VolumeError(
                    f'MountVolume.SetUp failed for volume "{name}" : {error}'
                ) from error

    async def renew(self) -> None:
        """Write the pod's tokens anew."""
        self.renew_at = None
        for volume in self.pod["spec"].get("volumes") or ():
            sources = (volume.get("projected") or {}).get("sources") or ()
            if any("serviceAccountToken" in source for source in sources):
                await self._fill(volume["name"], await self._projected(volume["projected"]))

    def mounts(self, container: Mapping[str, Any], variables: Mapping[str, str]) -> list[Mount]:
        """What a container mounts, in order. Raises VolumeError."""
        found: list[Mount] = []
        for mount in container.get("volumeMounts") or ():
            volume = self._ready[mount["name"]]
            sub = mount.get("subPath") or env.expand(mount.get("subPathExpr") or "", variables)
            target = mount["mountPath"]
            if volume.image is not None:
                found += _image_mounts(volume.image, target, sub)
            elif volume.path is not None:
                source = confined(volume.path, sub, create=not volume.read_only)
                read_only = volume.read_only or bool(mount.get("readOnly"))
                found.append(Mount(source, target, read_only))
        # A mount inside another must come after it.
        return sorted(found, key=lambda mount: posixpath.normpath(mount.target).count("/"))

    async def _prepare(self, name: str, volume: Mapping[str, Any]) -> Volume:
        if "persistentVolumeClaim" in volume:
            return await self._claim(volume["persistentVolumeClaim"])
        if "hostPath" in volume:
            return _host_path(volume["hostPath"], self.host)
        if "image" in volume:
            # An image without a process image is the machine itself: nothing to mount.
            resolved = self.images.resolve(volume["image"]["reference"])
            if resolved.image is None:
                raise VolumeError(f"image {volume['image']['reference']} is not a process image")
            return Volume(None, resolved.image, read_only=True)
        if "secret" in volume:
            files = await self._secret(volume["secret"], volume["secret"]["secretName"])
        elif "configMap" in volume:
            files = await self._config_map(volume["configMap"], volume["configMap"]["name"])
        elif "downwardAPI" in volume:
            files = dict(self._downward(volume["downwardAPI"]))
        elif "projected" in volume:
            files = await self._projected(volume["projected"])
        elif "emptyDir" in volume or set(volume) == {"name"}:
            # Of medium Memory as well: it is a folder on the disk here, and outlives no pod.
            files = {}
        else:
            kinds = ", ".join(sorted(set(volume) - {"name"}))
            raise VolumeError(f'volume "{name}": this node has no volumes of kind {kinds}')
        return await self._fill(name, files, read_only=bool(set(volume) & _READ_ONLY))

    async def _fill(
        self, name: str, files: Mapping[str, _File], *, read_only: bool = True
    ) -> Volume:
        place = self.folder / "volumes" / name

        def write() -> None:
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
            if not read_only:
                place.chmod(0o1777)
            tree = Tree(place)
            for path, content in files.items():
                # Beside it, then renamed: a reader sees the old or the new one, whole.
                draft = posixpath.join(posixpath.dirname(path), f"..{posixpath.basename(path)}")
                tree.file(draft, content.data, content.mode)
                (place / draft).chmod(content.mode)
                (place / draft).replace(place / path)

        await asyncio.to_thread(write)
        return Volume(place, read_only=read_only)

    async def _claim(self, source: Mapping[str, Any]) -> Volume:
        namespace, name = self.pod["metadata"]["namespace"], source["claimName"]
        claim = await self.client.get("PersistentVolumeClaim", namespace, name)
        volume_name = claim["spec"].get("volumeName")
        if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
            raise VolumeError(f'persistentvolumeclaim "{name}" is not bound to a volume')
        volume = await self.client.get("PersistentVolume", None, volume_name)
        local = volume["spec"].get("hostPath") or volume["spec"].get("local")
        if not local:
            raise VolumeError(f'persistentvolume "{volume_name}" is not a folder of this machine')
        found = _host_path(local, self.host)
        return Volume(found.path, read_only=bool(source.get("readOnly")))

    async def _secret(self, source: Mapping[str, Any], name: str) -> dict[str, _File]:
        namespace = self.pod["metadata"]["namespace"]
        try:
            data = env.decode(await self.client.get("Secret", namespace, name))
        except NotFoundError:
            if not source.get("optional"):
                raise
            data = {}
        return _select(data, source, f"secret {namespace}/{name}")

    async def _config_map(self, source: Mapping[str, Any], name: str) -> dict[str, _File]:
        namespace = self.pod["metadata"]["namespace"]
        try:
            data = env.texts(await self.client.get("ConfigMap", namespace, name))
        except NotFoundError:
            if not source.get("optional"):
                raise
            data = {}
        return _select(data, source, f"configmap {namespace}/{name}")

    def _downward(self, source: Mapping[str, Any]) -> Iterator[tuple[str, _File]]:
        mode = source.get("defaultMode", _FILE_MODE)
        for item in source.get("items") or ():
            if reference := item.get("resourceFieldRef"):
                containers = self.pod["spec"]["containers"]
                owner = next(c for c in containers if c["name"] == reference["containerName"])
                text = env.resource(owner, reference, self.host)
            else:
                text = env.field(self.pod, item["fieldRef"]["fieldPath"], self.host)
            yield item["path"], _File(text.encode(), item.get("mode", mode))

    async def _projected(self, source: Mapping[str, Any]) -> dict[str, _File]:
        files: dict[str, _File] = {}
        mode = source.get("defaultMode", _FILE_MODE)
        for part in source.get("sources") or ():
            for kind, body in part.items():
                body = {"defaultMode": mode, **body}
                if kind == "secret":
                    files |= await self._secret(body, body["name"])
                elif kind == "configMap":
                    files |= await self._config_map(body, body["name"])
                elif kind == "downwardAPI":
                    files |= dict(self._downward(body))
                elif kind == "serviceAccountToken":
                    files[body["path"]] = _File((await self._token(body)).encode(), mode)
                else:
                    raise VolumeError(f"this node cannot project a {kind}")
        return files

    async def _token(self, source: Mapping[str, Any]) -> str:
        seconds = int(source.get("expirationSeconds") or 3600)
        due = time.time() + seconds * _RENEW_AFTER
        self.renew_at = due if self.renew_at is None else min(self.renew_at, due)
        audience = source.get("audience")
        return await self.client.token(
            self.pod["metadata"]["namespace"],
            self.pod["spec"].get("serviceAccountName") or "default",
            self.pod,
            [audience] if audience else [],
            seconds,
        )


_READ_ONLY = frozenset({"secret", "configMap", "downwardAPI", "projected"})


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    mode: int = _FILE_MODE


def _select(data: Mapping[str, bytes], source: Mapping[str, Any], what: str) -> dict[str, _File]:
    """The files of a secret or config map: all keys, or those of `items` under their paths."""
    mode = source.get("defaultMode", _FILE_MODE)
    items = source.get("items")
    if items is None:
        return {key: _File(value, mode) for key, value in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = _File(data[item["key"]], item.get("mode", mode))
        elif not source.get("optional"):
            raise VolumeError(f"{what} has no key {item['key']}")
    return files


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
    base = top.resolve()
    place = base.joinpath(*parts)
    real = place.resolve()
    if not real.is_relative_to(base):
        raise VolumeError(f"subPath {sub!r} leads out of the volume by a symbolic link")
    if not real.exists():
        if not create:
            raise VolumeError(f"subPath {sub!r} does not exist in a read-only volume")
        Tree(base).folder(str(real.relative_to(base)))
    return real


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
