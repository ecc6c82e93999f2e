"""Lines of a stream that comes in pieces."""

from __future__ import annotations


class Lines:
    """Puts lines together, however long they are: an object's annotations alone may have 256 KiB.

    Lines end with a line feed, as in Kubernetes' watches; what JSON has within its strings, such
    as U+2028, ends none.
    """

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Give the lines that a piece ends, without their ends; empty ones are left out."""
        *ended, begun = piece.split(b"\n")
        if ended:
            ended[0] = b"".join((*self._begun, ended[0]))
            self._begun = []
        if begun:
            self._begun.append(begun)
        return [line for line in ended if line.strip()]

    def end(self) -> list[bytes]:
        """Give the last line if nothing ended it."""
        return self.feed(b"\n")
