"""The launcher of pipeline steps."""

from __future__ import annotations

VERSION = "2"
