"""One holder for a lock, who can be named."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from sandbox import lock


def test_the_second_is_told_who_the_first_is(tmp_path):
    path = tmp_path / "lock"
    first = lock.hold(path)
    with pytest.raises(lock.HeldError) as error:
        lock.hold(path)
    assert error.value.pid == str(os.getpid())
    assert lock.holder(path) == os.getpid()
    os.close(first)
    assert lock.holder(path) is None
    os.close(lock.hold(path))
    assert lock.holder(tmp_path / "other") is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_only_looks_is_no_holder(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.touch()
    looking = os.open(path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    # It is done with looking while the other one waits.
    monkeypatch.setattr(lock.time, "sleep", lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
    held = lock.hold(path)
    assert lock.holder(path) == os.getpid()
    os.close(held)
    os.close(looking)


def test_a_killed_holder_holds_nothing(tmp_path):
    path = tmp_path / "lock"
    program = (
        "import os, signal, sys; from pathlib import Path; from sandbox import lock;"
        "lock.hold(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=60)
    assert done.returncode == -9
    os.close(lock.hold(path))
