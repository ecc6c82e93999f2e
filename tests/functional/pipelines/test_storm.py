"""kill -9 of any part at seeded moments, over a corpus of runs: each ends as if undisturbed.

The service, tinykube (the node is in it), steps, the supervisors of their containers and the warm
interpreter are killed while runs of every kind go on. All tasks may be tried again, since a step
that is killed has failed. `--storm N --storm-seed S` asks for others, such as hundreds.
"""

import contextlib
import json
import os
import random
import signal
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import compiler, dsl, kubernetes

from ..processes import contains, processes
from ..waiting import wait
from .stack import Service

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

IMAGE = "python:3.11"
UNDER_WAY = 4
"""How many runs go on at a time."""
PATIENCE = 300.0
ENDED = ("SUCCEEDED", "FAILED", "CANCELED")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def write(x: int, out: dsl.Output[dsl.Dataset]) -> int:
    import time

    # In pieces, so that a kill may come between them.
    with open(out.path, "w") as file:
        for _ in range(10):
            file.write(f"{x}\n" * 1000)
            time.sleep(0.02)
    return 2 * x


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def read(numbers: list[int], parts: dsl.Input[list[dsl.Dataset]]) -> int:
    for number, part in zip(numbers, parts, strict=True):
        with open(part.path) as file:
            assert file.read() == f"{number // 2}\n" * 10_000, part.path
    return sum(numbers)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refuse(x: int) -> int:
    raise ValueError(f"not {x}")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tell(status: dsl.PipelineTaskFinalStatus) -> str:
    return status.state


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sleep(seconds: int):
    import time

    time.sleep(seconds)


def often(task: Any) -> Any:
    """Tried again, however often it is killed."""
    return task.set_retry(50, backoff_duration="0s", backoff_factor=1.0)


@dsl.pipeline(name="storm-group")
def group(x: int) -> int:
    first = often(write(x=x))
    with dsl.If(first.outputs["Output"] > 4):
        high = often(write(x=x))
    with dsl.Else():
        low = often(write(x=x))
    return dsl.OneOf(high.outputs["Output"], low.outputs["Output"])


@dsl.pipeline(name="storm-good")
def good():
    with dsl.ExitHandler(often(tell())):
        with dsl.ParallelFor([1, 2, 3], parallelism=2) as x:
            made = often(write(x=x))
        parts = dsl.Collected(made.outputs["out"])
        added = read(numbers=dsl.Collected(made.outputs["Output"]), parts=parts)
        often(added)
        group(x=added.output)


@dsl.pipeline(name="storm-bad")
def bad():
    with dsl.ExitHandler(often(tell())):
        first = often(write(x=1))
        refuse(x=first.outputs["Output"]).set_retry(1, backoff_duration="0s", backoff_factor=1.0)


@dsl.pipeline(name="storm-late")
def late():
    first = often(write(x=1))
    kubernetes.set_timeout(sleep(seconds=3600).after(first), 2)


@dsl.pipeline(name="storm-long")
def long():
    first = often(write(x=1))
    often(sleep(seconds=3600).after(first))


EXPECTED = {good: "SUCCEEDED", bad: "FAILED", late: "FAILED", long: "CANCELED"}


