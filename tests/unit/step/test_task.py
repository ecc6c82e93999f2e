"""The launcher's run of one attempt, its parts in this process."""

import os
import signal
import subprocess

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
