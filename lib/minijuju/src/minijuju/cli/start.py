"""The command line as a process: what it imports is kept from the garbage collector."""

from __future__ import annotations

import gc


def main() -> int:
    """Run the command of the process's arguments; its exit code.

    The modules stay to the end. To look through them for garbage, while they are imported and
    once more as the process ends, took a sixth of what a command costs.
    """
    gc.disable()
    from .main import main as run

    gc.freeze()
    gc.enable()
    return run()
