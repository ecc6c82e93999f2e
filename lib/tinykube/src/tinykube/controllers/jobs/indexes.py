"""Sets of completion indexes, as a Job's status writes them: `0-2,5`."""

from __future__ import annotations

from collections.abc import Iterable


def parse(text: str, completions: int) -> set[int]:
    """The indexes below `completions` in a text such as `0-2,5`.

    Raises:
        ValueError: it is no such text.
    """
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, separator, last = part.partition("-")
        start, end = int(first), int(last if separator else first)
        if end < start:
            raise ValueError(f"{part!r} ends before it begins")
        found.update(range(start, min(end, completions - 1) + 1))
    return found


def write(indexes: Iterable[int]) -> str:
    """The text of a set of indexes: runs of three and more as `first-last`, as Kubernetes does."""
    parts: list[str] = []
    run: list[int] = []
    for index in (*sorted(indexes), None):
        if run and (index is None or index != run[-1] + 1):
            if len(run) == 1:
                parts.append(str(run[0]))
            elif len(run) == 2:
                parts.append(f"{run[0]},{run[1]}")
            else:
                parts.append(f"{run[0]}-{run[-1]}")
            run = []
        if index is not None:
            run.append(index)
    return ",".join(parts)
