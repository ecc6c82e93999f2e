"""A folder that holds the command line under the name `juju`, for what calls that name."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

_PROGRAM = (
    'import sys; sys.argv[0] = "juju"; from minijuju.cli.start import main; sys.exit(main())'
)


def shim_folder(data: Path) -> Path:
    """Make `bin/juju` in the data folder and return the folder to put on PATH.

    The script is bound to this interpreter and this data folder, so that it works from any
    environment. It is replaced in one step: another process may be running it.
    """
    folder = data / "bin"
    # One after the other: what `parents` makes is for all to read.
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    # -P: the folder that a test runs in must not shadow our modules.
    script = (
        "#!/bin/sh\n"
        "# Juju's verbs, answered by minijuju.\n"
        f"MINIJUJU_DATA={shlex.quote(str(data))}\n"
        "export MINIJUJU_DATA\n"
        f'exec {shlex.quote(sys.executable)} -P -c {shlex.quote(_PROGRAM)} "$@"\n'
    )
    temporary = folder / f".juju.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(script)
    temporary.replace(folder / "juju")
    return folder
