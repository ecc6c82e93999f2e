"""Environments that are built while the engine is killed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from toolkit_jobs import ClaimMount, PodPhase, PodRequest, PodStatus
from toolkit_pipelines.environments import BuildError, EnvironmentOptions, Environments
from toolkit_pipelines.installs import Group
from toolkit_pipelines.root import PipelineRoot

from .conftest import PlayedPods

IMAGE = "python:3.11"
GROUPS = (Group(("pandas",), False, ()),)
LABELS = {"toolkit.canonical.com/kind": "environment"}


class Builds(PlayedPods):
    """Pods that build: each has its folder from its start on, as a mount does.

    Attributes:
        go: what they wait for before they end.
    """

    def __init__(self, root: PipelineRoot, folder: Path) -> None:
        super().__init__(root)
        self.folder = folder
        self.go = asyncio.Event()
        self.go.set()

    async def play(self, request: PodRequest) -> None:
        (place, *_) = [m.sub_path for m in request.mounts if isinstance(m, ClaimMount)]
        mounted = os.open(self.folder / place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.publish(PodStatus(request.name, PodPhase.RUNNING, labels=request.labels))
            await self.go.wait()
            self._build(mounted)
        except OSError:
            self.publish(PodStatus(request.name, PodPhase.FAILED, labels=request.labels))
        else:
            self.publish(PodStatus(request.name, PodPhase.SUCCEEDED, labels=request.labels))
        finally:
            os.close(mounted)

    @staticmethod
    def _build(mounted: int) -> None:
        def opened(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600, dir_fd=mounted)

        with open("request.json", opener=opened) as file:
            assert json.load(file)["groups"][0]["requirements"] == ["pandas"]
        with open("result.json", "w", opener=opened) as file:
            json.dump({"version": "1", "satisfied": False, "message": ""}, file)


@dataclass
class Volume:
    """A volume of environments, and the pods that work in it."""

    folder: Path
    pods: Builds

    async def begun(self) -> None:
        """Wait until there is a pod."""
        async with asyncio.timeout(60):
            while not self.pods.statuses:  # noqa: ASYNC110 - whoever listens is the engine
                await asyncio.sleep(0)

    def environments(self, limit: int = 0) -> Environments:
        """What an engine has that was just started; the one before was killed."""
        self.pods.restart()
        options = EnvironmentOptions(self.folder, "environments", "step", limit=limit)
        return Environments(self.pods, options)

    async def settled(self, environments: Environments) -> None:
        """Wait until what is to go after a build is gone."""
        await asyncio.wait_for(asyncio.gather(*environments.tasks()), 60)

    def found(self) -> set[str]:
        """The keys of the environments that there are."""
        return {each.parent.name for each in self.folder.glob("default/[!.]*/result.json")}


@pytest.fixture
async def volume(root: PipelineRoot, tmp_path: Path) -> AsyncIterator[Volume]:
    folder = tmp_path / "environments"
    folder.mkdir()
    made = Volume(folder, Builds(root, folder))
    yield made
    await made.pods.close()


async def test_a_pod_that_a_killed_engine_asked_for_comes_late(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods, asked = volume.pods, asyncio.Event()
    start, get = pods.start, pods.get
    late: list[PodRequest] = []

    async def sent(request: PodRequest) -> PodStatus:
        """The request is on its way; the engine is killed before the API has it."""
        late.append(request)
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def not_yet(name: str) -> PodStatus:
        found = await get(name)
        monkeypatch.setattr(pods, "start", start)
        if late:
            await start(late.pop())
            await asyncio.sleep(0)
        return found

    killed = asyncio.create_task(volume.environments().ensure(IMAGE, GROUPS))
    monkeypatch.setattr(pods, "start", sent)
    await asyncio.wait_for(asked.wait(), 60)
    environments = volume.environments()
    monkeypatch.setattr(pods, "get", not_yet)
    pods.go.clear()
    building = asyncio.create_task(environments.ensure(IMAGE, GROUPS))
    await volume.begun()
    pods.go.set()
    place = await asyncio.wait_for(building, 60)
    assert (volume.folder / place / "result.json").exists()
    assert list(pods.started.values()) == [1]
    killed.cancel()


@pytest.mark.parametrize("phase", [PodPhase.SUCCEEDED, PodPhase.FAILED])
async def test_a_pod_whose_end_was_taken_in_stands_for_no_build(
    volume: Volume, phase: PodPhase
) -> None:
    """It was just to be deleted; what it built is there no more, or never was."""
    environments = volume.environments()
    name = f"environment-{environments.key(IMAGE, GROUPS)}"
    volume.pods.statuses[name] = PodStatus(name, phase, labels=LABELS)
    place = await asyncio.wait_for(environments.ensure(IMAGE, GROUPS), 60)
    assert (volume.folder / place / "result.json").exists()
    assert not volume.pods.statuses


async def test_a_build_goes_on_though_the_engine_is_killed(volume: Volume) -> None:
    volume.pods.go.clear()
    killed = asyncio.create_task(volume.environments().ensure(IMAGE, GROUPS))
    await volume.begun()
    building = asyncio.create_task(volume.environments().ensure(IMAGE, GROUPS))
    volume.pods.go.set()
    await asyncio.wait_for(building, 60)
    assert list(volume.pods.started.values()) == [1]
    killed.cancel()


async def test_pods_of_builds_that_are_done_with_are_swept(volume: Volume) -> None:
    environments = volume.environments()
    place = await asyncio.wait_for(environments.ensure(IMAGE, GROUPS), 60)
    done, running, unknown = (
        PodStatus(f"environment-{key}", phase, labels=LABELS)
        for key, phase in (
            (Path(place).name, PodPhase.SUCCEEDED),
            ("0" * 32, PodPhase.RUNNING),
            ("1" * 32, PodPhase.FAILED),
        )
    )
    volume.pods.statuses = {each.name: each for each in (done, running, unknown)}
    await environments.sweep(await volume.pods.pods())
    assert set(volume.pods.statuses) == {running.name, unknown.name}


BLOCK = 4096
"""A block: an environment has two, of its request and of its record."""


async def test_one_used_longest_ago_goes_after_a_build_and_comes_back(volume: Volume) -> None:
    environments = volume.environments(limit=3 * BLOCK)
    images = [IMAGE, "python:3.12"]
    first, second = (environments.key(each, GROUPS) for each in images)
    for image, kept in ((images[0], {first}), (images[1], {second}), (images[0], {first})):
        key = environments.key(image, GROUPS)
        environments.use("pod", key)
        place = await asyncio.wait_for(environments.ensure(image, GROUPS), 60)
        assert Path(place).name == key
        await volume.settled(environments)
        assert volume.found() == kept
        environments.leave("pod")
    assert sum(volume.pods.started.values()) == 3
    assert environments.lock(images[1], GROUPS) == ()


async def test_a_use_counts_though_nothing_is_built(volume: Volume) -> None:
    environments = volume.environments(limit=5 * BLOCK)
    keys = {image: environments.key(image, GROUPS) for image in ("one", "two", "three")}
    for image in ("one", "two"):
        await asyncio.wait_for(environments.ensure(image, GROUPS), 60)
        os.utime(volume.folder / "default" / keys[image], (0, 0))
    await asyncio.wait_for(environments.ensure("one", GROUPS), 60)
    await asyncio.wait_for(environments.ensure("three", GROUPS), 60)
    await volume.settled(environments)
    assert volume.found() == {keys["one"], keys["three"]}


async def test_after_a_restart_what_steps_are_in_stays(volume: Volume) -> None:
    environments = volume.environments()
    for image in ("one", "two"):
        await asyncio.wait_for(environments.ensure(image, GROUPS), 60)
    key = environments.key("one", GROUPS)
    os.utime(volume.folder / "default" / key, (0, 0))
    half = volume.folder / "default" / ".gone-half"
    half.mkdir()
    labels = {"toolkit.canonical.com/environment": key}
    volume.pods.statuses = {"step": PodStatus("step", PodPhase.RUNNING, labels=labels)}
    again = volume.environments(limit=BLOCK)
    await asyncio.wait_for(again.sweep(await volume.pods.pods()), 60)
    assert volume.found() == {key}
    assert not half.exists()
    again.leave("step")
    await asyncio.wait_for(again.sweep({}), 60)
    assert volume.found() == set()


async def test_the_cache_stays_while_a_build_of_before_goes_on(volume: Volume) -> None:
    environments = volume.environments(limit=BLOCK)
    cache = volume.folder / "default" / ".cache"
    cache.mkdir(parents=True)
    (cache / "wheel").write_bytes(bytes(2 * BLOCK))
    name = f"environment-{'0' * 32}"
    building = PodStatus(name, PodPhase.RUNNING, labels=LABELS)
    volume.pods.statuses[name] = building
    await asyncio.wait_for(environments.sweep(await volume.pods.pods()), 60)
    assert cache.exists()
    volume.pods.publish(PodStatus(name, PodPhase.GONE, labels=LABELS))
    await asyncio.wait_for(environments.sweep({}), 60)
    assert not cache.exists()


async def test_an_empty_folder_stands_for_no_environment(volume: Volume) -> None:
    """As one that a pod makes that starts too late, for what it is to mount."""
    environments = volume.environments()
    (volume.folder / "default" / environments.key(IMAGE, GROUPS)).mkdir(parents=True)
    place = await asyncio.wait_for(environments.ensure(IMAGE, GROUPS), 60)
    assert (volume.folder / place / "result.json").exists()


async def test_a_build_that_records_nothing_leaves_nothing(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(mounted: int) -> None:
        raise OSError("killed")

    monkeypatch.setattr(volume.pods, "_build", cut)
    with pytest.raises(BuildError, match="ended without a record"):
        await volume.environments().ensure(IMAGE, GROUPS)
    assert [each.name for each in (volume.folder / "default").iterdir()] == [".cache"]
