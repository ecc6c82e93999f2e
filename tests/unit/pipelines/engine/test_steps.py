"""Pipelines as users write them, compiled by KFP's SDK, run by the launcher in plain processes."""

import asyncio
import dataclasses
import hashlib
import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the libraries that kfp imports
    warnings.simplefilter("ignore", FutureWarning)  # of kfp's default image
    from kfp import compiler, dsl

from toolkit_pipelines import comparison
from toolkit_pipelines.contents import Contents
from toolkit_pipelines.environments import Environments
from toolkit_pipelines.events import RunPhase
from toolkit_pipelines.imagemap import ImageMap
from toolkit_pipelines.runstate import RunState, TaskPhase

from .conftest import ProcessPods, Service

IMAGE = "python:3.11"


def compiled(pipeline: Any, folder: Path) -> str:
    path = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path.read_text()


Runner = Callable[..., Any]


@pytest.fixture
def run(processes: Service, tmp_path: Path) -> Runner:
    """Compile a pipeline, run it to its end and give its state."""

    async def go(pipeline: Any, **parameters: Any) -> RunState:
        await processes.start()
        run_id = processes.submit(compiled(pipeline, tmp_path), parameters)
        state = await processes.wait(run_id)
        for task in state.tasks.values():
            if task.message:
                print(task.path, task.reason, task.message)
        return state

    return go


@dsl.component(base_image=IMAGE)
def all_types(
    i: int, f: float, s: str, b: bool, items: list, mapping: dict, missing: str = "default"
) -> str:
    import json

    return json.dumps([i, f, s, b, items, mapping, missing])


async def test_parameters_of_all_types_arrive_as_they_were_given(run: Runner) -> None:
    @dsl.pipeline(name="types")
    def pipeline(
        i: int = 3,
        f: float = 2.5,
        s: str = "default",
        b: bool = False,
        items: list = [1, 2.5, "x", [3]],  # noqa: B006 - as users write defaults
        mapping: dict = {"a": 1, "b": {"c": [True]}},  # noqa: B006 - as users write defaults
    ) -> str:
        return all_types(i=i, f=f, s=s, b=b, items=items, mapping=mapping).output

    # Not as a default: the SDK writes those into a comment, which a line break ends. What looks
    # like a placeholder is data when a user gives it.
    text = 'it\'s "quoted" $HOME\n{{$}} {{$.none}}'
    state = await run(pipeline, s=text)
    assert state.status.phase is RunPhase.SUCCEEDED
    assert json.loads(state.outputs.parameters["Output"]) == [
        3,
        2.5,
        text,
        False,
        [1, 2.5, "x", [3]],
        {"a": 1, "b": {"c": [True]}},
        "default",
    ]
    # 1 and 1.0 are equal: that integers stay integers needs the text.
    assert "[1, 2.5" in state.outputs.parameters["Output"]
    assert '{"a": 1,' in state.outputs.parameters["Output"]


@dsl.component(base_image=IMAGE)
def train(
    data: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics]
):
    with open(data.path) as source, open(model.path, "w") as target:
        target.write(source.read().upper())
    model.framework = "upper"
    metrics.log_metric("accuracy", 0.5)
    metrics.log_metric("loss", float("nan"))


@dsl.component(base_image=IMAGE)
def load(data: dsl.Output[dsl.Dataset], text: str) -> int:
    with open(data.path, "w") as target:
        target.write(text)
    data.metadata["rows"] = 7
    return len(text)


