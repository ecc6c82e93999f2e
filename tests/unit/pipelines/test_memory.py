from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import ctypes
from toolkit_pipelines import memory

class Found(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]

found = ctypes.CDLL(None).mallinfo
found.restype = Found
if {settled}:
    memory.give_back()
bytearray(2**20)
before = found().hblks
kept = bytearray(2**20)
print(found().hblks - before)
"""


def mapped(*, settled: bool) -> int:
    """How many large blocks more are the kernel's, with one more after another was freed."""
    script = SCRIPT.format(settled=settled)
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return int(done.stdout)


def test_large_blocks_are_not_taken_from_the_heap() -> None:
    assert mapped(settled=False) == 0
    assert mapped(settled=True) == 1
