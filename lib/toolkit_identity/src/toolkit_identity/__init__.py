"""Tokens, hosts and origins: verified the same way by every image."""

from .guard import CALLER, Guard, Verifier
from .hosts import HostPatternError, HostPatterns
from .tokens import TokenFile, TokenFileError, generate_token

__all__ = [
    "CALLER",
    "Guard",
    "HostPatternError",
    "HostPatterns",
    "TokenFile",
    "TokenFileError",
    "Verifier",
    "generate_token",
]
