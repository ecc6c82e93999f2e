"""The pipelines service over a real tinykube, with the real step image, in sandboxes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
def serve(cluster: Cluster, step_image: str, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a further service, by its name and settings, on the volumes of the shared one."""
    volumes = cluster.folder.parent
    with contextlib.ExitStack() as stack:

        def start(name: str, **settings: Any) -> Service:
            for each in ("pipeline-root", "environments"):
                settings[each.replace("-", "_")] = str(volumes / each)
            made = Service(tmp_path, cluster, step_image, name=name, **settings)
            made.root = volumes / "pipeline-root"
            stack.callback(made.stop)
            made.start()
            return made

        yield start


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kfp.Client keeps a context file in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
