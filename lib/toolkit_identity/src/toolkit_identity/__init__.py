"""Tokens, hosts and origins: verified the same way by every image."""

from .guard import Guard
from .hosts import HostPatternError, HostPatterns
from .tokens import TokenFile, TokenFileError, generate_token

__all__ = [
    "Guard",
    "HostPatternError",
    "HostPatterns",
    "TokenFile",
    "TokenFileError",
    "generate_token",
]
