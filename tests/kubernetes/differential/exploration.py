"""Rounds of random sequences: each has a seed, and is the same whenever it is run again."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import HealthCheck, Phase, given, seed, settings

from .kinds import Kind
from .runner import Difference, Runner
from .sequences import sequences

_SEQUENCES = 40


def command(kind: Kind, number: int) -> str:
    """What runs one round again."""
    program = "python -m tests.kubernetes.differential"
    return f"{program} --requests 1 --seed {number} --kind {kind.plural}"


def rounds(
    runner: Runner, kind: Kind, first: int, requests: int
) -> Iterator[tuple[int, Difference]]:
    """Unexplained differences, each with the seed of its round.

    Args:
        runner: asks both.
        kind: what the requests are about.
        first: the seed of the first round; the next ones count up.
        requests: the rounds end when at least so many were made.
    """
    end = runner.asked + requests
    number = first
    while runner.asked < end:
        for difference in _round(runner, kind, number):
            yield number, difference
        number += 1


def _round(runner: Runner, kind: Kind, number: int) -> list[Difference]:
    found: list[Difference] = []

    # Nothing is shrunk or replayed: both servers remember what they were asked.
    @seed(number)
    @settings(
        max_examples=_SEQUENCES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(sequences(kind))
    def explore(sequence):  # type: ignore[no-untyped-def]
        found.extend(runner.run(sequence, whole=True))

    explore()
    return found
