"""Other engines' cost of a step that does nothing, in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from sandbox.images import ImageStore

_HERE = Path(__file__).parent
_PATIENCE = 900


def subprocesses(repeats: int) -> list[float]:
    """Milliseconds of an interpreter that does nothing: less than that no process takes."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=_PATIENCE)
        found.append((time.perf_counter() - began) * 1000)
    return found


def prefect(folder: Path, length: int, repeats: int) -> list[float]:
    """Milliseconds of a task of a chain, which Prefect runs in the flow's own process."""
    settings = {
        "PREFECT_HOME": str(folder),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    }
    printed = _run(folder, "prefect_chain.py", [str(length), str(repeats)], settings)
    return [float(each) for each in json.loads(printed)]


def metaflow(folder: Path, length: int) -> list[float]:
    """Milliseconds of a step of as many, one after another, each a process."""
    settings = {
        "METAFLOW_USER": "bench",
        "METAFLOW_HOME": str(folder),
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
    }
    command = ["run", "--max-workers", "1", "--length"]
    times = {}
    for steps in (1, 1, length + 1):  # The first warms the disk's cache.
        began = time.perf_counter()
        _run(folder, "metaflow_chain.py", [*command, str(steps)], settings)
        times[steps] = time.perf_counter() - began
    # What the flow itself takes is left out.
    return [(times[length + 1] - times[1]) * 1000 / length]


def _run(folder: Path, program: str, arguments: list[str], settings: dict[str, str]) -> str:
    folder.mkdir(exist_ok=True)
    python = ImageStore().build(_HERE).path / "bin" / "python"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [str(python), str(_HERE / program), *arguments],
        env={**environment, **settings},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