async def test_artifacts_flow_with_their_metadata(run: Runner, processes: Service) -> None:
    @dsl.pipeline(name="artifacts")
    def pipeline(text: str):
        train(data=load(text=text).outputs["data"])

    state = await run(pipeline, text="hello")
    assert state.status.phase is RunPhase.SUCCEEDED
    (data,) = state.tasks["train"].inputs.artifacts["data"]
    assert (data.type, data.metadata) == ("system.Dataset", {"rows": 7})
    (model,) = state.tasks["train"].outputs.artifacts["model"]
    assert model.metadata == {"framework": "upper"}
    assert await asyncio.to_thread(Path(model.uri).read_text) == "HELLO"
    assert data.digest == f"sha256:{hashlib.sha256(b'hello').hexdigest()}"
    assert model.digest == f"sha256:{hashlib.sha256(b'HELLO').hexdigest()}"
    assert state.tasks["train"].image == IMAGE
    (metrics,) = state.tasks["train"].outputs.artifacts["metrics"]
    assert metrics.metadata == {"accuracy": 0.5, "loss": "NaN"}
    assert processes.engine is not None
    with Contents(processes.root).opened(model.uri) as content:
        assert b"".join(content.chunks()) == b"HELLO"


class Pair(NamedTuple):
    total: int
    text: str


@dsl.component(base_image=IMAGE)
def pair(x: int) -> NamedTuple("Pair", [("total", int), ("text", str)]):  # type: ignore[valid-type]
    from collections import namedtuple

    return namedtuple("Pair", ["total", "text"])(x + 1, f"got {x}")


async def test_several_outputs_and_nested_pipelines(run: Runner) -> None:
    @dsl.pipeline(name="inner")
    def inner(x: int) -> int:
        return pair(x=x).outputs["total"]

    @dsl.pipeline(name="outer")
    def outer(x: int = 1) -> int:
        first = inner(x=x)
        second = inner(x=first.output)
        return pair(x=second.output).outputs["total"]

    state = await run(outer)
    assert state.outputs.parameters["Output"] == 4
    assert state.tasks["pair"].outputs.parameters["text"] == "got 3"


async def test_a_raised_exception_is_what_the_task_reports(
    run: Runner, processes: Service
) -> None:
    @dsl.component(base_image=IMAGE)
    def fail(word: str):
        raise ValueError(f"no {word} here")

    @dsl.pipeline(name="failing")
    def pipeline():
        fail(word="luck")

    state = await run(pipeline)
    assert state.status.phase is RunPhase.FAILED
    assert state.tasks["fail"].message == "ValueError: no luck here"
    assert processes.engine is not None
    run_id = processes.runs[0]
    log = b"".join([c async for c in processes.engine.logs(run_id, "fail", 0)]).decode()
    assert "Traceback" in log
    assert "launcher" not in log


@pytest.mark.parametrize(
    ("code", "phase"), [(0, TaskPhase.SUCCEEDED), (7, TaskPhase.FAILED), (-9, TaskPhase.FAILED)]
)
async def test_a_component_that_leaves_the_interpreter(
    run: Runner, code: int, phase: TaskPhase
) -> None:
    @dsl.component(base_image=IMAGE)
    def leave(code: int):
        import os
        import signal

        if code < 0:
            os.kill(os.getpid(), -code)
            signal.pause()
        os._exit(code)

    @dsl.pipeline(name="leaving")
    def pipeline(code: int):
        leave(code=code)

    state = await run(pipeline, code=code)
    assert state.tasks["leave"].phase is phase


async def test_threads_and_exit_functions_run_to_their_end(run: Runner) -> None:
    @dsl.component(base_image=IMAGE)
    def late(path: dsl.OutputPath(str)):  # type: ignore[valid-type]
        import atexit
        import threading
        import time

        def write():
            time.sleep(0.1)
            with open(path, "a") as file:
                file.write("thread ")

        def end():
            with open(path, "a") as file:
                file.write("exit")

        atexit.register(end)
        threading.Thread(target=write).start()

    @dsl.pipeline(name="late")
    def pipeline() -> str:
        return late().outputs["path"]

    state = await run(pipeline)
    assert state.outputs.parameters["Output"] == "thread exit"


