"""Errors as Google's status message: `{"code", "message", "details"}`, with the HTTP status."""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from toolkit_objects import ObjectStoreError

from ..paging import PageError
from ..spec import NotSupportedError, SpecError
from ..store.interface import AlreadyExistsError, InUseError, NotFoundError, StoreError
from .responses import MessageResponse

logger = logging.getLogger(__name__)

_QUOTED = 2000
"""Characters of a message that a client is sent; what it asked for may be in it."""


class Code(enum.Enum):
    """`google.rpc.Code` with the HTTP status that its documentation gives."""

    INVALID_ARGUMENT = (3, 400)
    NOT_FOUND = (5, 404)
    ALREADY_EXISTS = (6, 409)
    FAILED_PRECONDITION = (9, 400)
    UNIMPLEMENTED = (12, 501)
    INTERNAL = (13, 500)
    UNAVAILABLE = (14, 503)

    @property
    def number(self) -> int:
        """The code's number."""
        return self.value[0]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[1]


class ApiError(Exception):
    """A request that is refused.

    Attributes:
        code: the kind of error.
        message: what was asked, what was found, what to do.
        field: the field of the request that is wrong, or "".
        status: the HTTP status, if it is not the code's own.
    """

    def __init__(
        self, code: Code, message: str, *, field: str = "", status: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.status = status or code.status


def invalid(field: str, message: str) -> ApiError:
    """Give the error for a field of the request that cannot be used."""
    return ApiError(Code.INVALID_ARGUMENT, f"{field}: {message}", field=field)


def body(code: Code, message: str, field: str = "", reason: str = "") -> dict[str, Any]:
    """Give the status message of an error."""
    if len(message) > _QUOTED:
        message = f"{message[:_QUOTED]}..."
    details: list[Mapping[str, Any]] = []
    if field:
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "field_violations": [{"field": field, "description": message}],
            }
        )
    if reason:
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason})
    return {"code": code.number, "message": message, "details": details}


def _response(
    code: Code, message: str, field: str = "", reason: str = "", status: int | None = None
) -> Response:
    return MessageResponse(body(code, message, field, reason), status_code=status or code.status)


def _refused(request: Request, error: Exception) -> Response:
    match error:
        case ApiError():
            return _response(error.code, error.message, error.field, status=error.status)
        case NotSupportedError():
            return _response(
                Code.INVALID_ARGUMENT, str(error), error.where, "CONSTRUCT_NOT_SUPPORTED"
            )
        case SpecError():
            return _response(Code.INVALID_ARGUMENT, str(error), error.where, "INVALID_PIPELINE")
        case PageError():
            return _response(Code.INVALID_ARGUMENT, str(error))
        case NotFoundError():
            return _response(Code.NOT_FOUND, str(error))
        case AlreadyExistsError():
            return _response(Code.ALREADY_EXISTS, str(error))
        case InUseError():
            return _response(Code.FAILED_PRECONDITION, str(error))
        case StoreError():
            logger.error("the store: %s", error)
            return _response(Code.UNAVAILABLE, str(error))
        case ObjectStoreError():
            logger.error("%s", error)
            code = Code.UNAVAILABLE if error.transient else Code.FAILED_PRECONDITION
            return _response(code, str(error))
        case HTTPException(status_code=404):
            return _response(
                Code.NOT_FOUND, f"there is no {request.method} {request.url.path[:200]!r}"
            )
        case HTTPException(status_code=405):
            return _response(
                Code.UNIMPLEMENTED,
                f"{request.method} does nothing on {request.url.path[:200]!r}",
                status=405,
            )
        case HTTPException():
            return _response(Code.INVALID_ARGUMENT, error.detail, status=error.status_code)
    raise error


def _failed(request: Request, error: Exception) -> Response:
    # Starlette raises it again after the response, so that the server's log has the traceback.
    return _response(Code.INTERNAL, "the service failed; its log says more")


_REFUSED = (
    ApiError,
    SpecError,
    PageError,
    NotFoundError,
    AlreadyExistsError,
    InUseError,
    StoreError,
    ObjectStoreError,
    HTTPException,
)

HANDLERS: Mapping[Any, Any] = {**dict.fromkeys(_REFUSED, _refused), Exception: _failed}
"""What Starlette is given as exception handlers."""
