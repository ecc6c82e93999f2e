"""The one error that a command of the toolkit ends with."""

from __future__ import annotations


class ToolkitError(Exception):
    """What was asked, what was found, and what to do; printed as it is, exit code 1."""
