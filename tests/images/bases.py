"""Stand-ins for the images that the Containerfiles name, where registries cannot be relied upon.

They have the same names, so that the Containerfiles are built as they stand: Python's image is
made of Debian's packages, with the Python of this machine's release, and uv's of uv's wheel.
"""

from __future__ import annotations

import importlib.metadata
import shutil

from sandbox.images import find_uv

from .builder import PYTHON as FILES
from .builder import SHARED, Builder

PYTHON = "docker.io/library/python:3.12-slim"
UV = f"ghcr.io/astral-sh/uv:{importlib.metadata.version('uv')}"

_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def make(builder: Builder) -> None:
    """Build both."""
    uv = builder.shared / "uv"
    uv.mkdir()
    shutil.copy(find_uv(), uv / "uv")
    for name, folder, env in ((PYTHON, FILES, f"ENV PATH={_PATH}\n"), (UV, SHARED / "uv", "")):
        file = builder.shared / f"{folder.name}.Containerfile"
        file.write_text(f"FROM scratch\nCOPY . /\n{env}")
        builder.build(str(SHARED / file.name), name, str(folder))
    shutil.rmtree(uv)
