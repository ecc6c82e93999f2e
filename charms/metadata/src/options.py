"""The charm's config."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

import pydantic

from toolkit_charm import Options
from toolkit_charm.artifact_store import StoreUri
from toolkit_charm.options import AllowedHosts, LogLevel


def _folder(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in text:
        raise ValueError("write a folder below the storage, such as artifacts, without '..'")
    return str(path)


class MetadataOptions(Options):
    """See `charmcraft.yaml` for what each one means."""

    log_level: LogLevel
    workers: Annotated[int, pydantic.Field(ge=1, le=64)]
    allowed_hosts: AllowedHosts
    artifact_root: Annotated[str, pydantic.AfterValidator(_folder)]
    artifact_store: StoreUri
    artifact_store_credentials: str = ""
    artifact_transfer: Literal["server", "direct"]
