"""The charm's config."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

import pydantic

from toolkit_charm import Options
from toolkit_charm.options import AllowedHosts, LogLevel

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")


def _quantity(text: str) -> str:
    if text and not _QUANTITY.fullmatch(text):
        raise ValueError("write a quantity as Kubernetes does, such as 500m, 2 or 2Gi, or nothing")
    if text and not any(digit in text for digit in "123456789"):
        raise ValueError("write more than nothing, or leave it empty")
    return text


def _index(text: str) -> str:
    if not text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable():
        raise ValueError("write an address such as https://pypi.example.com/simple, or nothing")
    if parts.username or parts.password:
        # It would stand in pods' specs for all to read.
        raise ValueError("write the address without a user and a password in it")
    return text


class PipelinesOptions(Options):
    """See `charmcraft.yaml` for what each one means."""

    log_level: LogLevel
    parallelism: Annotated[int, pydantic.Field(ge=1, le=1000)]
    allowed_hosts: AllowedHosts
    default_cpu: Annotated[str, pydantic.AfterValidator(_quantity)]
    default_memory: Annotated[str, pydantic.AfterValidator(_quantity)]
    package_index: Annotated[str, pydantic.AfterValidator(_index)]
