"""The launcher's run of one attempt, its parts in this process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from toolkit_launcher import task


def test_a_signal_that_comes_before_the_child_reaches_it():
    before = signal.getsignal(signal.SIGUSR1)
    with task._Forwarding() as forwarding:
        os.kill(os.getpid(), signal.SIGUSR1)
        with subprocess.Popen(["sleep", "60"]) as child:
            forwarding.start(child.pid)
            assert child.wait(timeout=60) == -signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_child_that_has_gone_is_sent_nothing():
    child = subprocess.Popen(["true"])
    child.wait()
    with task._Forwarding() as forwarding:
        forwarding.start(child.pid)
        os.kill(os.getpid(), signal.SIGUSR1)


def launched(script: str, *words: str) -> str:
    """What a script prints that has the launcher."""
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PYTHONPATH": str(Path(task.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout.strip()


THREADS = """
import _thread, os, sys, time
from toolkit_launcher import task
_thread.start_new_thread(time.sleep, (float(sys.argv[1]),))
task._LINGERING = float(sys.argv[2])
before = os.listdir("/proc/self/task")
task._be_alone()
print(len(before), len(os.listdir("/proc/self/task")))
"""


def threads(seconds: float, patience: float) -> str:
    """How many threads there were before and after the wait; one of them ends after `seconds`.

    In a process of its own: a test's has threads that stay.
    """
    return launched(THREADS, str(seconds), str(patience))


def test_threads_that_end_are_waited_for_before_a_fork():
    assert threads(0.2, patience=30) == "2 1"


def test_threads_that_stay_are_not():
    assert threads(3600, patience=0.1) == "2 2"


FORKED = """
import os, signal, sys
from toolkit_launcher import python_call, task
task._be_alone = lambda: os.kill(os.getpid(), signal.SIGUSR1)
def execute(*call):
    signal.alarm(60)
    signal.pause()
python_call.execute = execute
code = task._fork(None, None, "")
print(code, signal.getsignal(signal.SIGUSR1).name, signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_a_signal_that_comes_before_the_fork_reaches_the_function():
    assert launched(FORKED) == f"{128 + signal.SIGUSR1} SIG_DFL set()"
