"""An engine over a real store, with pods that a test plays or that are plain processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit_jobs import (
    Appraisal,
    ClaimMount,
    Listener,
    PodPhase,
    PodRequest,
    PodStatus,
    RefusedError,
    SecretKey,
    UnavailableError,
)
from toolkit_pipelines import events, runstate
from toolkit_pipelines.engine import Engine
from toolkit_pipelines.environments import EnvironmentOptions, Environments
from toolkit_pipelines.events import RunCreated, RunTerminating
from toolkit_pipelines.options import EngineOptions, Tracking
from toolkit_pipelines.root import PipelineRoot
from toolkit_pipelines.store import Store, open_store
from toolkit_pipelines.store.interface import Experiment, Run
from toolkit_pipelines.store.runs import Runs

CLAIMS = "persistentvolumeclaims"
LAUNCHER = Path(__file__).parents[4] / "images" / "step" / "data" / "share" / "toolkit-launcher"


class FakePods:
    """What is common to the pods of tests: names, listeners, an API that may be away."""

    def __init__(self) -> None:
        self.requests: dict[str, PodRequest] = {}
        self.statuses: dict[str, PodStatus] = {}
        self.started: Counter[str] = Counter()
        self.deleted: list[str] = []
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.claims: dict[str, dict[str, Any]] = {}
        self.made: Counter[str] = Counter()
        self.unmade: Counter[str] = Counter()
        self.refuse_claim: Callable[[str], str] = lambda name: ""
        # Comes after the API has done something to a claim and before the caller hears of it.
        self.act: Callable[[str], Awaitable[None]] | None = None
        self.away = 0
        self.asked: list[tuple[str, ...]] = []
        self.refuse: Callable[[PodRequest], str] = lambda request: ""
        self.appraised: list[PodRequest] = []
        self.appraisal: Callable[[PodRequest], Appraisal | None] = lambda request: Appraisal()
        self._listeners: list[Listener] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def restart(self) -> None:
        """The engine was killed: its listeners are gone, the pods are not."""
        self._listeners.clear()

    async def pods(self) -> dict[str, PodStatus]:
        return dict(self.statuses)

    async def start(self, request: PodRequest) -> PodStatus:
        await self._call()
        if problem := self.refuse(request):
            raise RefusedError(422, "Invalid", problem)
        if request.name not in self.statuses:
            self.requests[request.name] = request
            self.started[request.name] += 1
            self.publish(PodStatus(request.name, PodPhase.PENDING, labels=request.labels))
            task = asyncio.create_task(self.play(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self.statuses[request.name]

    async def missing(self, images: Sequence[str]) -> dict[str, str]:
        await self._call()
        self.asked.append(tuple(images))
        return {each: "it is nowhere" for each in images if each.startswith("nowhere")}

    async def appraise(self, request: PodRequest) -> Appraisal | None:
        await asyncio.sleep(0)
        if self.away > 0:
            return None
        self.appraised.append(request)
        return self.appraisal(request)

    async def get(self, name: str) -> PodStatus:
        await self._call()
        return self.statuses.get(name, PodStatus(name, PodPhase.GONE))

    async def metadata(self, resource: str, name: str) -> Mapping[str, Any]:
        await self._call()
        return self.objects.get((resource, name), {})

    async def create_claim(
        self, name: str, spec: Mapping[str, Any], metadata: Mapping[str, Any], *, own: bool
    ) -> None:
        await self._call()
        key = (CLAIMS, name)
        if key in self.objects:
            raise RefusedError(409, "AlreadyExists", f'{CLAIMS} "{name}" already exists')
        if problem := self.refuse_claim(name):
            raise RefusedError(403, "Forbidden", problem)
        self.made[name] += 1
        owned = {"owner": "pipelines"} if own else {}
        labels = {**metadata["labels"], **owned}
        self.objects[key] = {**metadata, "labels": labels, "uid": str(uuid.uuid4())}
        self.claims[name] = dict(spec)
        if self.act is not None:
            await self.act(name)

    async def own_claims(self) -> dict[str, Mapping[str, str]]:
        await self._call()
        return {
            name: found["labels"]
            for (_, name), found in self.objects.items()
            if found["labels"].get("owner") == "pipelines"
        }

    async def delete_claim(self, name: str, uid: str) -> None:
        await self._call()
        if problem := self.refuse_claim(name):
            raise RefusedError(403, "Forbidden", problem)
        if self.objects.get((CLAIMS, name), {}).get("uid") == uid:
            del self.objects[CLAIMS, name]
            self.unmade[name] += 1
        if self.act is not None:
            await self.act(name)

    async def delete(self, name: str, *, grace: int | None = None) -> None:
        await self._call()
        if self.statuses.pop(name, None) is not None:
            self.deleted.append(name)
            self.killed(name)
            for listener in self._listeners:
                listener(PodStatus(name, PodPhase.GONE))

    async def _call(self) -> None:
        await asyncio.sleep(0)
        if self.away > 0:
            self.away -= 1
            raise UnavailableError("the API is away")

    def publish(self, status: PodStatus) -> None:
        self.statuses[status.name] = status
        for listener in list(self._listeners):
            listener(status)

    async def logs(self, name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        await self._call()
        if name not in self.statuses:
            raise RefusedError(404, "NotFound", f'pods "{name}" not found')
        async for chunk in self.output(name):
            yield chunk

    async def output(self, name: str) -> AsyncIterator[bytes]:
        yield f"output of {name}\n".encode()

    async def play(self, request: PodRequest) -> None:
        raise NotImplementedError

    def killed(self, name: str) -> None:
        pass

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class PlayedPods(FakePods):
    """Pods whose end a test decides: `behave` gives the launcher's record, or a status."""

    def __init__(self, root: PipelineRoot) -> None:
        super().__init__()
        self.root = root
        self.behave: Callable[[str, dict[str, Any]], Any] = lambda path, task: {}
        self.gate: Callable[[str], Awaitable[None]] | None = None

    def stay(self) -> None:
        """Let no pod end by itself from now on."""

        async def gate(path: str) -> None:
            await asyncio.Event().wait()

        self.gate = gate

    async def play(self, request: PodRequest) -> None:
        path = request.annotations["toolkit.canonical.com/task"]
        path_of_task = Path(request.command[3])
        if request.command[2] == "remote":
            salt = request.labels["toolkit.canonical.com/attempt"]
            (path_of_task,) = self.root.folder.rglob(f"{salt}.json")
        task = json.loads(await asyncio.to_thread(path_of_task.read_text))
        folder = Path(task["folder"])
        claim = folder / ".started"
        descriptor = os.open(claim, os.O_CREAT | os.O_EXCL)
        os.close(descriptor)
        self.publish(
            PodStatus(request.name, PodPhase.RUNNING, labels=request.labels, started=time.time())
        )
        if self.gate is not None:
            await self.gate(path)
        found = self.behave(path, task)
        if isinstance(found, PodStatus):
            self.publish(replace(found, name=request.name, labels=request.labels))
            return
        result = {"exit_code": 0, "message": "", "parameters": {}, "artifacts": {}, **found}
        (folder / "result.json").write_text(json.dumps(result))
        phase = PodPhase.FAILED if result["exit_code"] else PodPhase.SUCCEEDED
        if request.name in self.statuses:
            self.publish(
                PodStatus(
                    request.name, phase, labels=request.labels, exit_code=result["exit_code"]
                )
            )


