"""The charm's config."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import pydantic

from toolkit_charm.options import AllowedHosts, LogLevel
from toolkit_charm.pods import PodOptions
from toolkit_charm.quantities import Quantity


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


class PipelinesOptions(PodOptions):
    """See `charmcraft.yaml` for what each one means."""

    log_level: LogLevel
    parallelism: Annotated[int, pydantic.Field(ge=1, le=1000)]
    allowed_hosts: AllowedHosts
    default_cpu: Quantity
    default_memory: Quantity
    package_index: Annotated[str, pydantic.AfterValidator(_index)]
