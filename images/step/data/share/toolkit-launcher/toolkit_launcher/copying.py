"""An artifact copied into the workspace of a run: what an importer asks for there."""

from __future__ import annotations

import os
import shutil
import sys
import uuid


def run(source: str, target: str) -> int:
    """Copy a file or a folder; give the exit code for the pod.

    Links are followed: what they lead to is the artifact's content. A target that is there already
    is another importer's copy of the same artifact, or that of an earlier attempt.

    Args:
        source: a file or a folder.
        target: where it is to be; it is there whole or not at all.
    """
    temporary = f"{target}.{uuid.uuid4().hex}.new"
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, temporary)
        else:
            shutil.copyfile(source, temporary)
        try:
            os.rename(temporary, target)
        except OSError:
            if not os.path.isdir(target):
                raise
            shutil.rmtree(temporary)
    except (OSError, shutil.Error) as error:
        sys.stderr.write(f"{source} cannot be copied to {target}: {error}\n")
        return 1
    return 0
