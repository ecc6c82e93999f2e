"""What the API and pods cost: tinykube beside the real control plane in the same run.

The real one's programs are not built here (half an hour): without them tinykube stands alone, and
a line says so. `python -m tests.kubernetes.programs` builds them.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, proportional_memory
from tests.kubernetes import programs
from tests.kubernetes.cluster.nodes import ProcessNode
from tests.kubernetes.cluster.plane import ControlPlane
from tests.kubernetes.cluster.tiny import Tinykube
from tests.kubernetes.differential.servers import Server

JSON = Any

_CALLS = 200
_LISTED = 100
_PODS = 40
_TOGETHER = 10
_OBJECTS = 50_000
_WAITING_PODS = 5_000
_WATCHERS = 200
_SECONDS = 120
_PATH = "/api/v1/namespaces/default"
_PEER = "Kubernetes"


@dataclass(frozen=True, slots=True)
class Side:
    """One server that is measured, and the processes that it consists of."""

    server: Server
    processes: Callable[[], list[int]]

    def memory(self) -> float:
        """PSS in MiB of all its processes."""
        return sum(map(proportional_memory, self.processes()))


def run() -> Iterable[Figure]:
    """Figures of both, one measure after the other."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-tinykube-")))
        sides = [stack.enter_context(_tinykube(folder / "tinykube"))]
        if program := programs.find("controlplane"):
            sides.append(stack.enter_context(_kubernetes(folder / "plane", program)))
        else:
            print("  (the real control plane is not built: tinykube alone)")
        for name, unit, measure in _MEASURES:
            values = [list(measure(side)) for side in sides]
            yield Figure(name, values[0], unit, values[1] if len(values) > 1 else (), _PEER)


@contextlib.contextmanager
def _tinykube(folder: Path) -> Iterator[Side]:
    folder.mkdir(mode=0o700)
    with Tinykube(folder) as made, contextlib.closing(Server("tinykube", made.kubeconfig)) as one:
        yield Side(one, lambda: [int((folder / "lock").read_text())])


@contextlib.contextmanager
def _kubernetes(folder: Path, program: Path) -> Iterator[Side]:
    folder.mkdir()
    with ControlPlane(program, folder) as plane:
        node = ProcessNode(plane, "bench")
        parts = [name for name in plane.processes if not name.startswith("node-")]
        try:
            with contextlib.closing(Server(_PEER, plane.kubeconfig)) as one:
                _until(lambda: _ready(one))
                yield Side(one, lambda: [plane.processes[name].pid for name in parts])
        finally:
            node.stop()


def _ready(server: Server) -> bool:
    for node in server.ask("GET", "/api/v1/nodes").body["items"]:
        for condition in node["status"].get("conditions", ()):
            if condition["type"] == "Ready" and condition["status"] == "True":
                return not node["spec"].get("taints")
    return False


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come true in {_SECONDS} s")
        time.sleep(0.05)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _post(server: Server, plural: str, body: JSON) -> None:
    made = server.ask("POST", f"{_PATH}/{plural}", body=body)
    if made.code != 201:
        raise RuntimeError(f"{server.name} refused: {made.body}")


def _create(side: Side) -> Iterable[float]:
    for number in range(_CALLS):
        body = {"metadata": {"name": f"bench-{number:05}"}, "data": {"key": "value" * 20}}
        yield _timed(lambda body=body: _post(side.server, "configmaps", body))  # type: ignore[misc]


def _get(side: Side) -> Iterable[float]:
    for number in range(_CALLS):
        path = f"{_PATH}/configmaps/bench-{number:05}"
        yield _timed(lambda path=path: side.server.ask("GET", path))  # type: ignore[misc]


