"""What containers run: their command, environment and resources."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from . import accelerators
from .errors import NotSupportedError, SpecError
from .fields import flag, list_of, mapping, quantity, string
from .kubernetes import KubernetesSettings
from .model import Accelerator, ClaimTask, Container, Importer, Json, Resources

_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_MOST: Final = 1_000_000_000
"""Cores, or gigabytes, that the old fields may name."""
_CLAIMS: Final = {"argostub/createpvc": ClaimTask(False), "argostub/deletepvc": ClaimTask(True)}
"""The images that kfp-kubernetes writes for what KFP's backend does itself."""


def executor(
    value: Json, kubernetes: KubernetesSettings, where: str
) -> Container | Importer | ClaimTask:
    """Read an executor; `kubernetes` is what the platform spec says of it."""
    data = mapping(value, where, ("container", "importer", "resolver", "customJob"))
    if "importer" in data:
        return _importer(data["importer"], f"{where}.importer")
    if "resolver" in data:
        raise NotSupportedError(where, "a resolver")
    if "customJob" in data:
        raise NotSupportedError(where, "a custom job of Vertex AI (customJob)")
    container = mapping(
        data.get("container"),
        f"{where}.container",
        ("image", "command", "args", "lifecycle", "resources", "env"),
    )
    if container.get("lifecycle"):
        raise NotSupportedError(where, "a container's lifecycle hooks (lifecycle)")
    env: dict[str, str] = {}
    for index, each in enumerate(list_of(container.get("env"), f"{where}.container.env")):
        spot = f"{where}.container.env[{index}]"
        pair = mapping(each, spot, ("name", "value"))
        name = string(pair.get("name"), f"{spot}.name", required=True)
        if not _ENV_NAME.fullmatch(name):
            raise SpecError(spot, f"{name[:80]!r} is not the name of an environment variable")
        if name in env:
            raise SpecError(spot, f"the variable {name!r} is set twice")
        env[name] = string(pair.get("value"), f"{spot}.value")
    command = _strings_of(container.get("command"), f"{where}.container.command")
    args = _strings_of(container.get("args"), f"{where}.container.args")
    image = string(container.get("image"), f"{where}.container.image", required=True)
    if image in _CLAIMS:
        return _CLAIMS[image]
    if not command:
        raise NotSupportedError(
            where, "a container without a command (the image's own entrypoint)"
        )
    return Container(
        image=image,
        command=command,
        args=args,
        env=env,
        resources=_resources(container.get("resources"), f"{where}.container.resources"),
        kubernetes=kubernetes,
    )


def _importer(value: Json, where: str) -> Importer:
    data = mapping(
        value,
        where,
        (
            "artifactUri",
            "typeSchema",
            "properties",
            "customProperties",
            "metadata",
            "reimport",
            "downloadToWorkspace",
        ),
    )
    for old in ("properties", "customProperties"):
        if data.get(old):
            raise NotSupportedError(where, f"{old} of schema 2.0 (use metadata)")
    # Whether it is imported anew makes no difference: each run records what it uses.
    spot = f"{where}.artifactUri"
    given = mapping(data.get("artifactUri"), spot, ("constant", "runtimeParameter"))
    if "runtimeParameter" in given:
        name = string(given["runtimeParameter"], spot, required=True)
        uri = f"{{{{$.inputs.parameters['{name}']}}}}"
    else:
        uri = string(given.get("constant"), f"{spot}.constant", required=True)
    return Importer(
        uri,
        dict(mapping(data.get("metadata"), f"{where}.metadata")),
        flag(data.get("downloadToWorkspace"), f"{where}.downloadToWorkspace"),
    )


def _strings_of(value: Json, where: str) -> tuple[str, ...]:
    return tuple(
        string(each, f"{where}[{index}]") for index, each in enumerate(list_of(value, where))
    )


def _resources(value: Json, where: str) -> Resources:
    data = mapping(
        value,
        where,
        (
            "cpuLimit",
            "memoryLimit",
            "cpuRequest",
            "memoryRequest",
            "resourceCpuLimit",
            "resourceMemoryLimit",
            "resourceCpuRequest",
            "resourceMemoryRequest",
            "accelerator",
        ),
    )

    def amount(name: str, legacy: str, unit: str) -> str:
        text = string(data.get(name), f"{where}.{name}")
        if text:
            # One with a placeholder is judged once that is filled in.
            return text if "{{$" in text else quantity(text, f"{where}.{name}")
        number = data.get(legacy)
        if number is None:
            return ""
        if (
            not isinstance(number, int | float)
            or isinstance(number, bool)
            or not 0 <= number <= _MOST
        ):
            raise SpecError(
                f"{where}.{legacy}",
                f"expected a number from 0 to {_MOST}, got {str(number)[:80]!r}",
            )
        # The old fields have cores and gigabytes (10^9 bytes) as numbers.
        return f"{Decimal(str(number)).normalize():f}{unit}" if number else ""

    return Resources(
        cpu_request=amount("resourceCpuRequest", "cpuRequest", ""),
        cpu_limit=amount("resourceCpuLimit", "cpuLimit", ""),
        memory_request=amount("resourceMemoryRequest", "memoryRequest", "G"),
        memory_limit=amount("resourceMemoryLimit", "memoryLimit", "G"),
        accelerator=_accelerator(data.get("accelerator"), f"{where}.accelerator"),
    )


def _accelerator(value: Json, where: str) -> Accelerator:
    data = mapping(value, where, ("type", "count", "resourceType", "resourceCount"))
    kind = string(data.get("resourceType") or data.get("type"), f"{where}.resourceType")
    count = data.get("resourceCount") or data.get("count")
    if isinstance(count, int | float) and not isinstance(count, bool) and count == int(count):
        # The old field is a number; JSON's writers may make it one with a fraction.
        count = str(int(count))
    text = string(count, f"{where}.resourceCount")
    if kind and "{{$" not in kind:
        accelerators.check_type(kind, where)
    if text and "{{$" not in text:
        accelerators.count(text, where)
    return Accelerator(kind, text)
