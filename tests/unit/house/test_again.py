"""What failed is run once more by itself, and fails the run if it fails again."""

import subprocess
import sys

import pytest
from tests import again

ONCE = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_it(number):
    seen = Path(__file__).with_name(f"seen{{number}}")
    first = not seen.exists()
    seen.touch()
    assert not first and {passes}

def test_other():
    with Path(__file__).with_name("others").open("a") as log:
        log.write("x")
"""


@pytest.fixture
def run(tmp_path):
    """Run a file of tests through the module, as tox does; its status and output."""

    def run(text, *options):
        (tmp_path / "test_it.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", again.__name__, "-n", "2", "--rootdir", tmp_path]
        done = subprocess.run(
            [*command, "-c", tmp_path / "pytest.ini", *options, tmp_path],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout

    return run


def test_a_test_that_passes_alone_is_told_and_the_run_passes(run, tmp_path):
    status, output = run(ONCE.format(count=1, passes=True))
    assert status == 0, output
    told = output.partition("failed beside other tests and passed alone, to be mended:\n")[2]
    assert told.split() == ["test_it.py::test_it[0]"]
    assert (tmp_path / "others").read_text() == "x"  # The others were not run again.


def test_a_test_that_fails_twice_fails_the_run(run):
    status, output = run(ONCE.format(count=1, passes=False))
    assert status == 1
    assert "once more, each by itself: test_it.py::test_it[0]" in output
    assert "passed alone" not in output


def test_many_failures_are_not_run_again(run):
    status, output = run(ONCE.format(count=again.LIMIT + 1, passes=True))
    assert status == 1
    assert "once more" not in output


def test_what_is_no_failure_of_a_test_is_pytests_own(run):
    status, output = run("syntax error")
    assert status == 1
    assert "once more" not in output
    assert run("def test_it(): pass", "--unknown")[0] == pytest.ExitCode.USAGE_ERROR
    assert run("def test_it(): pass", "-k", "nothing")[0] == pytest.ExitCode.NO_TESTS_COLLECTED
    assert run("def test_it(): pass")[0] == 0
