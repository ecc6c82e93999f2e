"""The tokens of the deployed components, each in a file that only its owner can read."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    """Where the files are: `charmed-ml-toolkit/tokens` below the user's data folder."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "charmed-ml-toolkit" / "tokens"


def path(model: str, application: str) -> Path:
    """The file of one component's token."""
    return folder() / f"{model}-{application}"


def write(model: str, application: str, token: str) -> Path:
    """Keep a token; the file is never readable by others, not even while it is written."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path(model, application)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(token)
    temporary.replace(file)
    return file
