"""What a hook costs: cold and warm, against the same `dispatch` called directly in the same run.

The floor is measured by an action of the charm that calls `dispatch` again and again inside its
own container, on as many units at once as the machine has cores: the same interpreter, charm and
hook commands, without anything of minijuju's around it.
Processor time cannot be had: the kernel loses that of what ends with a container.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure

from minijuju.client import Client

CHARM = Path(__file__).parents[1] / "charms" / "idle"
_UNITS, _RELATED, _ROUNDS, _FLOOR = 20, 4, 3, 10
_SECONDS = 900
_CORES = os.cpu_count() or 1
_RAN = "Emitting Juju event"


def run() -> Iterable[Figure]:
    """Three occasions, cold and warm."""
    for warm in (False, True):
        with _site(warm=warm) as site:
            yield from _measure(site, "warm" if warm else "cold")


def _measure(site: Site, kind: str) -> Iterator[Figure]:
    costs = {f"deploy of {_UNITS} idle units": [site.costs(lambda: site.deploy("idle", _UNITS))]}
    floor = site.floor()
    site.set("again")
    costs[f"config of {_UNITS} units"] = [
        site.costs(lambda text=f"round {number}": site.set(text))  # type: ignore[misc]
        for number in range(_ROUNDS)
    ]
    for name in ("left", "right"):
        site.deploy(name, _RELATED)
    costs[f"integrate {_RELATED} with {_RELATED} units"] = [site.costs(site.integrate)]
    for occasion, found in costs.items():
        yield Figure(f"{kind}: {occasion}, a hook", found, "ms", floor, "floor")


class Site:
    """A controller of the bench's own with a model, and what is asked of it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.client = Client(data)

    def call(self, method: str, **params: Any) -> Any:
        """Ask the controller, about the model."""
        return self.client.call(method, model="m", **params)

    def start(self, *, warm: bool) -> None:
        """Start the controller and add the model."""
        config = {"hook-warm-start": str(warm).lower(), "logging-config": "<root>=DEBUG"}
        self.client.call("add_model", name="m", config=config)

    def stop(self) -> None:
        """End the controller and everything that it runs."""
        self.client.call("shutdown")

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + _SECONDS
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {_SECONDS} s: {json.dumps(self.call('status'))}")
            time.sleep(0.05)

    def settled(self, *applications: str, message: str) -> bool:
        """Whether all their units are idle and say the message."""
        status = self.call("status")["applications"]
        units = [unit for name in applications for unit in status[name]["units"].values()]
        return all(
            unit["juju-status"]["current"] == "idle"
            and unit["workload-status"].get("message") == message
            for unit in units
        )

    def idle(self, *applications: str) -> bool:
        """Whether all their units are idle."""
        status = self.call("status")["applications"]
        units = [unit for name in applications for unit in status[name]["units"].values()]
        return all(unit["juju-status"]["current"] == "idle" for unit in units)

    def many(self, application: str, count: int) -> bool:
        """Whether an application has so many units, and all are idle."""
        units = self.call("status")["applications"][application]["units"]
        return len(units) == count and self.idle(application)

    def costs(self, deed: Callable[[], None]) -> float:
        """Milliseconds that a deed takes for each hook that it makes run."""
        before, began = self._ran(), time.perf_counter()
        deed()
        seconds = time.perf_counter() - began
        return seconds * 1000 / (self._ran() - before)

    def _ran(self) -> int:
        """How many hooks have run in all."""
        return sum(path.read_text().count(_RAN) for path in self.data.glob("logs/*.log"))

    def deploy(self, name: str, units: int) -> None:
        """Deploy the idle charm and wait until it has settled."""
        self.call("deploy", application=name, charm=str(CHARM), num_units=units)
        self.until(lambda: self.settled(name, message="first"))

    def set(self, message: str) -> None:
        """Have a hook run in each unit, and wait until all have run."""
        self.call("config_set", application="idle", settings={"message": message})
        self.until(lambda: self.settled("idle", message=message))

    def integrate(self) -> None:
        """Relate two applications, and wait until all units know all others."""
        self.call("integrate", endpoints=["left:out", "right:in"])
        self.until(lambda: self.settled("left", "right", message=f"knows {_RELATED}"))

    def floor(self) -> list[float]:
        """Milliseconds of `dispatch` when it is called directly, on all cores at once."""
        units = [f"idle/{number}" for number in range(_CORES)]
        ran = self.call(
            "run", units=units, action="floor", params={"count": _FLOOR}, timeout=_SECONDS
        )
        times = [json.loads(ran[unit]["results"]["times"]) for unit in units]
        return [one / _CORES for each in times for one in each]


@contextmanager
def _site(*, warm: bool) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="bench-hooks-") as folder:
        site = Site(Path(folder))
        site.start(warm=warm)
        try:
            yield site
        finally:
            site.stop()
