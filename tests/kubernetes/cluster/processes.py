"""Programs that run beside the tests and end with them, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_EVIDENCE = 3000


class Process:
    """One program, in a process group of its own.

    The kernel kills it if the tests' process dies (by util-linux' `setpriv`), so that not even
    a kill -9 of pytest leaves one behind.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def evidence(self) -> str:
        """The end of what it printed."""
        with self.log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _EVIDENCE))
            return stream.read().decode(errors="replace")

    def wait_until(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until `ready` is true.

        Raises:
            RuntimeError: the program ended, or was not ready in time; with what it printed last.
        """
        end = time.monotonic() + seconds
        while not ready():
            if not self.running():
                raise RuntimeError(
                    f"{self.name} ended with {self._process.returncode}:\n{self.evidence()}"
                )
            if time.monotonic() > end:
                raise RuntimeError(
                    f"{self.name} is not ready after {seconds} s:\n{self.evidence()}"
                )
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        """Send it a signal and wait for its end."""
        os.kill(self.pid, number)
        self._process.wait(10)

    def stop(self, seconds: float = 10) -> None:
        """End it, gently if it can; returns when it is gone."""
        if self.running():
            os.killpg(self.pid, signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
