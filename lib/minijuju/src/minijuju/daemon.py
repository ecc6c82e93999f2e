"""The controller as a process: started by whoever needs it, one for each data folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from minijuju import sockets
from minijuju.errors import JujuError
from minijuju.rpc_names import ALREADY_RUNNING, LOG, SOCKET

START_TIMEOUT = 60.0
MAX_LOG = 4 * 1024 * 1024


def start(data: Path) -> None:
    """Start a controller on `data` and wait until it answers; fine if one is being started.

    Raises:
        JujuError: it ended or did not answer in time; the message has its last words.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
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
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        try:
            sockets.connect(data / SOCKET, 5.0).close()
        except OSError:
            code = process.poll()
            if code is not None and code != ALREADY_RUNNING:
                raise JujuError(
                    f"the controller ended with exit code {code}: {_last_words(log)}"
                ) from None
            time.sleep(0.02)
        else:
            # It outlives us: nobody here will wait for it.
            process.returncode = 0
            return
    raise JujuError(f"the controller did not answer in {START_TIMEOUT:.0f} s: {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " ".join(lines[-3:]) or f"see {log}"
