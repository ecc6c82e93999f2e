"""Errors that a caller of the controller may see, each with the code of the RPC protocol."""

from __future__ import annotations


class JujuError(Exception):
    """The root of everything the controller refuses; `code` is what the RPC reply carries."""

    code = "failed"


class NotFoundError(JujuError):
    """Something was named that does not exist."""

    code = "not-found"


class BadRequestError(JujuError):
    """A request or a value in it makes no sense; nothing was changed."""

    code = "bad-request"


class AlreadyExistsError(JujuError):
    """A name is taken."""

    code = "already-exists"


class NotSupportedError(JujuError):
    """Juju has it and minijuju has not."""

    code = "not-supported"


class TimedOutError(JujuError):
    """The bound on a wait ran out; what was waited for goes on."""

    code = "timeout"


class StateError(JujuError):
    """The database cannot be used; it is left as it is."""


ERRORS: dict[str, type[JujuError]] = {
    kind.code: kind
    for kind in (
        JujuError,
        NotFoundError,
        BadRequestError,
        AlreadyExistsError,
        NotSupportedError,
        TimedOutError,
    )
}
