"""Small helpers on objects: the API's JSON as dictionaries."""

from __future__ import annotations

import json
import marshal
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

JSON = dict[str, Any]

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_QUICK = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
# To find long numbers: digits become 0, all else a space.
_DIGITS = bytes(48 if chr(byte) in "0123456789" else 32 for byte in range(256))
_LONG = b"0" * 19


def dump(value: Any) -> str:
    """Compact JSON in ASCII: a lone surrogate in a client's string cannot break the encoding.

    orjson writes it where that is the same as the slow module's text, which takes fifteen times
    as long: its text is not ASCII where a string is not, and says null for what is no number.
    (Of a number below 0.0001 the spelling differs, as Go's does: 1e-7, not 1e-07.)

    Raises:
        TypeError: it is no JSON.
    """
    try:
        data = orjson.dumps(value, option=_QUICK)
    except orjson.JSONEncodeError:
        # Whole numbers of more than 64 bits, keys that are no strings, lone surrogates.
        return _dump(value)
    if not data.isascii() or b"\x7f" in data or b"null" in data:
        return _dump(value)
    return data.decode("ascii")


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def load(text: str) -> Any:
    """Read what `dump` has written; what others send is `parse`'s.

    orjson makes a float of a whole number of more than 64 bits, and refuses lone surrogates.

    Raises:
        ValueError: it is no JSON, or it is nested too deeply to be read.
    """
    if not text.isascii() or _LONG in text.encode("ascii").translate(_DIGITS):
        return parse(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return parse(text)


def parse(text: str | bytes) -> Any:
    """Read JSON as RFC 8259 has it (no NaN), with numbers that a float can be.

    Raises:
        ValueError: it is none, has too large a number, or is nested too deeply to be read.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_float)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        # What is written of it could not be read again.
        raise ValueError(f"{text[:50]} is too large a number")
    return value


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def copy(value: Any) -> Any:
    """A deep copy of JSON; many times as fast as copy.deepcopy."""
    try:
        return marshal.loads(marshal.dumps(value))  # noqa: S302 - its own bytes
    except ValueError:
        # Something else is among it, or it is very deep.
        return _copy(value)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def now() -> str:
    """The time as metav1.Time: UTC, whole seconds."""
    return time.strftime(_TIME, time.gmtime())


def stamp(moment: datetime) -> str:
    """A time as metav1.Time writes it."""
    return moment.astimezone(UTC).strftime(_TIME)


def when(text: str) -> datetime:
    """Read a time of RFC 3339."""
    return datetime.fromisoformat(text)


def meta(obj: Mapping[str, Any]) -> Any:
    """The object's metadata."""
    return obj["metadata"]


def name(obj: Mapping[str, Any]) -> str:
    """The object's name."""
    return str(obj["metadata"]["name"])


def namespace(obj: Mapping[str, Any]) -> str:
    """The object's namespace; empty for a cluster's own."""
    return str(obj["metadata"].get("namespace") or "")


def uid(obj: Mapping[str, Any]) -> str:
    """The object's uid."""
    return str(obj["metadata"]["uid"])


def terminating(obj: Mapping[str, Any]) -> bool:
    """True once the object's deletion was asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def finished(pod: Mapping[str, Any]) -> bool:
    """True for a pod whose containers have ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def set_condition(
    status: JSON, type_: str, value: str, *, reason: str = "", message: str = ""
) -> bool:
    """Put a condition into `status.conditions`; True if that changed anything.

    `lastTransitionTime` moves only when the value does.
    """
    if status.get("conditions") is None:
        status["conditions"] = []
    conditions: list[JSON] = status["conditions"]
    found = next((item for item in conditions if item.get("type") == type_), None)
    if found is None:
        found = {"type": type_}
        conditions.append(found)
    new = {"status": value, "reason": reason, "message": message}
    if all((found.get(key) or "") == item for key, item in new.items()):
        return False
    if found.get("status") != value:
        found["lastTransitionTime"] = now()
    for key, item in new.items():
        if item:
            found[key] = item
        else:
            found.pop(key, None)
    return True
