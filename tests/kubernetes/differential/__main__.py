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

from tests.kubernetes import programs
from tests.kubernetes.cluster.plane import ControlPlane
from tests.kubernetes.cluster.tiny import Tinykube
from tests.kubernetes.differential import known
from tests.kubernetes.differential.exploration import command, rounds
from tests.kubernetes.differential.kinds import KINDS, Kind
from tests.kubernetes.differential.runner import Difference
from tests.kubernetes.differential.setting import prepared


def main() -> int:
    """Run sequences; print what differs, most frequent last."""
    parser = argparse.ArgumentParser(prog="tests.kubernetes.differential", description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="of each kind, at least")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--kind", action="append", choices=[kind.plural for kind in KINDS])
    parser.add_argument("--ignore", default="(?!)", help="a regular expression for paths")
    parser.add_argument("--rows", action="store_true", help="show what known.yaml explained")
    parsed = parser.parse_args()
    kinds = [kind for kind in KINDS if not parsed.kind or kind.plural in parsed.kind]
    found: dict[tuple[object, ...], list[str]] = collections.defaultdict(list)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="differential-")))
        (folder / "plane").mkdir()
        (folder / "tiny").mkdir(mode=0o700)
        plane = stack.enter_context(
            ControlPlane(programs.ensure("controlplane", progress=print), folder / "plane")
        )
        tiny = stack.enter_context(Tinykube(folder / "tiny"))
        runner = stack.enter_context(prepared(plane.kubeconfig, tiny.kubeconfig))
        began = time.monotonic()
        for kind in kinds:
            for number, difference in rounds(runner, kind, parsed.seed, parsed.requests):
                if not re.search(parsed.ignore, difference.path):
                    found[_signature(kind, difference)].append(
                        f"{difference.report()}\n{command(kind, number)}"
                    )
        seconds = time.monotonic() - began
    for same in sorted(found.values(), key=len):
        print(f"\n[{len(same)}x] {same[0]}")
    if parsed.rows:
        for row in known.table():
            print(f"{known.used[row]:6} {row}")
    print(f"\n{runner.asked} requests in {seconds:.0f} s; {len(found)} kinds of difference")
    return bool(found)


def _signature(kind: Kind, difference: Difference) -> tuple[object, ...]:
    """What two differences have in common that are of one kind."""
    path = re.sub(r"\[\d+\]", "[]", difference.path)
    words = [
        re.sub(r'"[^"]*"|\d+', "_", str(value))[:60]
        for value in (difference.real, difference.tiny)
    ]
    return (kind.plural, path, difference.codes, *words)


if __name__ == "__main__":
    sys.exit(main())
