"""Init containers and sidecars of a task's pod, as the message `InitContainer` has them.

What they mount is known by the names of volumes; whether there are such volumes is known when the
task starts, since claims may come from parameters.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Final

from toolkit_jobs import InitContainer

from .errors import SpecError
from .fields import entries, list_of, mapping, quantity, string
from .sources import Json

_FIELDS: Final = (
    *("name", "image", "command", "args", "env"),
    *("volumeMounts", "restartPolicy", "resources"),
)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_TAKEN: Final = ("main", "kfp-launcher")
"""The task's own container, and KFP's for its launcher."""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")


def read(value: Json, where: str) -> tuple[InitContainer, ...]:
    """Read `initContainers`.

    Raises:
        SpecError: one of them cannot be run; the message names its place.
    """
    found: dict[str, InitContainer] = {}
    for spot, entry in entries(value, where, _FIELDS):
        container = _container(entry, spot)
        if container.name in found:
            raise SpecError(f"{spot}.name", f"there are two containers {container.name!r}")
        found[container.name] = container
    return tuple(found.values())


def _container(data: Mapping[str, Json], where: str) -> InitContainer:
    name = string(data.get("name"), f"{where}.name", required=True)
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise SpecError(
            f"{where}.name",
            f"{name[:80]!r} is not the name of a container: up to 63 small letters, digits and "
            f"'-', and none of {', '.join(_TAKEN)}",
        )
    policy = string(data.get("restartPolicy"), f"{where}.restartPolicy")
    if policy not in ("", "Always"):
        raise SpecError(
            f"{where}.restartPolicy",
            f"{policy[:80]!r}: it is Always, for a sidecar, or left out",
        )
    resources = mapping(data.get("resources"), f"{where}.resources", ("requests", "limits"))
    return InitContainer(
        name,
        _literal(string(data.get("image"), f"{where}.image", required=True), f"{where}.image"),
        _words(data.get("command"), f"{where}.command"),
        _words(data.get("args"), f"{where}.args"),
        _env(data.get("env"), f"{where}.env"),
        _mounts(data.get("volumeMounts"), f"{where}.volumeMounts"),
        _quantities(resources.get("requests"), f"{where}.resources.requests"),
        _quantities(resources.get("limits"), f"{where}.resources.limits"),
        policy == "Always",
    )


def _literal(text: str, where: str) -> str:
    """Give a text as it is; nobody fills in its placeholders."""
    if "{{$" in text:
        raise SpecError(where, f"{text[:80]!r}: placeholders are not filled in in init containers")
    return text


def _words(value: Json, where: str) -> tuple[str, ...]:
    return tuple(
        _literal(string(each, f"{where}[{number}]"), f"{where}[{number}]")
        for number, each in enumerate(list_of(value, where))
    )


def _env(value: Json, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for spot, entry in entries(value, where, ("name", "value")):
        name = string(entry.get("name"), f"{spot}.name", required=True)
        if not _VARIABLE.fullmatch(name) or name in found:
            raise SpecError(
                spot, f"{name[:80]!r} is not the name of an environment variable, or is set twice"
            )
        found[name] = _literal(string(entry.get("value"), f"{spot}.value"), f"{spot}.value")
    return found


def _mounts(value: Json, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for spot, entry in entries(value, where, ("volumeName", "mountPath")):
        path = string(entry.get("mountPath"), f"{spot}.mountPath", required=True)
        plain = path.startswith("/") and posixpath.normpath(path) == (path.rstrip("/") or "/")
        if not plain or path == "/" or ":" in path:
            raise SpecError(
                f"{spot}.mountPath", f"{path[:80]!r} is not an absolute path without '..' and ':'"
            )
        if path.rstrip("/") in found:
            raise SpecError(f"{spot}.mountPath", f"two volumes are mounted at {path[:80]!r}")
        found[path.rstrip("/")] = string(
            entry.get("volumeName"), f"{spot}.volumeName", required=True
        )
    return found


def _quantities(value: Json, where: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, each in mapping(value, where).items():
        found[name] = quantity(string(each, f"{where}.{name[:80]}"), f"{where}.{name[:80]}")
    return found
