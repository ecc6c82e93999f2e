"""The charm's config."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlsplit

import pydantic

import imagemap
from toolkit_charm.artifact_store import StoreUri
from toolkit_charm.compute import ComputeOptions
from toolkit_charm.options import AllowedHosts, LogLevel
from toolkit_charm.pods import PodOptions
from toolkit_charm.quantities import Quantity, Size


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


_DURATION = re.compile(r"([1-9][0-9]{0,3})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


def seconds(text: object) -> int:
    """Give the seconds of a time such as 12h, 0 for ""; ValueError if it is none."""
    if text == "":
        return 0
    match = _DURATION.fullmatch(str(text))
    if match is None:
        raise ValueError("write a number with m, h, d or w, such as 12h or 30d, or nothing")
    return int(match[1]) * _SECONDS[match[2]]


class PipelinesOptions(PodOptions, ComputeOptions):
    """See `charmcraft.yaml` for what each one means."""

    log_level: LogLevel
    parallelism: Annotated[int, pydantic.Field(ge=1, le=1000)]
    caching: bool
    cache_ttl: Annotated[int, pydantic.BeforeValidator(seconds)]
    run_retention: Annotated[int, pydantic.BeforeValidator(seconds)]
    run_retention_count: Annotated[int, pydantic.Field(ge=0, le=1_000_000)]
    # Checked by `webhook`, whose messages do not show it.
    failure_webhook: str
    failure_webhook_key: str = ""
    allowed_hosts: AllowedHosts
    default_cpu: Quantity
    default_memory: Quantity
    package_index: Annotated[str, pydantic.AfterValidator(_url("https://pypi.example.com/simple"))]
    offline: bool
    environments_limit: Size
    image_map: Annotated[dict[str, str], pydantic.BeforeValidator(imagemap.read)]
    artifact_transfer: Literal["volume", "endpoint"]
    artifact_store: StoreUri
    artifact_store_credentials: str = ""
    kubeconfig: str = ""
    artifact_address: Annotated[
        str,
        pydantic.AfterValidator(_url("http://ml.example.com:8888")),
        pydantic.AfterValidator(_bare),
    ]
