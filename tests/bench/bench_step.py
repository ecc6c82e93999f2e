"""What a pipeline step costs that does nothing: through the API, and in other engines."""

import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.bench import peers, pipelines
from tests.bench.figures import Figure
from tests.functional.pipelines.stack import Service

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from kfp import dsl, local

_CHAIN = 20
_REPEATS = 5


@dsl.component(base_image="python:3.11")
def as_compiled(x: int) -> int:
    return x


@dsl.pipeline(name="one-step-as-compiled")
def one_as_compiled(x: int = 1):
    as_compiled(x=x)


@dsl.pipeline(name="chain")
def chain(x: int = 1):
    value: Any = x
    for _ in range(_CHAIN):
        value = pipelines.nothing(x=value).output


def _milliseconds(service: Service, pipeline: Any, *, caching: bool = False) -> float:
    """Run a pipeline and give how long the service took for it, by its own clock.

    It is waited for as KFP's users do: what asks often takes the processors from what it asks for.
    """
    client = service.client()
    with pipelines.quietly():
        started = client.create_run_from_pipeline_func(
            pipeline, arguments={}, enable_caching=caching
        )
    run = client.wait_for_run_completion(started.run_id, timeout=120, sleep_duration=1)
    if run.state != "SUCCEEDED":
        raise RuntimeError(service.logs(started.run_id))
    return (run.finished_at - run.created_at).total_seconds() * 1000


def _local(
    folder: Path,
    component: Any = pipelines.nothing,
    *,
    use_venv: bool = False,
    repeats: int = _REPEATS,
) -> list[float]:
    local.init(
        runner=local.SubprocessRunner(use_venv=use_venv),
        pipeline_root=str(folder),
        raise_on_error=True,
    )
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        with pipelines.quietly():
            component(x=1)
        found.append((time.perf_counter() - began) * 1000)
    return found


def run() -> Iterable[Figure]:
    """Measure cold and warm steps."""
    with pipelines.home() as folder:
        peer = _local(folder / "local")
        others = {
            "kfp.local as it comes (an environment a task)": _local(
                folder / "venv", as_compiled, use_venv=True, repeats=1
            ),
            "Metaflow, a step": peers.metaflow(folder / "metaflow", _CHAIN),
            f"Prefect, a task of a chain of {_CHAIN}, in one process": peers.prefect(
                folder / "prefect", _CHAIN, _REPEATS
            ),
            "an interpreter that does nothing": peers.subprocesses(_REPEATS),
        }
        with pipelines.served(folder) as service:
            cold = [_milliseconds(service, pipelines.one)]
            warm = [_milliseconds(service, pipelines.one) for _ in range(_REPEATS)]
            checked = [_milliseconds(service, one_as_compiled)]
            many = [_milliseconds(service, chain) / _CHAIN for _ in range(_REPEATS)]
            _milliseconds(service, chain, caching=True)
            cached = [
                _milliseconds(service, chain, caching=True) / _CHAIN for _ in range(_REPEATS)
            ]
    name = "kfp.local SubprocessRunner, one task"
    yield Figure("the first step (interpreter not warm)", cold, peer=peer, peer_name=name)
    yield Figure("a run of one step, warm", warm, peer=peer, peer_name=name)
    yield Figure("the first whose packages are looked at", checked, peer=peer, peer_name=name)
    yield Figure(f"a step of a chain of {_CHAIN}, warm", many, peer=peer, peer_name=name)
    yield Figure(f"a step of a chain of {_CHAIN}, cached", cached, peer=peer, peer_name=name)
    for name, found in others.items():
        yield Figure("a step of a chain, warm", many, peer=found, peer_name=name)
