"""Messages as JSON that every client can read, whatever a step put into them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response

_PIECE: Final = 100
"""How many tasks are written at a time."""


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


def encoded_run(run: dict[str, Any], details: Iterable[dict[str, Any]]) -> bytes:
    """Give a Run with its task details as `encoded` does, and keep no detail that is written.

    Args:
        run: the Run without them; not empty.
        details: its PipelineTaskDetails.
    """
    following = iter(details)
    pieces = iter(lambda: list(itertools.islice(following, _PIECE)), [])
    # The brackets of each list are left out, and the brace that ends the run.
    written = b",".join(encoded(piece)[1:-1] for piece in pieces)
    return b"".join((encoded(run)[:-1], b',"run_details":{"task_details":[', written, b"]}}"))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
