"""Processes are known by more than their pid."""

import dataclasses
import os
import signal
import subprocess

import pytest

from sandbox import process


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def test_a_running_process_is_recognised(sleeper):
    identity = process.Identity.of(sleeper.pid)
    assert identity
    assert identity.alive()
    assert process.Identity.of(os.getpid()) != identity


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another"}])
def test_a_stranger_with_the_same_pid_is_left_alone(sleeper, change):
    identity = process.Identity.of(sleeper.pid)
    assert identity
    stranger = dataclasses.replace(identity, **change)
    assert not stranger.alive()
    assert not stranger.signal(signal.SIGKILL)
    assert sleeper.poll() is None


def test_ending_one_that_ignores_sigterm():
    ready = "trap '' TERM; echo; while :; do sleep 1; done"
    with subprocess.Popen(["sh", "-c", ready], stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        identity = process.Identity.of(child.pid)
        assert identity
        identity.end(grace=0.05)
        assert child.wait(10) == -signal.SIGKILL
    assert not identity.alive()
    assert not identity.signal(signal.SIGTERM)


def test_no_process_no_identity(sleeper):
    sleeper.kill()
    sleeper.wait()
    assert process.Identity.of(sleeper.pid) is None
