"""Look for differences without stopping at the first: each once, with an example.

python -m tests.kubernetes.differential --requests 2000 --seed 1 --kind configmaps
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import re
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.kubernetes import programs
from tests.kubernetes.cluster.plane import ControlPlane
from tests.kubernetes.cluster.tiny import Tinykube
from tests.kubernetes.differential.kinds import KINDS
from tests.kubernetes.differential.runner import Difference
from tests.kubernetes.differential.sequences import sequences
from tests.kubernetes.differential.setting import prepared

_AVERAGE = 10


def main() -> int:
    """Run sequences; print what differs, most frequent first."""
    parser = argparse.ArgumentParser(prog="tests.kubernetes.differential", description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=[kind.plural for kind in KINDS])
    parser.add_argument("--ignore", default="(?!)", help="a regular expression for paths")
    parsed = parser.parse_args()
    kinds = tuple(kind for kind in KINDS if not parsed.kind or kind.plural in parsed.kind)
    found: dict[tuple[object, ...], list[Difference]] = collections.defaultdict(list)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="differential-")))
        (folder / "plane").mkdir()
        (folder / "tiny").mkdir(mode=0o700)
        plane = stack.enter_context(
            ControlPlane(programs.ensure("controlplane", progress=print), folder / "plane")
        )
        tiny = stack.enter_context(Tinykube(folder / "tiny"))
        runner = stack.enter_context(prepared(plane.kubeconfig, tiny.kubeconfig))

        @seed(parsed.seed)
        @settings(
            max_examples=max(1, parsed.requests // _AVERAGE),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(sequences(kinds))
        def explore(sequence):  # type: ignore[no-untyped-def]
            for difference in runner.run(sequence, whole=True):
                if not re.search(parsed.ignore, difference.path):
                    found[_signature(difference)].append(difference)

        began = time.monotonic()
        explore()
        seconds = time.monotonic() - began
    for same in sorted(found.values(), key=len):
        print(f"\n[{len(same)}x] {same[0]}")
    print(f"\n{runner.asked} requests in {seconds:.0f} s; {len(found)} kinds of difference")
    return bool(found)


def _signature(difference: Difference) -> tuple[object, ...]:
    """What two differences have in common that are of one kind."""
    path = re.sub(r"\[\d+\]", "[]", difference.path)
    words = [
        re.sub(r'"[^"]*"|\d+', "_", str(value))[:60]
        for value in (difference.real, difference.tiny)
    ]
    request = difference.request
    return (request.kind.plural, path, difference.codes, *words)


if __name__ == "__main__":
    sys.exit(main())
