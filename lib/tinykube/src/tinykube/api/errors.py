"""What goes wrong, as the Status that says so; and what is not accepted at all."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tinykube import answers, status
from tinykube.status import ApiError
from tinykube.store import StorageError

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


def guarded(handler: Handler) -> Handler:
    """Turn what goes wrong into the Status that says so."""

    async def answer(http: Request) -> Response:
        response = await attempt(http)
        if deprecation := getattr(http.state, "deprecation", ""):
            answers.warn(response, deprecation)
        return response

    async def attempt(http: Request) -> Response:
        try:
            return await handler(http)
        except ApiError as error:
            return answers.error(error, warnings=getattr(http.state, "warnings", ()))
        except StorageError as error:
            log.error("%s %s: %s", http.method, http.url.path, error)
            return answers.error(status.internal(str(error)))
        except ClientDisconnect:
            # Nobody is left to read an answer.
            return Response(status_code=499)
        except Exception:
            log.exception("%s %s failed", http.method, http.url.path)
            return answers.error(
                status.internal("the request could not be served; tinykube's log says why")
            )

    return answer


def only(http: Request, method: str) -> None:
    """Refuse other methods. Raises ApiError 405."""
    if http.method not in (method, "HEAD"):
        raise not_allowed()


def not_allowed() -> ApiError:
    """405: the resource is there, the method is not."""
    return ApiError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        detailed=True,
    )
