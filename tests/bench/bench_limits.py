"""How `status` and the controller's memory grow: with units, models, history and large databags.

The units are idle ones without a workload container. The first figure of each kind is the floor
that the others are read against.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.bench.bench_hooks import Site
from tests.bench.figures import Figure, proportional_memory

_UNITS = (10, 50, 100, 200)
_MODELS = (1, 10, 50)
_ROWS = 10_000
_CALLS = 15
_BYTES = 1 << 20
_TELL = "i=0; while [ $i -lt {count} ]; do status-set active number-$i; i=$((i+1)); done"
_WRITE = (
    'python3 -c "import json; print(json.dumps(dict(large=chr(120) * {size})))"'
    " | relation-set -r {relation} --file -"
)


def run() -> Iterable[Figure]:
    """All of it on one controller."""
    with tempfile.TemporaryDirectory(prefix="bench-limits-") as folder:
        site = Site(Path(folder))
        site.start(warm=True)
        try:
            yield from _units(site)
            yield from _history(site)
            yield from _databags(site)
            yield from _models(site)
        finally:
            site.stop()


def _took(call: Callable[[], Any]) -> list[float]:
    """Milliseconds of a call, several times."""
    times = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000)
    return times


def _memory(site: Site) -> list[float]:
    return [proportional_memory(int(site.client.call("ping")["pid"]))]


def _units(site: Site) -> Iterator[Figure]:
    began, before = time.perf_counter(), 0
    site.deploy("idle", _UNITS[0])
    for count in _UNITS:
        if count > _UNITS[0]:
            began = time.perf_counter()
            site.call("scale_application", application="idle", scale=count)
            site.until(lambda count=count: site.many("idle", count))  # type: ignore[misc]
        seconds = time.perf_counter() - began
        yield Figure(f"from {before} to {count} units, settled", [seconds], "s")
        yield Figure(f"status of {count} units", _took(lambda: site.call("status")))
        yield Figure(f"the controller with {count} units", _memory(site), "MiB")
        before = count


def _history(site: Site) -> Iterator[Figure]:
    units = [f"idle/{number}" for number in range(_UNITS[-1])]
    each = _ROWS // len(units) + 1
    site.call("exec", units=units, command=["sh", "-c", _TELL.format(count=each)], timeout=900.0)
    path = f"{(site.data / 'state.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(path, uri=True)) as database:
        (rows,) = database.execute("SELECT count(*) FROM status_history").fetchone()
    yield Figure(f"status with {rows} rows of history", _took(lambda: site.call("status")))
    log = _took(lambda: site.call("show_status_log", entity="idle/0", limit=100))
    yield Figure(f"show-status-log with {rows} rows", log)
    yield Figure("the controller with them", _memory(site), "MiB")


def _databags(site: Site) -> Iterator[Figure]:
    for name in ("left", "right"):
        site.deploy(name, 2)
    relation = site.call("integrate", endpoints=["left:out", "right:in"])["id"]
    site.until(lambda: site.settled("left", "right", message="knows 2"))
    small = ["sh", "-c", _WRITE.format(size=1, relation=relation)]
    large = ["sh", "-c", _WRITE.format(size=_BYTES, relation=relation)]
    costs = []
    for command in (small, large):
        began = time.perf_counter()
        done = site.call("exec", units=["left/0"], command=command)["left/0"]
        if done["results"]["return-code"]:
            raise RuntimeError(f"relation-set failed: {done}")
        site.until(lambda: site.idle("left", "right"))
        costs.append((time.perf_counter() - began) * 1000)
    yield Figure("a value of 1 MiB, until both readers know", [costs[1]], "ms", [costs[0]], "1 B")
    shown = _took(lambda: site.call("show_unit", units=["right/0"]))
    yield Figure("show-unit with it", shown)
    yield Figure("the controller with it", _memory(site), "MiB")


def _models(site: Site) -> Iterator[Figure]:
    have = 1
    for count in _MODELS:
        while have < count:
            site.client.call("add_model", name=f"m{have}")
            have += 1
        yield Figure(f"models, of {count}", _took(lambda: site.client.call("models")))
        yield Figure(f"the controller with {count} models", _memory(site), "MiB")