def _list(side: Side) -> Iterable[float]:
    query = {"limit": str(_LISTED)}
    for _ in range(_CALLS // 4):
        yield _timed(lambda: side.server.ask("GET", f"{_PATH}/configmaps", query=query))


def _watch(side: Side) -> Iterable[float]:
    """From the moment a change is asked for to the moment a watcher has it."""
    path = f"{_PATH}/configmaps/bench-00000"
    start = side.server.ask("GET", path).body["metadata"]["resourceVersion"]
    arrived: dict[str, float] = {}
    done = threading.Event()

    def follow() -> None:
        def last(event: JSON) -> bool:
            number = (event["object"]["metadata"].get("labels") or {}).get("n", "")
            arrived[number] = time.perf_counter()
            return bool(number == str(_CALLS // 4 - 1))

        query = {"resourceVersion": start, "fieldSelector": "metadata.name=bench-00000"}
        query["timeoutSeconds"] = str(_SECONDS)
        for _ in side.server.watch(f"{_PATH}/configmaps", query, last):
            pass
        done.set()

    thread = threading.Thread(target=follow)
    thread.start()
    asked = {}
    for number in range(_CALLS // 4):
        asked[str(number)] = time.perf_counter()
        body = {"metadata": {"labels": {"n": str(number)}}}
        side.server.ask("PATCH", path, body=body, content="application/merge-patch+json")
        time.sleep(0.01)
    thread.join(_SECONDS)
    if not done.is_set():
        raise TimeoutError(f"{side.server.name}: the watch saw {len(arrived)} changes")
    return [(arrived[number] - began) * 1000 for number, began in asked.items()]


def _pod(name: str, **fields: JSON) -> JSON:
    container = {"name": "main", "image": "busybox", "command": ["true"]}
    spec = {"restartPolicy": "Never", "containers": [container], **fields}
    return {"metadata": {"name": name, "labels": {"bench": "yes"}}, "spec": spec}


def _run_pods(side: Side, names: list[str]) -> float:
    """Seconds from the first creation until all of them ended well."""
    start = side.server.ask("GET", f"{_PATH}/pods", query={"limit": "1"})
    left = set(names)

    def last(event: JSON) -> bool:
        if event["object"].get("status", {}).get("phase") == "Succeeded":
            left.discard(event["object"]["metadata"]["name"])
        return not left

    began = time.perf_counter()
    with ThreadPoolExecutor(_TOGETHER) as pool:
        list(pool.map(lambda name: _post(side.server, "pods", _pod(name)), names))
    version = start.body["metadata"]["resourceVersion"]
    query = {"resourceVersion": version, "timeoutSeconds": str(_SECONDS)}
    for _ in side.server.watch(f"{_PATH}/pods", query, last):
        pass
    if left:
        raise TimeoutError(f"{side.server.name}: {len(left)} pods did not end in {_SECONDS} s")
    return time.perf_counter() - began


def _one_pod(side: Side) -> Iterable[float]:
    return [_run_pods(side, [f"one-{number}"]) * 1000 for number in range(10)]


def _many_pods(side: Side) -> Iterable[float]:
    seconds = _run_pods(side, [f"many-{number}" for number in range(_PODS)])
    return [_PODS / seconds]


def _idle(side: Side) -> Iterable[float]:
    return [side.memory()]


def _grow(side: Side, plural: str, bodies: Iterable[JSON]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda body: _post(side.server, plural, body), bodies))


def _objects(side: Side) -> Iterable[float]:
    data = {"key": "value" * 20}
    names = (f"grown-{number:05}" for number in range(_OBJECTS))
    _grow(side, "configmaps", ({"metadata": {"name": name}, "data": data} for name in names))
    return [side.memory()]


def _waiting(side: Side) -> Iterable[float]:
    names = (f"waiting-{number:05}" for number in range(_WAITING_PODS))
    _grow(side, "pods", (_pod(name, schedulerName="nobody") for name in names))
    return [side.memory()]


def _watched(side: Side) -> Iterable[float]:
    """The delay of the slowest of many watchers of one change."""
    version = side.server.ask("GET", f"{_PATH}/secrets").body["metadata"]["resourceVersion"]
    query = {"resourceVersion": version, "timeoutSeconds": str(_SECONDS)}
    arrived: list[float] = []

    def follow(_: int) -> None:
        with contextlib.closing(Server(side.server.name, side.server.kubeconfig)) as own:
            for event in own.watch(f"{_PATH}/secrets", query, lambda event: True):
                json.dumps(event)
                arrived.append(time.perf_counter())

    with ThreadPoolExecutor(_WATCHERS) as pool:
        jobs = [pool.submit(follow, number) for number in range(_WATCHERS)]
        time.sleep(5)
        began = time.perf_counter()
        _post(side.server, "secrets", {"metadata": {"name": "watched"}})
        for job in jobs:
            job.result()
    return [(statistics.median(arrived) - began) * 1000, (max(arrived) - began) * 1000]


_MEASURES: tuple[tuple[str, str, Callable[[Side], Iterable[float]]], ...] = (
    ("memory, idle", "MiB", _idle),
    ("create a config map", "ms", _create),
    ("get a config map", "ms", _get),
    (f"list {_LISTED} config maps", "ms", _list),
    ("a change to its watcher", "ms", _watch),
    ("a pod, create to Succeeded", "ms", _one_pod),
    (f"{_PODS} pods, {_TOGETHER} at once", "1/s", _many_pods),
    (f"a change to {_WATCHERS} watchers: middle, last", "ms", _watched),
    (f"memory with {_OBJECTS} objects", "MiB", _objects),
    ("create a config map then", "ms", lambda side: _again(side)),
    (f"memory with {_WAITING_PODS} waiting pods more", "MiB", _waiting),
)


def _again(side: Side) -> Iterable[float]:
    for number in range(_CALLS):
        body = {"metadata": {"name": f"again-{number:05}"}}
        yield _timed(lambda body=body: _post(side.server, "configmaps", body))  # type: ignore[misc]
