"""A controller on a data folder of its own with one model, and what is seen of it from outside."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from minijuju.client import Client
from minijuju.errors import JujuError
from minijuju.rpc_names import ALREADY_RUNNING
from sandbox.container import Container

PATIENCE = 90.0
MODEL = "t"
ROOT = Path(__file__).parents[2]
_WITHOUT_MODEL = ("ping", "shutdown", "models", "add_model")


class Site:
    """A data folder with a model.

    Args:
        data: the folder.
        start: whether a call starts the controller; otherwise `start` does.
    """

    def __init__(self, data: Path, *, start: bool = True) -> None:
        self.data = data
        self.client = Client(data, start=start)
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, method: str, **params: Any) -> Any:
        """Ask the controller, about the model where there may be several."""
        if method not in _WITHOUT_MODEL:
            params = {"model": MODEL, **params}
        return self.client.call(method, **params)

    # The controller.

    def start(self, **failures: str) -> None:
        """Start a controller that fails as `tests.chaos.controller` says, and wait for it.

        One that dies before it answers has started as well: its death is the failure. One that
        finds another controller has not: a process that a killed one was just starting holds its
        lock for an instant.
        """
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {f"CHAOS_{name.upper()}": text for name, text in failures.items()}
        deadline = time.monotonic() + PATIENCE
        while not self._started(names, deadline):
            assert time.monotonic() < deadline, f"another controller is there: {self.log()}"

    def _started(self, names: Mapping[str, str], deadline: float) -> bool:
        """Start a controller with these variables; False if there was one."""
        with (self.data / "controller.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.controller", str(self.data)],
                env={**os.environ, **names},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while self.lives() and not self.client.running():
            assert time.monotonic() < deadline, f"no answer: {self.log()}"
            time.sleep(0.02)
        return self._process.returncode != ALREADY_RUNNING

    def lives(self) -> bool:
        """Whether the controller that `start` started is there."""
        return self._process is not None and self._process.poll() is None

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the controller that `start` started, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)

    def signal(self, number: int) -> None:
        """Send a signal to the controller that `start` started."""
        if self._process is not None:
            self._process.send_signal(number)

    def pid(self) -> int:
        """The controller's."""
        return int(self.client.call("ping")["pid"])

    def kill(self) -> None:
        """Kill the controller, and wait until the kernel has taken it away."""
        pid = self.pid()
        handle = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        assert select.select([handle], [], [], PATIENCE)[0]
        os.close(handle)

    def log(self) -> str:
        """The controller's last words."""
        return (self.data / "controller.log").read_text()[-3000:]

    # Looking.

    def until(self, holds: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Wait until something is so; whoever is asked may be away meanwhile."""
        begun = time.monotonic()
        while True:
            try:
                if holds():
                    return
            except (KeyError, JujuError, OSError):
                pass
            waited = time.monotonic() - begun
            if waited > patience:
                status = json.dumps(self.call("status"), indent=1)
                raise AssertionError(f"{what}\n{status}\n{self.log()}")
            time.sleep(min(max(waited / 20, 0.05), 0.3))

    def units(self) -> dict[str, Any]:
        """Every unit as status shows it."""
        applications = self.call("status")["applications"].values()
        return {
            name: unit
            for application in applications
            for name, unit in (application.get("units") or {}).items()
        }

    def unit(self, name: str) -> Any:
        """One unit as status shows it."""
        return self.units()[name]

    def active(self, *names: str) -> None:
        """Wait until units are active and idle."""

        def settled() -> bool:
            shown = self.units()
            return all(at_rest(shown[name]) for name in names)

        self.until(settled, f"{names} are not active")

    def container(self, unit: str, name: str) -> Container | None:
        """A workload container of a unit; None while it is made anew."""
        found = [*self.data.glob(f"units/*/{unit.replace('/', '-')}/containers/{name}/run")]
        if not found:
            return None
        (folder,) = found
        return Container.adopt(folder)

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """The database as it is at this moment, to read."""
        path = f"{(self.data / 'state.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            yield connection

    def storage(self, unit: str) -> Path:
        """The folder of a unit's storage."""
        with self.database() as database:
            row = database.execute("SELECT folder FROM storage WHERE unit = ?", (unit,)).fetchone()
        if row is None:
            raise KeyError(f"{unit} has no storage")
        return Path(row["folder"])

    def processes(self) -> list[int]:
        """Every process that has the data folder in its command line."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if os.fsencode(self.data) in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found


def at_rest(unit: Any) -> bool:
    """Whether a unit, as status shows it, is active and idle."""
    return bool(
        unit["workload-status"]["current"] == "active" and unit["juju-status"]["current"] == "idle"
    )
