"""Text that came as bytes: what is no UTF-8, and how a secret keeps it all the same.

Python has a lone surrogate for a byte that is no UTF-8; neither SQLite nor a terminal takes it.
"""

from __future__ import annotations

import re

_LONE = re.compile("[\ud800-\udfff]")


def valid(text: str) -> str:
    """Text with U+FFFD for what is no Unicode, as Go's programs hand it on."""
    return _LONE.sub("\ufffd", text)


def is_valid(text: str) -> bool:
    """Whether the text is nothing but Unicode."""
    return _LONE.search(text) is None


def from_bytes(value: bytes) -> str:
    """Any bytes as text that `to_bytes` turns back."""
    return value.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The bytes that `from_bytes` had."""
    return text.encode("utf-8", "surrogateescape")
