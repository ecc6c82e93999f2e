"""The charm's config."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

import pydantic

from toolkit_charm import Options

_HOST = re.compile(
    r"\*|(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(:([0-9]{1,5}|\*))?"
    r"|\[[0-9A-Fa-f:.]+\](:([0-9]{1,5}|\*))?"
)


def _hosts(text: object) -> tuple[str, ...]:
    hosts = tuple(part.strip() for part in str(text).split(",") if part.strip())
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(
                f"{host[:60]!r} is not a host; write names or addresses such as ml.example.com, "
                "*.example.com or 10.0.0.7:5000, separated by commas"
            )
    return hosts


def _folder(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in text:
        raise ValueError("write a folder below the storage, such as artifacts, without '..'")
    return str(path)


class MetadataOptions(Options):
    """See `charmcraft.yaml` for what each one means."""

    log_level: Literal["debug", "info", "warning", "error"]
    workers: Annotated[int, pydantic.Field(ge=1, le=64)]
    allowed_hosts: Annotated[tuple[str, ...], pydantic.BeforeValidator(_hosts)]
    artifact_root: Annotated[str, pydantic.AfterValidator(_folder)]
