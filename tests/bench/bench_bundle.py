"""What the whole deployment costs: cold and warm `up`, a hook, idle memory by process."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, proportional_memory

ROOT = Path(__file__).parents[2]
NAMES = {
    "toolkit_metadata": "MLflow server",
    "toolkit_pipelines": "pipelines service",
    "minijuju.serve": "minijuju controller",
    "balancer.py": "minijuju balancer",
    "tinykube": "tinykube",
    "pebble run": "Pebble",
    "zygote.py": "warm interpreters",
}


def run() -> Iterator[Figure]:
    """Deploy on folders of its own, measure, and take it down."""
    with tempfile.TemporaryDirectory(prefix="b") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        kube = Path(folder, "tinykube")
        kube.mkdir(mode=0o700)
        (kube / "config.yaml").write_text(f"port: {probe.getsockname()[1]}\n")
        probe.close()
        environment = {**os.environ, "XDG_DATA_HOME": folder}
        for name in ("MINIJUJU_DATA", "TINYKUBE_DATA"):
            environment.pop(name, None)
        try:
            yield Figure("first up, images and charms built", [_timed(environment, "up")], "s")
            again = [_timed(environment, "up") for _ in range(3)]
            yield Figure("up again, nothing changed", again, "s")
            _timed(environment, "down")
            yield Figure("up after down", [_timed(environment, "up")], "s")
            yield from _hooks(environment)
            time.sleep(10)  # let the last hooks and the outbox settle
            yield from _memory(folder)
        finally:
            _timed(environment, "down")


def _timed(environment: dict[str, str], *arguments: str) -> float:
    begun = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "toolkit_cli", *arguments], cwd=ROOT, env=environment, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.monotonic() - begun


def _juju(environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "minijuju.cli", *arguments], env=environment, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip


def _hooks(environment: dict[str, str]) -> Iterator[Figure]:
    """A changed option of the metadata charm, until its unit is idle again."""
    seconds = []
    for level in ("debug", "info", "debug", "info"):
        begun = time.monotonic()
        _juju(environment, "config", "-m", "toolkit", "metadata", f"log-level={level}")
        while True:
            status = json.loads(_juju(environment, "status", "-m", "toolkit", "--format", "json"))
            unit = status["applications"]["metadata"]["units"]["metadata/0"]
            since = unit["juju-status"]
            if since["current"] == "idle" and time.monotonic() - begun > 0.3:
                break
            time.sleep(0.05)
        seconds.append(time.monotonic() - begun)
    yield Figure("config change to idle again", seconds, "s")


def _memory(folder: str) -> Iterator[Figure]:
    found: dict[str, float] = defaultdict(float)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if not _belongs(entry, folder):
                continue
            name = next((n for mark, n in NAMES.items() if mark in line), "other")
            found[name] += proportional_memory(int(entry.name))
        except (OSError, ValueError):
            continue
    for name, size in sorted(found.items(), key=lambda item: -item[1]):
        yield Figure(f"idle PSS, {name}", [size], "MiB")
    yield Figure("idle PSS, all", [sum(found.values())], "MiB")


def _belongs(process: Path, folder: str) -> bool:
    """Whether a process, or one above it, was started for these data folders."""
    while process.name != "1":
        environment = (process / "environ").read_bytes()
        line = (process / "cmdline").read_bytes()
        if folder.encode() in environment + line:
            return True
        parent = re.search(r"\nPPid:\t(\d+)", (process / "status").read_text())
        if parent is None or parent[1] == "0":
            return False
        process = Path("/proc", parent[1])
    return False
