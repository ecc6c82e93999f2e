"""Messages as JSON that every client can read, whatever a step put into them."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.responses import Response


class MessageResponse(Response):
    """A JSON response.

    Half of a surrogate pair is escaped, and what is no number is written as protobuf writes it
    (`"NaN"`, `"Infinity"`): both come out of users' code and neither may break a response.
    """

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Give the body."""
        return encoded(content)


def encoded(content: Any) -> bytes:
    """Give JSON in ASCII, on one line."""
    try:
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(content), separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
