"""Runs that expire are removed with their logs and artifacts; those that others use are not."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl

from ..waiting import wait
from .stack import Cluster, Service, remote

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def make(text: str, out: dsl.Output[dsl.Artifact]):
    with open(out.path, "w") as file:
        file.write(text)


@dsl.pipeline(name="making")
def making(text: str):
    make(text=text)


@pytest.fixture
def keeper(
    cluster: Cluster, step_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that keeps one run."""
    folder = tmp_path_factory.mktemp("keeper")
    with remote(folder, cluster, step_image, "keeper", run_retention_count=1) as made:
        yield made


def ran(service: Service, text: str) -> str:
    client = service.client()
    made = client.create_run_from_pipeline_func(making, arguments={"text": text})
    run = client.wait_for_run_completion(made.run_id, timeout=120, sleep_duration=1)
    assert run.state == "SUCCEEDED", service.evidence(made.run_id)
    run_id: str = made.run_id
    return run_id


def listed(service: Service) -> set[str]:
    return {run.run_id for run in service.client().list_runs(page_size=100).runs or []}


def files(service: Service, run_id: str) -> list[Any]:
    return list(service.root.rglob(f"{run_id}/**/*"))


def test_the_newest_run_is_kept_and_what_it_uses(keeper: Service) -> None:
    alone, maker, user = ran(keeper, "alone"), ran(keeper, "shared"), ran(keeper, "shared")
    wait(lambda: not keeper.cluster.pods(), "the steps' pods are gone")
    assert all(files(keeper, run_id) for run_id in (alone, maker))
    keeper.stop()
    keeper.start()
    # The last has its artifact from the one before.
    wait(lambda: listed(keeper) == {maker, user}, "the first is removed")
    assert files(keeper, alone) == []
    assert files(keeper, maker) != []
    other = ran(keeper, "other")
    keeper.stop()
    keeper.start()
    wait(lambda: listed(keeper) == {other}, "the others are removed")
    assert files(keeper, maker) == []
    assert files(keeper, other) != []
