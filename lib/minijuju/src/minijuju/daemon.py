"""The controller as a process: started by whoever needs it, one for each data folder."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from minijuju.errors import JujuError
from minijuju.rpc_names import ALREADY_RUNNING, LOG, reach

START_TIMEOUT = 60.0
MAX_LOG = 4 * 1024 * 1024


def start(data: Path) -> socket.socket:
    """Start a controller on `data`; a connection to it. One caller starts it for all.

    Raises:
        JujuError: it ended or did not answer in time; the message has its last words.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    deadline = time.monotonic() + START_TIMEOUT
    lock = os.open(data / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while (connection := _reach(data)) is None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Somebody else is starting it.
                _still_time(data, deadline)
                continue
            if (connection := _reach(data)) is not None:
                break
            _start(data, deadline)
        return connection
    finally:
        os.close(lock)


def _start(data: Path, deadline: float) -> None:
    log = data / LOG
    if log.exists() and log.stat().st_size > MAX_LOG:
        log.replace(log.with_suffix(".log.1"))
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            # -P: the folder that a command runs in must not shadow our modules.
            [sys.executable, "-P", "-m", "minijuju.serve", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(handle)
    while (connection := _reach(data)) is None:
        code = process.poll()
        if code == ALREADY_RUNNING:
            # It is there and about to listen, or about to end.
            _still_time(data, deadline)
            return
        if code is not None:
            raise JujuError(f"the controller ended with exit code {code}: {_last_words(log)}")
        _still_time(data, deadline)
    connection.close()
    # It outlives us: nobody here will wait for it.
    process.returncode = 0


def _reach(data: Path) -> socket.socket | None:
    try:
        return reach(data)
    except OSError:
        return None


def _still_time(data: Path, deadline: float) -> None:
    if time.monotonic() > deadline:
        words = _last_words(data / LOG)
        raise JujuError(f"the controller did not answer in {START_TIMEOUT:.0f} s: {words}")
    time.sleep(0.02)


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return " ".join(lines[-3:]) or f"see {log}"
