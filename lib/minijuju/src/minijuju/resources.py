"""Resources as a charm fetches them with resource-get."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minijuju.charm import ResourceMeta
from minijuju.hooks.tools import HOOKS_FOLDER


def place(folder: Path, declared: ResourceMeta, attached: Mapping[str, Any]) -> str:
    """Put a resource's file where the charm sees it; the path inside the charm container.

    Args:
        folder: the unit's hooks folder on this machine.
        declared: what the charm says of the resource.
        attached: `{"type": "oci-image", "reference": ...}` or `{"type": "file", "path": ...}`.
    """
    below = Path("resources", declared.name)
    target = folder / below
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = declared.filename if declared.type == "file" else "content.yaml"
    new = target / f".{name}.new"
    new.unlink(missing_ok=True)
    if declared.type == "file":
        shutil.copyfile(attached["path"], new)
    else:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"registrypath: {attached['reference']}\nusername: ''\npassword: ''\n")
    new.replace(target / name)
    return f"{HOOKS_FOLDER}/{below}/{name}"
