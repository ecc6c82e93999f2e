"""Options whose text is YAML or JSON."""

from __future__ import annotations

import json
from typing import Any

import yaml

_LONGEST = 16 * 1024  # characters


def read(text: object, example: str) -> Any:
    """Give what an option holds, None if it is empty.

    Args:
        text: the option.
        example: what the message of an error shows.

    Raises:
        ValueError: it is too long, or neither YAML nor JSON, or has aliases.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError(f"write at most {_LONGEST} characters of YAML or JSON")
    try:
        # A few aliases of aliases stand for more than fits in memory.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError("aliases")
        found = yaml.safe_load(text)
        # YAML knows dates and more that JSON, and so Kubernetes, does not.
        json.dumps(found, allow_nan=False)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"write YAML or JSON such as {example}, without aliases") from error
    return found
