"""The charm's config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlsplit

import pydantic

from toolkit_charm.compute import ComputeOptions
from toolkit_charm.options import AllowedHosts, LogLevel
from toolkit_charm.pods import PodOptions
from toolkit_charm.quantities import Quantity


def _url(example: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not text:
            return text
        try:
            parts = urlsplit(text)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable():
            raise ValueError(f"write an address such as {example}, or nothing")
        if parts.username or parts.password:
            # It would stand in pods' specs for all to read.
            raise ValueError("write the address without a user and a password in it")
        return text

    return check


def _bare(text: str) -> str:
    if urlsplit(text).path.strip("/") or urlsplit(text).query:
        raise ValueError("write the address without a path")
    return text.rstrip("/")


class PipelinesOptions(PodOptions, ComputeOptions):
    """See `charmcraft.yaml` for what each one means."""

    log_level: LogLevel
    parallelism: Annotated[int, pydantic.Field(ge=1, le=1000)]
    allowed_hosts: AllowedHosts
    default_cpu: Quantity
    default_memory: Quantity
    package_index: Annotated[str, pydantic.AfterValidator(_url("https://pypi.example.com/simple"))]
    artifact_transfer: Literal["volume", "endpoint"]
    kubeconfig: str = ""
    artifact_address: Annotated[
        str,
        pydantic.AfterValidator(_url("http://ml.example.com:8888")),
        pydantic.AfterValidator(_bare),
    ]
