"""Objects from protobuf: the JSON that the same Go value would have been written as."""

from __future__ import annotations

import base64
import functools
import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

from tinykube.objects import JSON
from tinykube.protobuf.wire import Value, WireError, fields, signed

_MAGIC = b"k8s\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TIME = -62135596800  # Go's zero time, in seconds since the epoch

Fields = Mapping[int, tuple[str, str]]


@functools.cache
def _table() -> tuple[dict[str, str], dict[str, Fields]]:
    """The groups' folders, and the fields of every message."""
    text = resources.files("tinykube.protobuf").joinpath("fields.json").read_bytes()
    found = json.loads(text)
    messages: dict[str, Fields] = {
        name: {int(number): (shown, spec) for number, (shown, spec) in entries.items()}
        for name, entries in found["messages"].items()
    }
    groups: dict[str, str] = found["groups"]
    return groups, messages


def decode(body: bytes) -> JSON:
    """An object with its envelope, as JSON.

    Raises:
        WireError: it is none, or of a kind whose fields are not known.
    """
    if not body.startswith(_MAGIC):
        raise WireError("it does not begin with Kubernetes' four bytes")
    version = kind = ""
    raw = b""
    for number, value in fields(body[len(_MAGIC) :]):
        match number:
            case 1:
                parts = {key: _text(part) for key, part in fields(_bytes(value))}
                version, kind = parts.get(1, ""), parts.get(2, "")
            case 2:
                raw = _bytes(value)
            case 3 | 4 if value:
                raise WireError(f"the object is encoded once more ({_text(value)[:40]})")
    name = _message_name(version, kind)
    return {"apiVersion": version, "kind": kind, **_message(raw, name)}


def _message_name(version: str, kind: str) -> str:
    groups, messages = _table()
    folders = [groups.get(version, "")]
    if kind == "DeleteOptions":
        # Every group has it for its own.
        folders.append("meta/v1")
    for folder in folders:
        if (name := f"{folder}.{kind}") in messages:
            return name
    raise WireError(f"{version[:80]}, Kind={kind[:80]} is not known in protobuf; send JSON")


def _message(data: bytes, name: str) -> JSON:
    # No message holds one of its own kind, so that the depth is bounded.
    known = _table()[1][name]
    found: JSON = {}
    for number, value in fields(data):
        field = known.get(number)
        # A newer client's field: Kubernetes passes over those as well.
        if field is None:
            continue
        shown, spec = field
        if not shown:
            found.update(_message(_bytes(value), spec))
        elif spec.startswith("[]"):
            found.setdefault(shown, []).append(_value(value, spec[2:]))
        elif spec.startswith("{}"):
            key, item = _entry(value, spec[2:])
            found.setdefault(shown, {})[key] = item
        else:
            item = _value(value, spec.lstrip("?!"))
            # Go's clients write every field that is no pointer, even if nobody set it.
            if item is not None and (item or spec[0] in "?!" or "/" in spec):
                found[shown] = item
    return found


def _entry(value: Value, spec: str) -> tuple[str, Any]:
    parts = dict(fields(_bytes(value)))
    return _text(parts.get(1, b"")), _value(parts.get(2, b""), spec)


def _value(value: Value, spec: str) -> Any:
    match spec:
        case "str":
            return _text(value)
        case "int":
            return signed(_number(value))
        case "bool":
            return bool(_number(value))
        case "bytes":
            return base64.b64encode(_bytes(value)).decode("ascii")
        case "float":
            return struct.unpack("<d", _bytes(value))[0] if len(_bytes(value)) == 8 else 0.0
        case "time" | "micro-time":
            return _time(_bytes(value), micro=spec == "micro-time")
        case "quantity":
            return _text(dict(fields(_bytes(value))).get(1, b""))
        case "int-or-string":
            return _int_or_string(_bytes(value))
        case "raw" | "json":
            return _json(dict(fields(_bytes(value))).get(1, b""))
    return _message(_bytes(value), spec)


def _time(data: bytes, *, micro: bool) -> str | None:
    parts = dict(fields(data))
    seconds = signed(_number(parts.get(1, 0)))
    if not parts or seconds == _NO_TIME:
        return None
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise WireError(f"{seconds} s since 1970 is no time") from None
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{_number(parts.get(2, 0)) // 1000:06d}Z" if micro else f"{text}Z"


def _int_or_string(data: bytes) -> int | str:
    parts = dict(fields(data))
    if _number(parts.get(1, 0)):
        return _text(parts.get(3, b""))
    return signed(_number(parts.get(2, 0)))


def _json(value: Value) -> Any:
    data = _bytes(value)
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError) as error:
        raise WireError(f"a field that holds JSON does not: {error}") from None


def _text(value: Value) -> str:
    try:
        return _bytes(value).decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"a string is not UTF-8: {error}") from None


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise WireError("a number stands where a string or a message should")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise WireError("a string stands where a number should")
    return value
