"""What comes in: bodies, parameters and names, each with its bounds."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import paging, timestamps
from ..spec.document import MAX_BYTES as MAX_SPEC
from .context import Context
from .errors import ApiError, Code, invalid

MAX_BODY = MAX_SPEC + 256 * 1024
"""Bytes of a request body: a spec and what is around it."""

MAX_NAME = 255
MAX_DESCRIPTION = 64 * 1024
MAX_TAGS = 64
_DRAINED = 64 * 1024 * 1024

Json: TypeAlias = Any

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_TRAVERSAL = re.compile(r"(^|[/\\])\.\.?([/\\]|$)")


class BodyLimit:
    """ASGI middleware: a body above `MAX_BODY` is refused with 413.

    The rest of such a body is read and thrown away (to a bound), since a client that is still
    writing would see a broken connection rather than the error.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] != "http.request":
                return message
            size += len(message.get("body", b""))
            if size <= MAX_BODY:
                return message
            while (
                size <= _DRAINED
                and message["type"] == "http.request"
                and message.get("more_body", False)
            ):
                message = await receive()
                size += len(message.get("body", b""))
            raise ApiError(
                Code.INVALID_ARGUMENT,
                f"the request is too large; at most {MAX_BODY} bytes are read",
                status=413,
            )

        await self._app(scope, counted, send)


async def json_object(request: Request) -> dict[str, Json]:
    """Give the body, a JSON object."""
    raw = await request.body()
    if not raw:
        raise ApiError(Code.INVALID_ARGUMENT, "the request has no body; a JSON object is needed")
    try:
        data = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(Code.INVALID_ARGUMENT, f"the body is not JSON: {error}") from error
    if _SURROGATE.search(raw) and not _is_text(data):
        raise ApiError(Code.INVALID_ARGUMENT, "the body holds half of a surrogate pair")
    if not isinstance(data, dict):
        raise ApiError(
            Code.INVALID_ARGUMENT, f"the body must be a JSON object, not {type(data).__name__}"
        )
    return data


def _is_text(data: Json) -> bool:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


async def uploaded(request: Request) -> tuple[bytes, str]:
    """Give the content and the file name of the multipart field `uploadfile`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise ApiError(
            Code.INVALID_ARGUMENT, "send the package as multipart/form-data, field 'uploadfile'"
        )
    async with request.form(max_files=1, max_fields=16, max_part_size=64 * 1024) as form:
        return await _file(form)


async def _file(form: FormData) -> tuple[bytes, str]:
    file = form.get("uploadfile")
    if not isinstance(file, UploadFile):
        raise invalid("uploadfile", "the form has no file of this name")
    return await file.read(), file.filename or ""


def mapping(data: Mapping[str, Json], key: str, *, label: str | None = None) -> Mapping[str, Json]:
    """Give an object field, empty if it is absent or null."""
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(label or key, f"must be an object, not {type(value).__name__}")
    return value


def text(
    data: Mapping[str, Json], key: str, *, limit: int = MAX_NAME, label: str | None = None
) -> str:
    """Give a text field, "" if it is absent or null; bounded and free of control characters."""
    value = data.get(key)
    if value is None:
        return ""
    label = label or key
    if not isinstance(value, str):
        raise invalid(label, f"must be a string, not {type(value).__name__}")
    if len(value) > limit:
        raise invalid(label, f"has {len(value)} characters; at most {limit} are allowed")
    for character in value:
        category = unicodedata.category(character)
        if category == "Cs" or (category == "Cc" and character not in "\n\t\r"):
            raise invalid(label, f"holds the character U+{ord(character):04X}, which is no text")
    return value


def name(data: Mapping[str, Json], key: str, *, label: str | None = None) -> str:
    """Give a name that may be shown, logged and put into other systems, "" if it is absent.

    One line, at most 255 characters, not only spaces, without `.` or `..` as a path's part.
    """
    label = label or key
    value = text(data, key, label=label)
    if not value:
        return value
    if not value.strip():
        raise invalid(label, "must not be only spaces")
    if any(character in value for character in "\n\t\r"):
        raise invalid(label, "must be one line")
    if _TRAVERSAL.search(value):
        raise invalid(label, "must not have '.' or '..' as a part of a path")
    return value


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """What a run is given besides its pipeline: the `runtime_config` of a request."""

    parameters: Mapping[str, Json]
    pipeline_root: str


def runtime_config(data: Mapping[str, Json]) -> RuntimeConfig:
    """Give the runtime config of a run; a service account is refused along with it."""
    if data.get("service_account"):
        raise invalid("service_account", "steps run without one; leave it out")
    given = mapping(data, "runtime_config")
    root = text(given, "pipeline_root", limit=2048, label="runtime_config.pipeline_root")
    return RuntimeConfig(mapping(given, "parameters"), root)


def integer(data: Mapping[str, Json], key: str, *, label: str | None = None) -> int | None:
    """Give a whole number, None if it is absent; 64-bit ones come as text, as protobuf has it."""
    value = data.get(key)
    if value is None:
        return None
    label = label or key
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(label, f"must be a whole number, not {_shown(value)}")
    if not -(2**63) <= value < 2**63:
        raise invalid(label, "does not fit into 64 bits")
    return value


def boolean(data: Mapping[str, Json], key: str) -> bool:
    """Give a truth value, False if it is absent."""
    value = data.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise invalid(key, f"must be true or false, not {_shown(value)}")
    return value


def time(data: Mapping[str, Json], key: str, *, label: str) -> int | None:
    """Give the second of a time, None if it is absent; of the years 1970 to 9999."""
    value = data.get(key)
    if value is None:
        return None
    try:
        found = timestamps.parse(value)
    except ValueError as error:
        raise invalid(label, str(error)[:200]) from error
    if not 0 <= found <= timestamps.LATEST:
        raise invalid(label, f"{value[:40]!r} is not between 1970 and 9999, in UTC")
    return int(found)


def _shown(value: Json) -> str:
    return repr(value)[:40]


def tags(value: Json, label: str = "tags") -> dict[str, str]:
    """Give tags: short strings by short strings."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise invalid(label, f"is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise invalid(label, "must be an object of strings")
    if len(value) > MAX_TAGS:
        raise invalid(label, f"has {len(value)} entries; at most {MAX_TAGS}")
    return {
        name({"key": key}, "key", label=label): text(value, key, label=f"{label}.{key[:80]}")
        for key in value
    }


def namespace(context: Context, given: str) -> None:
    """Check the namespace of a request: none, or the one that the service runs in."""
    if given and given != context.namespace:
        raise invalid(
            "namespace",
            f"this service is not multi-user and serves {context.namespace or 'no namespace'!r} "
            f"only, not {given[:80]!r}; leave it out",
        )


def page(request: Request) -> paging.Request:
    """Give the paging parameters of a list request."""
    query = request.query_params
    return paging.Request(
        page_token=query.get("page_token", ""),
        page_size=query.get("page_size", ""),
        sort_by=query.get("sort_by", ""),
        filter=query.get("filter", ""),
    )
