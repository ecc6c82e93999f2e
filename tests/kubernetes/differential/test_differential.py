"""Random requests to tinykube and to the real API server: what is answered, and what is watched.

The same requests in every run. `python -m tests.kubernetes.differential` takes other seeds.
"""

from __future__ import annotations

import math

import pytest

from .exploration import command, rounds
from .kinds import KINDS

REQUESTS = 10_000
_SEED = 1
_SHOWN = 3


@pytest.mark.parametrize("kind", KINDS, ids=[kind.plural for kind in KINDS])
def test_both_answer_the_same(runner, kind):
    share = math.ceil(REQUESTS / len(KINDS))
    before = runner.asked
    found = [
        f"{difference.report()}\nagain: {command(kind, number)}"
        for number, difference in rounds(runner, kind, _SEED, share)
    ]
    assert runner.asked - before >= share
    assert not found, f"{len(found)} differences, of which the first:\n" + "\n\n".join(
        found[:_SHOWN]
    )