def add_one(path: str, given: dict[str, Any]) -> dict[str, Any]:
    value = given["executor_input"]["inputs"]["parameterValues"]["x"]
    return {"parameters": {"Output": value + 1}}


class ProcessPods(FakePods):
    """Pods as plain processes of this machine, with the real launcher."""

    def __init__(self, folder: Path, environments: Path) -> None:
        super().__init__()
        self.folder = folder
        self.environments = environments
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        # What builds wait for before they end.
        self.may_build = asyncio.Event()
        self.may_build.set()
        # What the record of a build says besides.
        self.listed: dict[str, Any] = {}
        folder.mkdir()

    def install(self, groups: list[dict[str, Any]]) -> str:
        """What a build says: "" if the image has the packages, else what is wrong."""
        del groups
        return ""

    async def play(self, request: PodRequest) -> None:
        if request.labels.get("toolkit.canonical.com/kind") == "environment":
            await self.may_build.wait()
            self._build(request)
            return
        words = [sys.executable, str(LAUNCHER), *request.command[2:]]
        env = {
            key: ("secret" if isinstance(value, SecretKey) else value)
            for key, value in request.env.items()
        }
        with (self.folder / request.name).open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdout=output,
                stderr=output,
                env={"PATH": os.environ["PATH"], **env},
                start_new_session=True,
            )
        self.processes[request.name] = process
        self.publish(PodStatus(request.name, PodPhase.RUNNING, labels=request.labels))
        code = await process.wait()
        if request.name in self.statuses:
            phase = PodPhase.FAILED if code else PodPhase.SUCCEEDED
            self.publish(
                PodStatus(request.name, phase, labels=request.labels, exit_code=abs(code))
            )

    def _build(self, request: PodRequest) -> None:
        claims = [m for m in request.mounts if isinstance(m, ClaimMount)]
        folder = self.environments / claims[0].sub_path
        groups = json.loads((folder / "request.json").read_text())["groups"]
        message = self.install(groups)
        result = {"version": "1", "satisfied": not message, "message": message, **self.listed}
        (folder / "result.json").write_text(json.dumps(result))
        phase = PodPhase.FAILED if message else PodPhase.SUCCEEDED
        self.publish(PodStatus(request.name, phase, labels=request.labels))

    async def output(self, name: str) -> AsyncIterator[bytes]:
        yield (self.folder / name).read_bytes()

    def killed(self, name: str) -> None:
        process = self.processes.get(name)
        if process is not None and process.returncode is None:
            # It may have ended, and the loop not heard of it yet.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    async def close(self) -> None:
        for name in list(self.processes):
            self.killed(name)
        await super().close()
        # Whoever waited for them may have been cancelled by now.
        for process in self.processes.values():
            await process.wait()


