"""Hold a command of bubblewrap's back until the kernel bounds its processes.

RLIMIT_NPROC counts in the user namespace that a process is in (Linux 5.14): it means a container
if it is set within: bubblewrap is told to wait before the command, and its PID 1 gets the limit
meanwhile. Set before bubblewrap, it would count every process of the container's user.

The kernel holds all users to it but the machine's root, whom it exempts in every namespace.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import resource
from types import TracebackType

from sandbox.process import readable

_FIRST = (5, 14)
_MESSAGE = 4096
_CHILD = re.compile(rb'"child-pid": (\d+)')


@functools.cache
def counted() -> bool:
    """Whether this kernel counts a container's processes by themselves."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return found is not None and (int(found[1]), int(found[2])) >= _FIRST


def bound(most: int | None) -> int | None:
    """The limit that a process of this one's rights can be given; None where there is none."""
    if most is None or not counted():
        return None
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


class Gate:
    """The gate before one command; a context, at whose end it is open however that comes.

    Attributes:
        options: what bubblewrap is told besides.
        descriptors: what it has to inherit.

    Args:
        most: how many processes and threads there may be; None: there is no gate.
    """

    def __init__(self, most: int | None) -> None:
        self._most = bound(most)
        self.options: tuple[str, ...] = ()
        self.descriptors: tuple[int, ...] = ()
        if self._most is None:
            return
        self._said = b""
        self._told, telling = os.pipe()
        waiting, self._open = os.pipe()
        self.descriptors = (telling, waiting)
        self.options = ("--info-fd", str(telling), "--block-fd", str(waiting))

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.begun()
        self._close()

    def begun(self) -> None:
        """Close what bubblewrap has inherited, or its end would not be seen."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()

    def lift(self) -> None:
        """Set the limit and let the command begin. Waits until bubblewrap has made PID 1.

        To be called once bubblewrap has been started; if that has ended, nothing is done.
        """
        while not self._hear():
            pass

    async def lifted(self) -> None:
        """`lift`, for who must not block."""
        while self._most is not None:
            await readable(self._told)
            self._hear()

    def _hear(self) -> bool:
        """Read what bubblewrap tells; True if that was all, or there is no gate."""
        if self._most is None:
            return True
        self.begun()
        if said := os.read(self._told, _MESSAGE):
            # Until it closes its end, ours stays open: it would die of what it cannot write.
            self._said += said
            return False
        if found := _CHILD.search(self._said):
            with contextlib.suppress(ProcessLookupError):
                limit = (self._most, self._most)
                resource.prlimit(int(found[1]), resource.RLIMIT_NPROC, limit)
        self._close()
        return True

    def _close(self) -> None:
        # Whoever waits at the other end of the second one goes on.
        if self._most is not None:
            self._most = None
            os.close(self._told)
            os.close(self._open)