@dataclass
class Storm:
    """Runs, and faults while they go on."""

    service: Service
    chance: random.Random
    specs: dict[Any, Any]
    runs: dict[str, Any] = field(default_factory=dict)
    going: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Ask the service, until it is there to answer."""
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(httpx2.TransportError), self.service.http() as client:
                answer = client.request(method, f"/apis/v2beta1{path}", **options)
                if answer.status_code != 503:
                    assert answer.status_code < 300, answer.text
                    return answer.json()
            process = self.service.process
            assert process is not None
            assert process.poll() is None, self.service.log.read_text()[-5000:]
            assert time.monotonic() < end, f"nobody answers {method} {path}"
            time.sleep(0.05)

    def more(self) -> None:
        """Let so many runs go on; those that are to be terminated are, at some time."""
        for run_id in sorted(self.going):
            if self.call("GET", f"/runs/{run_id}")["state"] in ENDED:
                self.going.remove(run_id)
            elif self.runs[run_id] is long and self.chance.random() < 0.3:
                self.call("POST", f"/runs/{run_id}:terminate")
        while len(self.going) < UNDER_WAY:
            pipeline = self.chance.choice([good, good, bad, late, long])
            body = {"display_name": pipeline.name, **self.specs[pipeline]}
            # What was asked before a kill and is asked again makes one run.
            headers = {"Idempotency-Key": str(uuid.uuid4())}
            run_id = self.call("POST", "/runs", json=body, headers=headers)["run_id"]
            self.runs[run_id] = pipeline
            self.going.add(run_id)

    def faults(self, number: int) -> None:
        """Kill something, so many times."""
        kinds = [self._server, self._node, self._both, self._step, self._supervisor, self._warm]
        while self.done.total() < number:
            self.more()
            time.sleep(self.chance.uniform(0.0, 0.8))
            kind = self.chance.choice(kinds)
            if kind():
                self.done[kind.__name__[1:]] += 1

    def _server(self) -> bool:
        self.service.kill()
        time.sleep(self.chance.choice([0.0, 0.3]))
        self.service.launch()
        return True

    def _node(self) -> bool:
        self.service.cluster.kill()
        time.sleep(self.chance.choice([0.0, 0.3]))
        self.service.cluster.start()
        return True

    def _both(self) -> bool:
        self.service.kill()
        self.service.cluster.kill()
        self.service.cluster.start()
        self.service.launch()
        return True

    def _step(self) -> bool:
        """Any process in a container."""
        return self._one(self._contained())

    def _supervisor(self) -> bool:
        """What stays outside of a container to see to it."""
        return self._one({_parent(pid) for pid in self._contained()} - {0, 1})

    def _warm(self) -> bool:
        """The interpreter that steps are forked from."""
        daemon = int((self.service.cluster.folder / "lock").read_text())
        zygotes = (pid for pid, line in processes().items() if "zygote.py" in line)
        return self._one({pid for pid in zygotes if daemon in _ancestors(pid)})

    def _contained(self) -> set[int]:
        return {pid for pid in processes() if contains(self.service.cluster.folder, pid)}

    def _one(self, pids: set[int]) -> bool:
        daemon = int((self.service.cluster.folder / "lock").read_text())
        chosen = sorted(pids - {daemon, os.getpid()})
        if not chosen:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.chance.choice(chosen), signal.SIGKILL)
            return True
        return False

    def verdict(self) -> None:
        """Each run ended as its pipeline means it, and nothing that was done was done twice."""
        for run_id, pipeline in self.runs.items():
            if pipeline is long:
                self.call("POST", f"/runs/{run_id}:terminate")
        for run_id, pipeline in self.runs.items():
            wait(
                lambda run_id=run_id: self.call("GET", f"/runs/{run_id}")["state"] in ENDED,  # type: ignore[misc]
                f"run {run_id} of {pipeline.name} has ended: {self.done}",
                PATIENCE,
            )
            run = self.call("GET", f"/runs/{run_id}")
            evidence = f"{run_id} of {pipeline.name}: {dict(self.done)}"
            assert run["state"] == EXPECTED[pipeline], self.service.evidence(run_id)
            tasks = run["run_details"]["task_details"]
            told = {t["display_name"]: t.get("output_parameters", {}) for t in tasks}
            if pipeline is good:
                assert told["storm-group"] == {"Output": 24}, evidence
                assert told["tell"] == {"Output": "COMPLETE"}, evidence
            elif pipeline is bad:
                assert told["tell"] == {"Output": "FAILED"}, evidence
            self._once(run_id, evidence)
        wait(lambda: not self.service.cluster.pods(), "no pod is left")
        wait(lambda: not self._contained(), "no process is left in a container")

    def _once(self, run_id: str, evidence: str) -> None:
        """No task has two attempts that ended well."""
        well: Counter[str] = Counter()
        for result in self.service.root.glob(f"*/{run_id}/*/*/result.json"):
            if json.loads(result.read_text())["exit_code"] == 0:
                asked = json.loads(result.parent.with_suffix(".json").read_text())
                well[asked["constants"][".pipeline_task_uuid"]] += 1
        # One that is terminated may have been so before anything in it had ended.
        assert well or self.runs[run_id] is long, evidence
        assert max(well.values(), default=1) == 1, (evidence, well)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = _parent(pid)
        yield pid


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Any]:
    """The corpus as requests have it; nothing comes from the cache."""
    folder, found = tmp_path_factory.mktemp("specs"), {}
    for pipeline in EXPECTED:
        path = folder / f"{pipeline.name}.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        text = path.read_text().replace("enableCache: true", "enableCache: false")
        spec, *platform = yaml.safe_load_all(text)
        body = {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec
        found[pipeline] = {"pipeline_spec": body}
    return found


def test_a_storm(service: Service, specs: dict[Any, Any], request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("--storm-seed")
    storm = Storm(service, random.Random(seed), specs)
    storm.faults(request.config.getoption("--storm"))
    storm.verdict()
    print(f"seed {seed}: {len(storm.runs)} runs, {dict(storm.done)}")
