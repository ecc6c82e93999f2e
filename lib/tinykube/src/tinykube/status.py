"""Errors as Kubernetes gives them: a `Status` object with its code, reason and causes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault of one field: `field` is a path such as `spec.containers[0].name`.

    Attributes:
        reason: a `FieldValue...` word of Kubernetes.
        message: the fault without the field, `Required value`.
        field: the path of the field.
    """

    reason: str
    message: str
    field: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def required(field: str, detail: str = "") -> Cause:
    """The field must be set."""
    return Cause("FieldValueRequired", _join("Required value", detail), field)


def wrong(field: str, value: object, detail: str) -> Cause:
    """The field's value breaks a rule."""
    return Cause("FieldValueInvalid", f"Invalid value: {quote(value)}: {detail}", field)


def forbidden_field(field: str, detail: str) -> Cause:
    """The field may not be set or changed here."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", field)


def unsupported(
    field: str, value: object, allowed: Sequence[str], *, ordered: bool = False
) -> Cause:
    """The value is none of the allowed ones, which are told sorted, or as they come."""
    words = ", ".join(quote(word) for word in (allowed if ordered else sorted(allowed)))
    message = f"Unsupported value: {quote(value)}: supported values: {words}"
    return Cause("FieldValueNotSupported", message, field)


def duplicate(field: str, value: object) -> Cause:
    """The value occurs twice in a list whose values are unique."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {quote(value)}", field)


def missing(field: str, value: object) -> Cause:
    """The value names something that is not there."""
    return Cause("FieldValueNotFound", f"Not found: {quote(value)}", field)


def _join(message: str, detail: str) -> str:
    return f"{message}: {detail}" if detail else message


_NAMED = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


def quote(value: object) -> str:
    """Show a value as Go does, cut so that a hostile one cannot fill a log."""
    if isinstance(value, str):
        shown = value if len(value) <= 200 else value[:200] + "..."
        return '"' + "".join(map(_letter, shown)) + '"'
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text if len(text) <= 200 else text[:200] + "..."


def _letter(letter: str) -> str:
    if letter in _NAMED:
        return _NAMED[letter]
    if letter.isprintable():
        return letter
    number = ord(letter)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


class ApiError(Exception):
    """An answer other than success; `status()` is its body, `code` its HTTP status."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        kind: str = "",
        group: str = "",
        name: str = "",
        causes: Sequence[Cause] = (),
        retry_after: int | None = None,
        detailed: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.kind = kind
        self.group = group
        self.name = name
        self.causes = tuple(causes)
        self.retry_after = retry_after
        # Some answers have empty details.
        self.detailed = detailed

    def status(self) -> dict[str, Any]:
        """The `Status` object, JSON."""
        details: dict[str, Any] = {}
        if self.name:
            details["name"] = self.name
        if self.group:
            details["group"] = self.group
        if self.kind:
            details["kind"] = self.kind
        if self.causes:
            details["causes"] = [
                {
                    name: value
                    for name, value in (
                        ("reason", cause.reason),
                        ("message", cause.message),
                        ("field", cause.field),
                    )
                    if value
                }
                for cause in self.causes
            ]
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if details or self.detailed:
            body["details"] = details
        body["code"] = self.code
        return body


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def undeterminable(name: str) -> ApiError:
    """400: the object that a request for `name` carries has no name."""
    return bad_request(
        f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
    )


def misnamed(given: str, name: str) -> ApiError:
    """400: the object that a request for `name` carries has another one."""
    return bad_request(
        f"the name of the object ({given[:253]}) does not match the name on the URL ({name})"
    )


def unauthorized() -> ApiError:
    """401: no token, or one that is not valid (any more)."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(plural: str, group: str, name: str, detail: str) -> ApiError:
    """403: understood and refused."""
    subject = f'{_qualified(plural, group)} "{name}"' if name else _qualified(plural, group)
    message = f"{subject} is forbidden: {detail}"
    return ApiError(403, "Forbidden", message, kind=plural, group=group, name=name)


def not_found(plural: str, group: str, name: str) -> ApiError:
    """404: no object of this name."""
    message = f'{_qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, kind=plural, group=group, name=name)


def unknown_path() -> ApiError:
    """404: nothing is served here."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409: the name is taken."""
    message = f'{_qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, kind=plural, group=group, name=name)


def conflict(plural: str, group: str, name: str, detail: str) -> ApiError:
    """409: the object is no longer the one the request was made for."""
    message = f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {detail}'
    return ApiError(409, "Conflict", message, kind=plural, group=group, name=name)


STALE = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: well-formed, but fields break the rules; `kind` is the object's kind."""
    subject = f"{kind}.{group}" if group else kind
    listed = ", ".join(str(cause) for cause in causes)
    text = listed if len(causes) == 1 else f"[{listed}]"
    message = f'{subject} "{name}" is invalid: {text}'
    return ApiError(422, "Invalid", message, kind=kind, group=group, name=name, causes=causes)


def expired(message: str) -> ApiError:
    """410: the history asked for is gone; list again."""
    return ApiError(410, "Expired", message)


def internal(message: str) -> ApiError:
    """500: not the caller's fault."""
    causes = [Cause("", message, "")]
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", causes=causes)


def success(kind: str, group: str, name: str, uid: str) -> dict[str, Any]:
    """The `Status` object that answers a deletion."""
    details: dict[str, Any] = {"name": name, "kind": kind, "uid": uid}
    if group:
        details["group"] = group
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
