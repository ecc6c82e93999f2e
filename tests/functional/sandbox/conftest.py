from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import container, warm
from sandbox.container import Container
from sandbox.images import ImageStore
from sandbox.spec import Exit, Image, Spec

from ..waiting import PATIENCE

LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "probe"
version = "0.1"
source = { virtual = "." }
"""
PROJECT = """\
[project]
name = "probe"
version = "0.1"
requires-python = ">=3.11"

[tool.process-image]
prefix = "/opt/probe"
env = { FLAVOUR = "plain" }
preload = ["json", "decimal"]
"""


def write_project(folder: Path, project: str = PROJECT) -> Path:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(project)
    (folder / "uv.lock").write_text(LOCK)
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def image(store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """An image of nothing but Python, so that no package index is needed."""
    return store.build(write_project(tmp_path_factory.mktemp("images") / "probe"))


@pytest.fixture
def warm_image(image: Image) -> Iterator[Image]:
    """The image, with its warm interpreter ready."""
    warm.prestart(image)
    wait_until_warm(image)
    yield image
    warm.close()


def wait_until_warm(image: Image) -> None:
    limit = time.monotonic() + PATIENCE
    while not warm.ready(image):
        assert time.monotonic() < limit, "the warm interpreter does not come up"
        time.sleep(0.005)


class Runner:
    """Starts containers below a folder, and ends what the test leaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Container] = []

    def place(self) -> Path:
        return self.folder / str(len(self.started))

    def start(self, *command: str, **options: object) -> Container:
        place = self.place()
        options.setdefault("output", place.with_suffix(".log"))
        started = Container.start(place, Spec(command, **options))  # type: ignore[arg-type]
        self.started.append(started)
        return started

    def output(self, made: Container) -> str:
        assert made.spec.output is not None
        return made.spec.output.read_text()


def finish(started: Container) -> Exit:
    """Wait for a container's end, in a loop of its own."""

    async def wait() -> Exit:
        return await asyncio.wait_for(started.wait(), PATIENCE)

    return asyncio.run(wait())


def forget(started: Container) -> None:
    """Leave the disk as an owner does that dies before it has noted PID 1."""
    status = started.directory / "status"
    lines = [line for line in status.read_text().splitlines() if "process" not in line]
    status.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    made = Runner(tmp_path / "containers")
    yield made
    for each in made.started:
        each.kill()
    limit = time.monotonic() + PATIENCE
    while container.reap():
        assert time.monotonic() < limit, "a monitor outlives its container"
        time.sleep(0.002)


@pytest.fixture
def no_cold_start(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], None]]:
    """Fails the test if a command that should have started warm did not."""
    caplog.set_level(logging.WARNING, "sandbox.warm")
    yield lambda: None
    assert caplog.messages == []
