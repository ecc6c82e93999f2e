"""Why a step is not given, or not taken, what it asks for."""

from __future__ import annotations


class ConflictError(Exception):
    """It cannot be done as things stand; the message says what is in the way."""


class DamagedError(Exception):
    """A file is not what was declared: it may be sent again."""


class AbsentError(Exception):
    """There is no such file for this attempt."""
