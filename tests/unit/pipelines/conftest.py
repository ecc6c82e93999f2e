"""A whole API over a real store in a temporary folder, with files and logs made by the test."""

from __future__ import annotations

import copy
import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from toolkit_pipelines import api
from toolkit_pipelines.api.context import Context
from toolkit_pipelines.contents import Contents
from toolkit_pipelines.events import RunCreated
from toolkit_pipelines.installs import Group
from toolkit_pipelines.paging import Pager
from toolkit_pipelines.root import PipelineRoot
from toolkit_pipelines.spec.model import Pipeline
from toolkit_pipelines.store import Store, open_store
from toolkit_pipelines.store.interface import Experiment, Run
from toolkit_pipelines.watchers import Watchers

from ...postgresql import PostgresServer

SPEC = b'{"pipelineInfo":{"name":"p"}}'


@dataclass
class Bench:
    """Stands in for the engine: its logs and files are what a test puts there."""

    root: Path
    lines: dict[tuple[str, int], bytes] = field(default_factory=dict)
    followed: list[bool] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    locks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    awaited: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    nowhere: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def waiting(self, run_id: str) -> dict[str, str]:
        return self.reasons

    def waiting_steps(self) -> dict[str, int]:
        return self.steps

    async def logs(
        self, run_id: str, task: str, attempt: int, *, follow: bool = False
    ) -> AsyncIterator[bytes]:
        self.followed.append(follow)
        yield self.lines.get((task, attempt), b"")

    async def missing(self, images: Sequence[str]) -> dict[str, str]:
        return {each: self.nowhere[each] for each in images if each in self.nowhere}

    async def invalid(self, pipeline: Pipeline) -> dict[str, str]:
        return {name: why for name, why in self.refused.items() if name in pipeline.components}

    def packages(self, image: str, groups: Sequence[Group]) -> tuple[str, ...]:
        """What the environment of an image and its first requirement holds."""
        return self.locks.get(f"{image} {groups[0].requirements[0]}", ()) if groups else ()

    async def cleared(self, run_id: str, patience: float) -> None:
        assert patience > 0
        self.awaited.append(run_id)

    def forget(self, run_id: str) -> None:
        self.forgotten.append(run_id)

    def forgetter(self) -> Callable[[str], None]:
        return self.forget


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real PostgreSQL; each test has a database of its own."""
    made = PostgresServer(tmp_path_factory.mktemp("postgresql"), checking=False)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "pipelines.db")
    yield opened
    opened.close()


@pytest.fixture
def experiment(store: Store) -> Experiment:
    made = Experiment(experiment_id=str(uuid.uuid4()), display_name="Default", created=1.0)
    store.catalog.create_experiment(made)
    return made


NewRun = Callable[..., Run]


@pytest.fixture
def new_run(store: Store, experiment: Experiment) -> NewRun:
    """Give a function that adds a run; it takes a name and a time of creation."""

    def add(name: str = "r", created: float = 10.0, request: tuple[str, str] | None = None) -> Run:
        return _add_run(store, experiment, name, created, request)

    return add


def _add_run(
    store: Store,
    experiment: Experiment,
    name: str,
    created: float,
    request: tuple[str, str] | None,
) -> Run:
    run = Run(
        run_id=str(uuid.uuid4()),
        experiment_id=experiment.experiment_id,
        display_name=name,
        spec="",
        created=created,
    )
    event = RunCreated(
        run_id=run.run_id,
        time=created,
        spec="",
        display_name=name,
        pipeline_name="p",
        experiment_id=experiment.experiment_id,
        experiment_name=experiment.display_name,
    )
    return store.runs.create(run, event, SPEC, request=request)


@pytest.fixture
def workloads(tmp_path: Path) -> Bench:
    root = tmp_path / "root"
    root.mkdir()
    return Bench(root)


@pytest.fixture
def context(store: Store, workloads: Bench) -> Context:
    ticks = itertools.count(1_800_000_000)
    return Context(
        store=store,
        pager=Pager(b"key"),
        workloads=workloads,
        watchers=Watchers(store.runs.subscribe),
        root=PipelineRoot(workloads.root),
        contents=Contents(PipelineRoot(workloads.root)),
        namespace="ml",
        clock=lambda: float(next(ticks)),
    )


@pytest.fixture
def client(context: Context) -> Iterator[TestClient]:
    with TestClient(
        api.application(context),
        base_url="http://test/apis/v2beta1",
        raise_server_exceptions=False,
    ) as client:
        yield client


_PIPELINE = {
    "pipelineInfo": {"name": "adder", "description": "adds"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.3",
    "root": {
        "inputDefinitions": {
            "parameters": {
                "a": {"parameterType": "NUMBER_INTEGER"},
                "b": {"parameterType": "NUMBER_INTEGER", "defaultValue": 2},
            }
        },
        "dag": {
            "tasks": {
                "add": {
                    "taskInfo": {"name": "add"},
                    "componentRef": {"name": "comp-add"},
                    "inputs": {
                        "parameters": {
                            "a": {"componentInputParameter": "a"},
                            "b": {"componentInputParameter": "b"},
                        }
                    },
                }
            }
        },
    },
    "components": {
        "comp-add": {
            "executorLabel": "exec-add",
            "inputDefinitions": {
                "parameters": {
                    "a": {"parameterType": "NUMBER_INTEGER"},
                    "b": {"parameterType": "NUMBER_INTEGER"},
                }
            },
        }
    },
    "deploymentSpec": {
        "executors": {
            "exec-add": {
                "container": {
                    "image": "python:3.11",
                    "command": ["sh", "-c", "echo $0"],
                    "args": ["{{$.inputs.parameters['a']}}"],
                }
            }
        }
    },
}


@pytest.fixture
def pipeline() -> dict[str, Any]:
    """Give a pipeline of one container task with one required and one optional input."""
    return copy.deepcopy(_PIPELINE)
