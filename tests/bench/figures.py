"""A measured figure and how it is printed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a bench.

    Attributes:
        name: what was measured.
        values: what each run gave, in `unit`.
        unit: `s`, `ms` or `MiB`.
        peer: the same measure of the peer in the same run, if there is one.
    """

    name: str
    values: Sequence[float]
    unit: str = "ms"
    peer: Sequence[float] = ()
    peer_name: str = ""

    @property
    def median(self) -> float:
        """The middle of the runs."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        text = f"{self.name:<44} {self.median:10.1f} {self.unit}"
        if len(self.values) > 1:
            text += f"  ({min(self.values):.1f}..{max(self.values):.1f}, n={len(self.values)})"
        if self.peer:
            other = statistics.median(self.peer)
            text += f"  {self.peer_name}: {other:.1f} {self.unit}, ratio {self.median / other:.2f}"
        return text


def proportional_memory(pid: int) -> float:
    """PSS of one process in MiB (from smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no Pss line for process {pid}")
