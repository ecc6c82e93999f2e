"""Storm a model again and again: `python -m tests.chaos --seed N --minutes M`.

A run ends at the first loss: what is wrong, the seed and where everything lies are printed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from tests.chaos.harness import Harness, LossError


def main() -> int:
    """Run; 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn by lot")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long; at least one storm")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{chosen.seed}-"))
    harness = Harness(folder / "d", chosen.seed)
    try:
        harness.run(chosen.minutes * 60)
    except (LossError, AssertionError) as loss:
        print(f"seed {chosen.seed}, {harness.storms} storms, in {folder}: {loss}", file=sys.stderr)
        return 1
    finally:
        harness.stop()
    print(harness.summary())
    harness.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
