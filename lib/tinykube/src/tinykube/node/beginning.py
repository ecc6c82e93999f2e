"""When a pod was taken up, to the millisecond, which the API's startTime is not.

It is on the disk before anything can start. A pod that is given an address of its own has a file
of that, and the file's time is it; others have the file `started`, which pods that an earlier
release began have too.
"""

from __future__ import annotations

import time
from pathlib import Path

from tinykube import objects


def begun(folder: Path, addressed: float | None, said: str | None) -> float:
    """The moment, noted if it is not yet; in seconds since the epoch.

    Args:
        folder: the pod's, which is there.
        addressed: when the pod was given its address; None if it has none of its own.
        said: the startTime that the API has of it; None before the first report.
    """
    try:
        with open(f"{folder}/started") as stream:
            return float(stream.read() or time.time())
    except FileNotFoundError:
        known = None if said is None else objects.when(said).timestamp()
    if addressed is not None:
        # Of another second it is no more than that of a file which had to be written anew.
        return addressed if known is None or 0 <= addressed - known < 1 else known
    moment = time.time() if known is None else known
    with open(folder / "started", "w") as stream:
        stream.write(repr(moment))
    return moment
