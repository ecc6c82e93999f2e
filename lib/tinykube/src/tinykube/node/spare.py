"""The folder of the next pod, made in advance.

A pod makes and deletes a dozen inodes, and waits for each: where many were deleted lately, ext4
takes up to half a millisecond for one. So there is a folder, in which no pod has ever been, that
the next one takes by giving it its own name. Of several pods at once the first has it; the others
make theirs as they come.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from sandbox import tree
from sandbox.errors import SandboxError
from tinykube.node import runs
from tinykube.node.addresses import Addresses

logger = logging.getLogger(__name__)


class Spare:
    """The one folder that is kept.

    Args:
        node: the node's folder.
        addresses: those of pods.

    Attributes:
        there: True while there is one to be taken.
    """

    def __init__(self, node: Path, addresses: Addresses) -> None:
        self._place = node / "spare"
        self._addresses = addresses
        self.there = False

    def take(self, folder: Path) -> None:
        """Make a pod's folder, unless it is there."""
        if os.path.isdir(folder):
            return
        if self.there:
            try:
                os.rename(self._place, folder)
            except FileNotFoundError:
                self.there = False
            except OSError as error:
                # On another disk, say.
                logger.info("%s is left where it is: %s", self._place, error)
            else:
                self.there = False
                return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def renew(self) -> None:
        """Make another, unless one is there: for a moment with nothing more urgent to do.

        It takes no thread, which would wait for the interpreter's lock a dozen times.
        """
        if self.there:
            return
        try:
            if os.path.lexists(self._place):
                # Of an earlier node, or half made.
                tree.remove(self._place)
            os.mkdir(self._place, 0o700)
            self._addresses.lay_out(self._place)
            runs.lay_out(self._place)
        except (OSError, SandboxError) as error:
            logger.warning("%s cannot be made: %s", self._place, error)
        else:
            self.there = True
