"""Run pytest, and what failed once more by itself.

    python -m tests.again -n 4 tests/functional      # pytest's own arguments

Tests of processes share their machine with each other, and on a busy one a wait can be too short
or a race be lost. A test that fails beside the others and passes alone is told at the end by name
(it's a fault of the test or of what it tests, and is to be mended), and the run passes. A test
that fails twice fails the run, and so do more than `LIMIT` failures, of which none is run again.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

# A deployment that did not come up fails all tests of its file.
LIMIT = 20


class Failures:
    """The tests that failed, in set-up, call or teardown; a pytest plugin."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test by its id, once."""
        if report.failed:
            self.names[report.nodeid] = None


def main(arguments: list[str]) -> int:
    """Pytest's exit status: of the second run, where there was one."""
    failures = Failures()
    status = int(pytest.main(arguments, plugins=[failures]))
    names = list(failures.names)
    if status != pytest.ExitCode.TESTS_FAILED or not 0 < len(names) <= LIMIT:
        return status
    print(f"\nonce more, each by itself: {', '.join(names)}", flush=True)
    # In a process of its own: what the first run left in this one is not to count.
    alone = [sys.executable, "-m", "pytest", *arguments, "-n", "0", "--last-failed"]
    status = subprocess.run(alone, check=False).returncode
    if status == pytest.ExitCode.OK:
        print("\nfailed beside other tests and passed alone, to be mended:")
        print("".join(f"  {name}\n" for name in names), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
