"""Where an object store's artifacts are, as KFP writes it: one URI with the address in its query.

    s3://BUCKET/PREFIX?region=us-east-1                                         AWS
    s3://BUCKET/PREFIX?endpoint=https://minio.example.com:9000&region=us-east-1 any other store
    s3://BUCKET?endpoint=minio.kubeflow:9000&disableSSL=true&s3ForcePathStyle=true

The parameters are those of KFP's launcher. What it has besides (profiles, anonymous access) is
refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.\-]+(/[A-Za-z0-9_.\-]+)*")
_REGION: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DEFAULT_REGION: Final = "us-east-1"
"""What stores without regions take."""
_FLAGS: Final = {"true": True, "false": False}
_PARAMETERS: Final = ("endpoint", "region", "disableSSL", "s3ForcePathStyle", "use_path_style")


class LocationError(ValueError):
    """It is no location of an object store; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where artifacts are in an object store.

    Attributes:
        bucket: the bucket.
        prefix: what all keys begin with, without slashes at its ends; "" for none.
        endpoint: the store's address, `https://HOST[:PORT]`; "" is AWS.
        region: the store's region.
        path_style: whether the bucket is a part of the path, rather than of the host's name.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = _DEFAULT_REGION
    path_style: bool = False

    @property
    def uri(self) -> str:
        """What the artifacts' URIs begin with."""
        return "/".join(part for part in (f"s3://{self.bucket}", self.prefix) if part)

    def key(self, below: str) -> str:
        """Give the key of what is at a path below the URI."""
        return f"{self.prefix}/{below}" if self.prefix else below

    @classmethod
    def parse(cls, text: str) -> Location:
        """Read a location.

        Raises:
            LocationError: it is none.
        """
        try:
            parts = urlsplit(text)
            asked = parse_qsl(
                parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)
            )
        except ValueError as error:
            raise LocationError(f"{text[:200]!r} is no URI: {error}") from error
        if parts.scheme != "s3" or parts.fragment or not text.isprintable():
            raise LocationError(
                "write s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION, not "
                f"{text[:200]!r}"
            )
        if "@" in parts.netloc:
            raise LocationError("credentials do not belong into the address of an object store")
        if not _BUCKET.fullmatch(parts.netloc):
            raise LocationError(f"{parts.netloc[:80]!r} is no name of a bucket")
        prefix = parts.path.strip("/")
        if prefix and (
            not _PREFIX.fullmatch(prefix) or {".", ".."}.intersection(prefix.split("/"))
        ):
            raise LocationError(
                f"the prefix {prefix[:200]!r} may have letters, digits, dots, dashes, underscores "
                "and slashes"
            )
        given = dict(asked)
        for name in given:
            if name not in _PARAMETERS:
                raise LocationError(
                    f"unknown parameter {name[:80]!r}; known are {', '.join(_PARAMETERS)}"
                )
        endpoint = _endpoint(given.get("endpoint", ""), secure=not _flag(given, "disableSSL"))
        region = given.get("region") or _DEFAULT_REGION
        if not _REGION.fullmatch(region):
            raise LocationError(f"{region[:80]!r} is no name of a region")
        # Stores other than AWS rarely have a name for each bucket.
        asked_style = [
            _flag(given, name) for name in ("s3ForcePathStyle", "use_path_style") if name in given
        ]
        path_style = any(asked_style) if asked_style else bool(endpoint)
        return cls(parts.netloc, prefix, endpoint, region, path_style)


def _flag(given: dict[str, str], name: str) -> bool:
    value = given.get(name, "false")
    if value not in _FLAGS:
        raise LocationError(f"{name} must be true or false, not {value[:80]!r}")
    return _FLAGS[value]


def _endpoint(text: str, *, secure: bool) -> str:
    if not text:
        return ""
    if "://" not in text:
        text = f"{'https' if secure else 'http'}://{text}"
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        plain = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
        _ = parts.port
    except ValueError as error:
        raise LocationError(f"the endpoint is no address: {error}") from error
    if not known or not plain:
        raise LocationError("the endpoint must be https://HOST:PORT")
    return f"{parts.scheme}://{parts.netloc}"
