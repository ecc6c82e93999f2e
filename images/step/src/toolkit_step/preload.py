"""What a warm interpreter of this image imports before it forks a step.

The launcher's own modules come from `share/toolkit-launcher`, the folder that pods mount, so that
one copy serves both. KFP's executor is imported the way its own command line does it: with
`_KFP_RUNTIME=true`, which leaves the client and the compiler out. The variable does not stay:
a step's subprocess that wants the whole SDK gets it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

LAUNCHER = Path(sys.prefix, "share", "toolkit-launcher")


def load() -> None:
    """Import the launcher and KFP's executor, whose code the launcher keeps."""
    sys.path.insert(0, str(LAUNCHER))
    try:
        for name in ("build", "task"):
            importlib.import_module(f"toolkit_launcher.{name}")
    finally:
        sys.path.remove(str(LAUNCHER))
    before = os.environ.get("_KFP_RUNTIME")
    os.environ["_KFP_RUNTIME"] = "true"
    try:
        importlib.import_module("toolkit_launcher.python_call").keep()
    finally:
        if before is None:
            del os.environ["_KFP_RUNTIME"]
        else:
            os.environ["_KFP_RUNTIME"] = before
    # KFP's executor reads its arguments by argparse, which compiles its patterns at the first one.
    argparse.ArgumentParser().add_argument("--executor_input", type=str)


load()
