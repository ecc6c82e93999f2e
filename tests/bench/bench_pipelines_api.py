"""The pipelines API over a store of many runs: pages, one run, memory at rest."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import yaml
from tests.bench.figures import Figure, proportional_memory

from sandbox.images import ImageStore

ROOT = Path(__file__).parents[2]
_RUNS = 10_000
_TASKS = 1000
_REPEATS = 30
_TOKEN = "bench-token-0123456789"

_FILL = """
import sys, uuid
from pathlib import Path
from toolkit_pipelines.events import (
    Artifact, RunCreated, RunEnded, RunPhase, TaskStarted, TaskSucceeded, Values)
from toolkit_pipelines.store import open_store
from toolkit_pipelines.store.interface import Experiment, Run

store = open_store(Path(sys.argv[1]))
experiment = Experiment(experiment_id=str(uuid.uuid4()), display_name="Default", created=1.0)
store.catalog.create_experiment(experiment)
for number in range(int(sys.argv[2])):
    run_id = str(uuid.uuid4())
    run = Run(run_id=run_id, experiment_id=experiment.experiment_id, spec="",
              display_name=f"run {number}", created=float(number))
    created = RunCreated(run_id=run_id, time=float(number), spec="", display_name=f"run {number}",
                         pipeline_name="p", experiment_id=experiment.experiment_id,
                         experiment_name="Default", parameters={"x": number})
    store.runs.create(run, created, b'{"pipelineInfo":{"name":"p"}}')
    store.runs.append(run_id, [
        TaskStarted(run_id=run_id, time=1.0, task="a", pod="a"),
        TaskSucceeded(run_id=run_id, time=2.0, task="a"),
        RunEnded(run_id=run_id, time=3.0, phase=RunPhase.SUCCEEDED)], 1)
last = run_id

def data(task):
    uri = f"minio://mlpipeline/v2/artifacts/p/{run_id}/{task}/0/data"
    return (Artifact("data", "system.Dataset", uri, {"rows": 1}, "sha256:" + "0" * 64),)

run_id = str(uuid.uuid4())
run = Run(run_id=run_id, experiment_id=experiment.experiment_id, spec="",
          display_name="many tasks", created=1.0)
created = RunCreated(run_id=run_id, time=1.0, spec="", display_name="many tasks",
                     pipeline_name="p", experiment_id=experiment.experiment_id,
                     experiment_name="Default")
store.runs.create(run, created, b'{"pipelineInfo":{"name":"p"}}')
events = []
for number in range(int(sys.argv[3])):
    task = f"t{number}"
    inputs, outputs = {"data": data(f"t{number - 1}")}, {"data": data(task)}
    events += [
        TaskStarted(run_id=run_id, time=1.0, task=task, pod=task, inputs=Values({"x": 1}, inputs)),
        TaskSucceeded(run_id=run_id, time=2.0, task=task, outputs=Values({"y": 2}, outputs)),
    ]
store.runs.append(run_id, events, 1)
print(last, run_id)
store.close()
"""

_SERVE = """
import gc
import sys
from pathlib import Path
import uvicorn
from toolkit_pipelines import api, app, settings
from toolkit_pipelines.api.context import Context
from toolkit_pipelines.contents import Contents
from toolkit_pipelines.paging import Pager
from toolkit_pipelines.root import PipelineRoot
from toolkit_pipelines.store import open_store
from toolkit_pipelines.watchers import Watchers

found = settings.load(Path(sys.argv[1]))

class Nothing:
    def waiting(self, run_id):
        return {}

store = open_store(found.state / app.DATABASE)
root = PipelineRoot(found.state)
pager, watchers = Pager(store.database.key("p")), Watchers(store.runs.subscribe)
context = Context(store, pager, Nothing(), watchers, root, Contents(root))
gc.freeze()
uvicorn.run(app.guarded(api.application(context), found), host=found.host, port=found.port,
            log_level="warning")
"""


def run() -> Iterable[Figure]:
    """Milliseconds of requests over HTTP with 10,000 runs kept, and the idle server's memory.

    Among the runs is one of 1,000 tasks, each with an artifact from the one before it.
    """
    image = ImageStore().build(ROOT / "images" / "pipelines")
    python = image.path / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="bench-pipelines-") as name:
        folder = Path(name)
        command = [python, "-c", _FILL, folder / "pipelines.db", str(_RUNS), str(_TASKS)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        small, large = told.split()
        with _server(python, folder) as (port, process):
            yield Figure("pipelines API: idle memory", [proportional_memory(process.pid)], "MiB")
            yield from _requests(port, small, large)


def _requests(port: int, small: str, large: str) -> Iterable[Figure]:
    def get(path: str) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/apis/v2beta1{path}",
            headers={"Authorization": f"Bearer {_TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            response.read()

    floor = _times(lambda: get("/experiments?page_size=1"))
    substring = (
        "%7B%22predicates%22%3A%5B%7B%22operation%22%3A9%2C%22key%22%3A%22display_name%22%2C"
        "%22stringValue%22%3A%2277%22%7D%5D%7D"
    )
    for name, path in (
        ("first page of 10,000 runs", "/runs?page_size=20&sort_by=created_at%20desc"),
        ("page of 200 of them", "/runs?page_size=200"),
        ("by name", "/runs?page_size=20&sort_by=display_name"),
        ("filtered by a substring", f"/runs?page_size=20&filter={substring}"),
        ("one run with its task", f"/runs/{small}"),
        ("one run of 1,000 tasks", f"/runs/{large}"),
    ):
        yield Figure(f"pipelines API: {name}", _times(lambda p=path: get(p)), "ms", floor, "1 row")


@contextlib.contextmanager
def _server(python: Path, folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    tokens = folder / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"main:{_TOKEN}\n")
    settings = {
        "port": port,
        "state": str(folder),
        "pipeline_root": str(folder),
        "environments": str(folder),
        "token_file": str(tokens),
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    process = subprocess.Popen([python, "-c", _SERVE, folder / "settings.yaml"])
    try:
        _wait(port, process)
        yield port, process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < limit:
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5).close()
            return
        time.sleep(0.05)
    raise RuntimeError("the server does not come up")


def _times(once: Callable[[], object]) -> list[float]:
    once()
    found = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        once()
        found.append((time.perf_counter() - began) * 1000)
    return found
