"""Run benches and print their figures: `python -m tests.bench [NAME ...]`.

A bench is a module `bench_NAME.py` here with `run() -> Iterable[Figure]`. Figures are ratios
against a peer measured in the same run wherever there is a peer: machines are noisy.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run the named benches, or all; print one line a figure."""
    names = sorted(file.stem.removeprefix("bench_") for file in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of: {', '.join(names)}; default: all")
    chosen = parser.parse_args().name or names
    unknown = set(chosen) - set(names)
    if unknown:
        parser.error(f"no bench named {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    cores = os.cpu_count()
    print(
        f"{date.today()}  {platform.machine()}, {cores} cores, Python {platform.python_version()}"
    )
    for name in chosen:
        print(f"\n{name}")
        module = importlib.import_module(f"tests.bench.bench_{name}")
        for figure in module.run():
            print(f"  {figure}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