@dataclass
class Service:
    """A store, pods, and engines over them, one after the other."""

    store: Store
    root: PipelineRoot
    pods: FakePods
    environments: Path
    options: EngineOptions
    owner: str = "default"
    limit: int = 0
    clock: Callable[[], float] = time.time
    engine: Engine | None = None
    _task: asyncio.Task[None] | None = None
    _experiment: str = ""
    runs: list[str] = field(default_factory=list)

    async def start(self) -> Engine:
        options = EnvironmentOptions(
            self.environments, "environments", "step", self.owner, limit=self.limit
        )
        environments = Environments(self.pods, options)
        self.engine = Engine(
            self.store.runs, self.pods, self.root, environments, self.options, clock=self.clock
        )
        self._task = asyncio.create_task(self.engine.run())
        await asyncio.sleep(0)
        return self.engine

    async def kill(self) -> None:
        """Stop the engine where it stands, as a signal would."""
        assert self._task is not None
        self.pods.restart()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def submit(
        self,
        spec: dict[str, Any] | str,
        parameters: dict[str, Any] | None = None,
        root: str = "",
        *,
        force: bool = False,
    ) -> str:
        text = spec if isinstance(spec, str) else yaml.safe_dump(spec)
        document = next(iter(yaml.safe_load_all(text)))
        document = document.get("pipeline_spec", document)
        if not self._experiment:
            self._experiment = str(uuid.uuid4())
            self.store.catalog.create_experiment(
                Experiment(experiment_id=self._experiment, display_name="Default", created=1.0)
            )
        run_id = str(uuid.uuid4())
        name = document["pipelineInfo"]["name"]
        run = Run(
            run_id=run_id,
            experiment_id=self._experiment,
            display_name=f"run of {name}",
            spec="",
            parameters=parameters or {},
            pipeline_root=root,
            created=time.time(),
        )
        created = RunCreated(
            run_id=run_id,
            time=run.created,
            spec="",
            display_name=run.display_name,
            pipeline_name=name,
            experiment_id=self._experiment,
            experiment_name="Default",
            parameters=run.parameters,
            pipeline_root=root,
            force=force,
        )
        self.store.runs.create(run, created, text.encode())
        self.runs.append(run_id)
        return run_id

    def terminate(self, run_id: str) -> None:
        sequence = self.state(run_id).sequence
        event = RunTerminating(run_id=run_id, time=time.time())
        self.store.runs.append(run_id, [event], sequence)

    def state(self, run_id: str) -> runstate.RunState:
        return runstate.fold(self.store.runs.events(run_id))

    def events(self, run_id: str) -> tuple[events.Event, ...]:
        return self.store.runs.events(run_id)

    async def wait(self, run_id: str, timeout: float = 60.0) -> runstate.RunState:  # noqa: ASYNC109 - a bound for the whole test
        async with asyncio.timeout(timeout):
            while not self.store.runs.run(run_id).phase.ended:  # noqa: ASYNC110 - polled on purpose
                await asyncio.sleep(0.005)
        return self.state(run_id)

    async def until(self, condition: Callable[[], bool], timeout: float = 60.0) -> None:  # noqa: ASYNC109 - a bound for the whole test
        async with asyncio.timeout(timeout):
            while not condition():  # noqa: ASYNC110 - any condition, none has an event
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        if self._task is not None:
            await self.kill()
        await self.pods.close()


def pods_of(service: Service) -> PlayedPods:
    assert isinstance(service.pods, PlayedPods)
    return service.pods


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "pipelines.db")
    yield opened
    opened.close()


@pytest.fixture
def root(tmp_path: Path) -> PipelineRoot:
    folder = tmp_path / "root"
    folder.mkdir()
    return PipelineRoot(folder, str(folder))


@pytest.fixture
def options() -> EngineOptions:
    return EngineOptions(
        step_image="step",
        claim="root",
        environments_claim="environments",
        tracking=Tracking("http://mlflow", SecretKey("mlflow", "token")),
    )


@pytest.fixture
async def played(
    store: Store, root: PipelineRoot, options: EngineOptions, tmp_path: Path
) -> AsyncIterator[Service]:
    service = Service(store, root, PlayedPods(root), tmp_path / "environments", options)
    yield service
    await service.close()


@pytest.fixture
async def processes(
    store: Store, root: PipelineRoot, options: EngineOptions, tmp_path: Path
) -> AsyncIterator[Service]:
    pods = ProcessPods(tmp_path / "pods", tmp_path / "environments")
    service = Service(store, root, pods, tmp_path / "environments", options)
    yield service
    await service.close()


@pytest.fixture
def appended(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], bool]]:
    """What is appended from now on: the kinds of the events, and whether that is durable."""
    found: list[tuple[list[str], bool]] = []
    append = Runs.append

    def spy(self: Runs, run_id: str, given: Any, sequence: int, **how: bool) -> Any:
        made = append(self, run_id, given, sequence, **how)
        found.append(([event.kind for event in given], how["durable"]))
        return made

    monkeypatch.setattr(Runs, "append", spy)
    return found
