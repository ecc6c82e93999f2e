"""A folder for a container that nobody has asked for yet: what any container needs in it.

ext4 looks at each inode that was deleted within the last minutes before it gives out another, and
a container needs seven. Who has a moment before a start makes them then: a start takes what it
finds, and makes what it does not find.
"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox import record, root, skeleton


def make(directory: Path) -> None:
    """Make it; there must be no such folder. To be started in by this process, not by a later one.

    Nothing was started in it, as whoever looks for a container there will find. Raises OSError.
    """
    os.mkdir(directory, 0o700)
    if skeleton.possible(directory):
        root.lay_out(directory)
    record.lay_out(directory)