@dsl.container_component
def shell(
    text: str,
    count: int,
    out: dsl.OutputPath(str),  # type: ignore[valid-type]
    file: dsl.Output[dsl.Artifact],
    maybe: Optional[str] = None,  # noqa: UP045 - KFP reads it
):
    return dsl.ContainerSpec(
        image="alpine",
        command=["sh", "-c", 'printf "%s" "$*" > "$0"'],
        args=[
            out,
            text,
            dsl.ConcatPlaceholder(["n=", count]),
            dsl.IfPresentPlaceholder(
                input_name="maybe", then=["--maybe", maybe], else_=["--without"]
            ),
            file.uri,
        ],
    )


@pytest.mark.parametrize("maybe", [None, "yes"])
async def test_container_components_and_their_placeholders(
    run: Runner, processes: Service, maybe: str | None
) -> None:
    @dsl.pipeline(name="containers")
    def pipeline() -> str:
        given = {"maybe": maybe} if maybe else {}
        return shell(text="a $b 'c'", count=2, **given).outputs["out"]

    state = await run(pipeline)
    assert state.status.phase is RunPhase.SUCCEEDED
    (file,) = state.tasks["shell"].outputs.artifacts["file"]
    middle = "--maybe yes" if maybe else "--without"
    assert state.outputs.parameters["Output"] == f"a $b 'c' n=2 {middle} {file.uri}"
    assert file.uri.startswith(processes.root.uri)


