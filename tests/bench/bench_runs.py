"""How runs grow: steps that do nothing in one loop of many, and many runs at once."""

import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench import pipelines
from tests.bench.figures import Figure, proportional_memory
from tests.functional.pipelines.stack import Service

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from kfp import dsl

_LOOPS = (10, 100, 1_000, 10_000)
_RUNS = 50
_READS, _TIMES = 5, 5
_PATIENCE = 7200.0


@dsl.pipeline(name="loop")
def loop(items: list[int]):
    with dsl.ParallelFor(items) as item:
        pipelines.nothing(x=item)


def run() -> Iterable[Figure]:
    """Loops, then runs side by side, on one service."""
    with pipelines.home() as folder, pipelines.served(folder) as service:
        _finished(service, [_start(service, pipelines.one, {})])  # The interpreter is warm now.
        yield from _loops(service)
        yield from _many(service)


def _loops(service: Service) -> Iterator[Figure]:
    floor: list[float] = []
    for count in _LOOPS:
        run_id = _start(service, loop, {"items": list(range(count))})
        each = [_finished(service, [run_id]) * 1000 / count]
        name = f"a step of a loop of {count:,}"
        yield Figure(name, each, peer=floor, peer_name=f"of {_LOOPS[0]}")
        floor = floor or each
        # Before it is read: of an answer with tens of thousands of tasks some memory stays.
        yield from _memory(service, f"after a loop of {count:,}")
        # Each iteration is a task with one in it, and the loop is one.
        yield Figure(
            f"a processor for a read of the run of {2 * count + 1:,} tasks", _read(service, run_id)
        )


def _read(service: Service, run_id: str) -> list[float]:
    """Milliseconds of a processor that the service takes for `GET /runs/ID`, a few times."""
    assert service.process is not None
    stat = Path(f"/proc/{service.process.pid}/stat")

    def spent() -> int:
        return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))

    found = []
    with service.http() as api:
        for _ in range(_READS):
            # The clock of processors ticks a hundred times a second.
            before = spent()
            for _ in range(_TIMES):
                api.get(f"/apis/v2beta1/runs/{run_id}").raise_for_status()
            found.append((spent() - before) * 1000 / os.sysconf("SC_CLK_TCK") / _TIMES)
    return found


def _many(service: Service) -> Iterator[Figure]:
    alone = [_finished(service, [_start(service, pipelines.one, {})]) * 1000]
    began = [_start(service, pipelines.one, {}) for _ in range(_RUNS)]
    each = [_finished(service, began) * 1000 / _RUNS]
    yield Figure(f"a run of {_RUNS} at once, by their number", each, peer=alone, peer_name="alone")
    yield from _memory(service, f"after {_RUNS} runs")


def _memory(service: Service, when: str) -> Iterator[Figure]:
    assert service.process is not None
    daemon = int((service.cluster.folder / "lock").read_text())
    yield Figure(f"the service {when}", [proportional_memory(service.process.pid)], "MiB")
    yield Figure(f"tinykube {when}", [proportional_memory(daemon)], "MiB")


def _start(service: Service, pipeline: Any, arguments: dict[str, Any]) -> str:
    with pipelines.quietly():
        started = service.client().create_run_from_pipeline_func(
            pipeline, arguments=arguments, enable_caching=False
        )
    return str(started.run_id)


def _finished(service: Service, run_ids: list[str]) -> float:
    """Seconds from the first run's creation to the last one's end, by the service's clock."""
    begun, ended = [], []
    with service.http() as api:
        for run_id in run_ids:
            run = _waited(api, run_id)
            if run["state"] != "SUCCEEDED":
                raise RuntimeError(service.evidence(run_id)[:5000])
            begun.append(datetime.fromisoformat(run["created_at"]))
            ended.append(datetime.fromisoformat(run["finished_at"]))
    return (max(ended) - min(begun)).total_seconds()


def _waited(api: Any, run_id: str) -> dict[str, Any]:
    equals = {"operation": "EQUALS", "key": "id", "string_value": run_id}
    wanted = {"predicates": [equals]}
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        # A list's row: the tasks of a run of many need not be read to see that it has ended.
        (run,) = api.get("/apis/v2beta1/runs", params={"filter": json.dumps(wanted)}).json()[
            "runs"
        ]
        if run["state"] in ("SUCCEEDED", "FAILED", "CANCELED"):
            return dict(run)
        time.sleep(0.2)
    raise TimeoutError(f"run {run_id} has not ended after {_PATIENCE:.0f} seconds")
