"""Runs one task attempt, or builds one environment, inside the user's image.

    python3 /toolkit/launcher run INPUT.json
    python3 /toolkit/launcher remote http://HOST:PORT/steps/v1   without a shared volume
    python3 /toolkit/launcher build REQUEST.json
    python3 /toolkit/launcher copy SOURCE TARGET                 an artifact into a workspace

Standard library only, Python 3.9 or later: it runs on whatever interpreter the image has.
"""

from __future__ import annotations

import os
import sys

VERSION = "2"
"""The version of the files' format; that of a preloaded copy must be the same."""


def main() -> int:
    """Run what the arguments ask for and give the exit code."""
    here = os.path.dirname(os.path.abspath(__file__))
    loaded = sys.modules.get("toolkit_launcher")
    if loaded is not None and getattr(loaded, "VERSION", None) != VERSION:
        # A warm interpreter of another release has its own copy: use the one that was mounted.
        for name in [each for each in sys.modules if each.startswith("toolkit_launcher")]:
            del sys.modules[name]
    # The folder is taken off the path again: the user's code must not see it.
    sys.path[:] = [each for each in sys.path if os.path.abspath(each or ".") != here]
    sys.path.insert(0, here)
    from toolkit_launcher import build, task

    entry = os.path.join(here, "__main__.py")
    if len(sys.argv) == 3 and sys.argv[1] == "remote":
        # Not preloaded: only such a step needs HTTP.
        from toolkit_launcher import remote

        sys.path.remove(here)
        return remote.run(sys.argv[2], entry)
    sys.path.remove(here)
    if len(sys.argv) == 3 and sys.argv[1] == "run":
        return task.run(sys.argv[2], entry)
    if len(sys.argv) == 3 and sys.argv[1] == "build":
        return build.run(sys.argv[2])
    if len(sys.argv) == 4 and sys.argv[1] == "copy":
        from toolkit_launcher import copying

        return copying.run(sys.argv[2], sys.argv[3])
    sys.stderr.write(
        "usage: launcher run INPUT.json | launcher remote URL | launcher build REQUEST.json | "
        "launcher copy SOURCE TARGET\n"
    )
    return 2


def _end(code: int) -> None:
    """End this process at once: all that it wrote is written, and nothing in it waits for an end.

    To take the interpreter apart would copy each page of it that a fork shares.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _end(main())
