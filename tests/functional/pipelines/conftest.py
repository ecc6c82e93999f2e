"""The pipelines service over a real tinykube, with the real step image, in sandboxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.images import ImageStore

from .stack import ROOT, Cluster, Gate, Service


@pytest.fixture(scope="session")
def step_image() -> str:
    """The step image, built once for this machine."""
    return ImageStore().build(ROOT / "images" / "step").reference


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, step_image: str) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("pipelines")
    made = Cluster(folder / "tinykube", step_image)
    made.start()
    try:
        volumes = {name: folder / name for name in ("pipeline-root", "environments")}
        made.prepare(volumes)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def service(cluster: Cluster, step_image: str) -> Iterator[Service]:
    made = Service(cluster.folder.parent, cluster, step_image)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kfp.Client keeps a context file in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