async def test_placeholders_of_the_run_and_of_upstream_in_text(
    run: Runner, processes: Service
) -> None:
    @dsl.component(base_image=IMAGE)
    def echo(text: str) -> str:
        return text

    @dsl.pipeline(name="placing")
    def pipeline() -> str:
        first = echo(text=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
        return echo(
            text=f"{first.output}/{dsl.PIPELINE_TASK_NAME_PLACEHOLDER}/{dsl.PIPELINE_JOB_NAME_PLACEHOLDER}"
        ).output

    state = await run(pipeline)
    assert state.outputs.parameters["Output"] == f"{processes.runs[0]}/echo-2/run of placing"


async def test_a_large_parameter_goes_by_file(run: Runner) -> None:
    @dsl.component(base_image=IMAGE)
    def size(text: str) -> int:
        return len(text)

    @dsl.pipeline(name="large")
    def pipeline(text: str) -> int:
        return size(text=text).output

    state = await run(pipeline, text="x" * 1_000_000)
    assert state.outputs.parameters["Output"] == 1_000_000


async def test_a_command_with_too_long_an_argument_says_so(run: Runner) -> None:
    @dsl.container_component
    def echo(text: str):
        return dsl.ContainerSpec(image="alpine", command=["echo"], args=[text])

    @dsl.pipeline(name="long")
    def pipeline(text: str):
        echo(text=text)

    state = await run(pipeline, text="x" * 200_000)
    assert "200000 bytes" in state.tasks["echo"].message


async def test_a_missing_program_says_so(run: Runner) -> None:
    @dsl.container_component
    def nothing():
        return dsl.ContainerSpec(image="alpine", command=["no-such-program"])

    @dsl.pipeline(name="missing")
    def pipeline():
        nothing()

    state = await run(pipeline)
    assert "no-such-program" in state.tasks["nothing"].message


async def test_packages_that_cannot_be_installed_fail_the_task(
    run: Runner, processes: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[dict[str, Any]]] = []

    def install(groups: list[dict[str, Any]]) -> str:
        asked.append(groups)
        return "could not install nosuch==9: not found"

    pods = processes.pods
    assert isinstance(pods, ProcessPods)
    monkeypatch.setattr(pods, "install", install)
    # The build is not over before both have asked for it: each asks for the name three times.
    pods.may_build.clear()
    name, calls = Environments.key, itertools.count(1)

    def counted(self: Environments, image: str, groups: Any) -> str:
        if next(calls) == 6:
            pods.may_build.set()
        return name(self, image, groups)

    monkeypatch.setattr(Environments, "key", counted)

    @dsl.component(base_image=IMAGE, packages_to_install=["nosuch==9"])
    def wants():
        pass

    @dsl.pipeline(name="wanting")
    def pipeline():
        wants()
        wants()

    state = await run(pipeline)
    assert state.tasks["wants"].reason == "InstallFailed"
    assert state.tasks["wants"].message == "could not install nosuch==9: not found"
    assert len(asked) == 1
    assert asked[0][0]["requirements"] == ["nosuch==9"]


async def test_a_run_records_the_packages_of_its_steps_once(
    run: Runner, processes: Service
) -> None:
    pods = processes.pods
    assert isinstance(pods, ProcessPods)

    @dsl.component(base_image=IMAGE)
    def first() -> int:
        return 1

    @dsl.component(base_image=IMAGE)
    def second(x: int):
        pass

    @dsl.pipeline(name="locked")
    def pipeline():
        second(x=first().output)

    pods.listed = {"packages": ["a==1", "b==2"]}
    state = await run(pipeline)
    (lock,) = state.locks
    assert state.locks == {lock: ("a==1", "b==2")}
    assert [task.lock for task in state.tasks.values()] == [lock, lock]
    told = [e.packages for e in processes.events(processes.runs[0]) if e.kind == "TaskSucceeded"]  # type: ignore[attr-defined]
    assert told == [("a==1", "b==2"), ()]


@pytest.mark.parametrize("listed", [{}, {"packages": "a"}])
async def test_an_environment_without_a_list_of_packages_still_works(
    run: Runner, processes: Service, listed: dict[str, Any]
) -> None:
    @dsl.component(base_image=IMAGE)
    def first() -> int:
        return 1

    @dsl.pipeline(name="unlocked")
    def pipeline():
        first()

    pods = processes.pods
    assert isinstance(pods, ProcessPods)
    pods.listed = listed
    state = await run(pipeline)
    assert state.status.phase is RunPhase.SUCCEEDED
    assert (state.locks, state.tasks["first"].lock) == ({}, "")


async def test_packages_are_installed_in_the_image_that_the_map_says(
    processes: Service, tmp_path: Path
) -> None:
    @dsl.component(base_image="hub/python:1")
    def step():
        pass

    @dsl.pipeline(name="mapped")
    def pipeline():
        step()

    pods = processes.pods
    assert isinstance(pods, ProcessPods)
    pods.listed = {"packages": ["a==1"]}
    images = ImageMap.read({"hub/*": "mirror/*"})
    processes.options = dataclasses.replace(processes.options, images=images)
    await processes.start()
    state = await processes.wait(processes.submit(compiled(pipeline, tmp_path)))
    assert {each.image for each in pods.requests.values()} == {"mirror/python:1"}
    assert state.tasks["step"].image == "mirror/python:1"
    assert list(state.locks.values()) == [("a==1",)]


async def test_the_environment_of_a_step_stays_until_it_has_ended(
    processes: Service, tmp_path: Path
) -> None:
    @dsl.component(base_image=IMAGE)
    def hold(until: str):
        import os
        import time

        while not os.path.exists(until):
            time.sleep(0.01)

    @dsl.component(base_image="python:3.12")
    def other():
        pass

    @dsl.component(base_image="python:3.13")
    def third():
        pass

    @dsl.pipeline(name="held")
    def held(until: str):
        hold(until=until)

    @dsl.pipeline(name="one")
    def one():
        other()

    @dsl.pipeline(name="two")
    def two():
        third()

    def found() -> set[str]:
        return {
            path.parent.name for path in processes.environments.glob("default/[!.]*/result.json")
        }

    processes.limit = 1
    await processes.start()
    until, pods = tmp_path / "until", processes.pods
    run_id = processes.submit(compiled(held, tmp_path), {"until": str(until)})
    await processes.until(lambda: any("hold" in name for name in pods.requests))
    (request,) = (each for name, each in pods.requests.items() if "hold" in name)
    key = request.labels["toolkit.canonical.com/environment"]
    assert found() == {key}
    await processes.kill()
    await processes.start()
    await processes.wait(processes.submit(compiled(one, tmp_path)))
    assert key in found()
    until.touch()
    state = await processes.wait(run_id)
    assert state.status.phase is RunPhase.SUCCEEDED
    await processes.until(lambda: not pods.statuses)
    await processes.wait(processes.submit(compiled(two, tmp_path)))
    await processes.until(lambda: len(found()) <= 1 and key not in found())


async def test_a_run_made_again_is_the_same_where_its_steps_are(
    processes: Service, tmp_path: Path
) -> None:
    @dsl.component(base_image=IMAGE)
    def steady(seed: int, out: dsl.Output[dsl.Dataset]) -> float:
        import os
        import random

        values = [random.Random(seed).random() for _ in range(3)]
        os.makedirs(f"{out.path}/part")
        for number, value in enumerate(values):
            with open(f"{out.path}/part/{number}", "w") as file:
                file.write(str(value))
        return sum(values)

    @dsl.component(base_image=IMAGE)
    def unsteady(out: dsl.Output[dsl.Dataset]):
        import os

        with open(out.path, "wb") as file:
            file.write(os.urandom(16))

    @dsl.pipeline(name="again")
    def pipeline(seed: int):
        steady(seed=seed)
        unsteady()

    await processes.start()
    text = compiled(pipeline, tmp_path)
    states = [
        await processes.wait(processes.submit(text, {"seed": 7}, force=True)) for _ in range(2)
    ]
    found = comparison.compare(*states)
    assert {task.path: task.outcome.value for task in found.tasks} == {
        "steady": "SAME",
        "unsteady": "DIFFERENT",
    }


async def test_set_path_is_delivered(run: Runner) -> None:
    @dsl.component(base_image=IMAGE)
    def elsewhere(out: dsl.Output[dsl.Dataset]):
        import os
        import tempfile

        out.set_path(os.path.join(tempfile.mkdtemp(), "data"))
        with open(out.path, "w") as file:
            file.write("moved")

    @dsl.component(base_image=IMAGE)
    def read(data: dsl.Input[dsl.Dataset]) -> str:
        with open(data.path) as file:
            return file.read()

    @dsl.pipeline(name="moving")
    def pipeline() -> str:
        return read(data=elsewhere().outputs["out"]).output

    state = await run(pipeline)
    assert state.outputs.parameters["Output"] == "moved"


async def test_a_step_that_prints_much(run: Runner, processes: Service) -> None:
    @dsl.container_component
    def loud():
        return dsl.ContainerSpec(
            image="alpine", command=["sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x"]
        )

    @dsl.pipeline(name="loud")
    def pipeline():
        loud()

    await run(pipeline)
    await processes.until(lambda: not processes.pods.statuses)
    (log,) = processes.root.folder.rglob("*.log")
    assert log.stat().st_size == 20_000_000


async def test_terminated_steps_are_dead(run: Runner, processes: Service, tmp_path: Path) -> None:
    marker = tmp_path / "pid"

    @dsl.component(base_image=IMAGE)
    def sleep(marker: str):
        import os
        import time

        with open(marker, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(60)

    @dsl.pipeline(name="sleeping")
    def pipeline(marker: str):
        sleep(marker=marker)

    waiting = asyncio.create_task(run(pipeline, marker=str(marker)))
    await processes.until(lambda: marker.exists() and bool(marker.read_text()))
    processes.terminate(processes.runs[0])
    state = await waiting
    assert state.status.phase is RunPhase.CANCELED
    pid = int(marker.read_text())

    def dead() -> bool:
        # A zombie has no command line: it is dead, whenever whoever adopted it reaps it.
        try:
            return not Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return True

    await processes.until(dead)
