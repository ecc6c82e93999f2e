"""What MLflow is told, with a stand-in that keeps MLflow's rules and fails when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.loopback import Asked, CutError, serving

from toolkit_objects import ObjectStoreError
from toolkit_pipelines import events, outbox
from toolkit_pipelines.contents import Content, Contents
from toolkit_pipelines.events import Artifact, RunPhase, Values
from toolkit_pipelines.mlflow import MLflow
from toolkit_pipelines.outbox import Outbox
from toolkit_pipelines.root import DEFAULT_URI, PipelineRoot
from toolkit_pipelines.store import Store, open_store
from toolkit_pipelines.store.interface import Experiment, Recipient, Run

SPEC = json.dumps(
    {
        "pipelineInfo": {"name": "p"},
        "components": {"c": {"executorLabel": "e"}},
        "deploymentSpec": {"executors": {"e": {"container": {"image": "i", "command": ["c"]}}}},
        "root": {
            "dag": {"tasks": {"train": {"componentRef": {"name": "c"}}}},
            "inputDefinitions": {
                "parameters": {"seed": {"parameterType": "NUMBER_INTEGER", "defaultValue": 7}}
            },
        },
    }
)


class FakeMLflow:
    """MLflow's tracking API, in memory, behind a real server."""

    def __init__(self) -> None:
        self.url = ""
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.down = False
        self.lose_answers = 0
        self.reject: set[str] = set()
        # How many files it can have, while it cannot have more.
        self.full: int | None = None
        self.turned_away = 0

    async def serve(self, request: Asked) -> web.StreamResponse:
        if self.down:
            raise CutError
        assert request.headers["Authorization"] == "Bearer secret"
        path = request.path.removeprefix("/api/2.0/")
        self.calls.append(path)
        if path in self.reject:
            body = {"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}
            return web.json_response(body, status=400)
        answer = self.answer(path, request)
        if self.lose_answers and request.method == "POST":
            self.lose_answers -= 1
            raise CutError
        return answer

    def answer(self, path: str, request: Asked) -> web.Response:
        if path.startswith("mlflow-artifacts/artifacts/"):
            if self.full is not None and len(self.files) >= self.full:
                self.turned_away += 1
                told = (
                    "The artifacts are in a store: this server reaches them once it is set again"
                )
                body = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": told}
                return web.json_response(body, status=503)
            self.files[path.removeprefix("mlflow-artifacts/artifacts/")] = request.content
            return web.json_response({})
        if request.method == "PATCH":
            model = self.models[path.removeprefix("mlflow/logged-models/")]
            model["status"] = request.json()["status"]
            return web.json_response({"model": {"info": model}})
        body = request.json() if request.content else request.query
        name = path.removeprefix("mlflow/").replace("/", "_").replace("-", "_")
        status, found = getattr(self, name)(body)
        return web.json_response(found, status=status)

    def experiments_get_by_name(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["experiment_name"]
        if name not in self.experiments:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
        return 200, {"experiment": {"experiment_id": self.experiments[name]}}

    def experiments_create(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.experiments[body["name"]] = str(len(self.experiments) + 1)
        return 200, {"experiment_id": self.experiments[body["name"]]}

    def runs_search(self, body: dict[str, Any]) -> tuple[int, Any]:
        wanted = dict(
            part.removeprefix("tags.`").split("` = '", 1)
            for part in body["filter"].rstrip("'").split("' and ")
        )
        found = [r for r in self.runs.values() if wanted.items() <= r["tags"].items()]
        return 200, {"runs": [{"info": r["info"]} for r in found[:1]]}

    def runs_create(self, body: dict[str, Any]) -> tuple[int, Any]:
        run_id = uuid.uuid4().hex
        info = {
            "run_id": run_id,
            "artifact_uri": f"mlflow-artifacts:/1/{run_id}/artifacts",
            "lifecycle_stage": "active",
            "status": "RUNNING",
        }
        tags = {each["key"]: each["value"] for each in body["tags"]}
        self.runs[run_id] = {
            "info": info,
            "name": body["run_name"],
            "tags": tags,
            "params": {},
            "metrics": {},
            "datasets": {},
            "models": [],
            "outputs": [],
        }
        return 200, {"run": {"info": info}}

    def runs_update(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.runs[body["run_id"]]["info"]["status"] = body["status"]
        return 200, {}

    def runs_log_batch(self, body: dict[str, Any]) -> tuple[int, Any]:
        run = self.runs[body["run_id"]]
        for kind in ("params", "metrics", "tags"):
            for each in body.get(kind, []):
                before = run[kind].setdefault(each["key"], each["value"])
                if kind == "params" and before != each["value"]:
                    return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "changed"}
                run[kind][each["key"]] = each["value"]
        return 200, {}

    def runs_delete_tag(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.runs[body["run_id"]]["tags"].pop(body["key"], None) is None:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
        return 200, {}

    def runs_get(self, body: dict[str, Any]) -> tuple[int, Any]:
        given = [{"model_id": each, "step": "0"} for each in self.runs[body["run_id"]]["outputs"]]
        outputs = {"model_outputs": given} if given else {}
        return 200, {"run": {"info": self.runs[body["run_id"]]["info"], "outputs": outputs}}

    def runs_log_inputs(self, body: dict[str, Any]) -> tuple[int, Any]:
        run = self.runs[body["run_id"]]
        for each in body.get("datasets", []):
            dataset = each["dataset"]
            assert len(dataset["digest"]) <= 36
            run["datasets"][dataset["name"]] = dataset
        for each in body.get("models", []):
            if each["model_id"] not in run["models"]:
                run["models"].append(each["model_id"])
        return 200, {}

    def runs_outputs(self, body: dict[str, Any]) -> tuple[int, Any]:
        for each in body["models"]:
            if each["model_id"] in self.runs[body["run_id"]]["outputs"]:
                return 400, {"error_code": "BAD_REQUEST", "message": "UNIQUE constraint failed"}
            self.runs[body["run_id"]]["outputs"].append(each["model_id"])
        return 200, {}

    def logged_models(self, body: dict[str, Any]) -> tuple[int, Any]:
        assert not set("/:.%\"'") & set(body["name"])
        model_id = f"m-{len(self.models)}"
        tags = {each["key"]: each["value"] for each in body["tags"]}
        self.models[model_id] = {**body, "model_id": model_id, "tags": tags, "status": "PENDING"}
        return 200, {"model": {"info": self.models[model_id]}}

    def logged_models_search(self, body: dict[str, Any]) -> tuple[int, Any]:
        tag, _, value = body["filter"].removeprefix("tags.`").rstrip("'").partition("` = '")
        found = [m for m in self.models.values() if m["tags"].get(tag) == value]
        return 200, {"models": [{"info": each} for each in found[:1]]} if found else {}

    def by_task(self) -> dict[str, dict[str, Any]]:
        found = {run["tags"]["kfp.task"]: run for run in self.runs.values()}
        assert len(found) == len(self.runs), "something was recorded twice"
        return found


class Bench:
    def __init__(self, store: Store, root: Path) -> None:
        self.store = store
        self.root = root
        self.mlflow = FakeMLflow()
        self.sender: Outbox | None = None
        self.task: asyncio.Task[None] | None = None
        self.experiment = str(uuid.uuid4())
        store.catalog.create_experiment(
            Experiment(experiment_id=self.experiment, display_name="exp", created=1.0)
        )

    def start(self) -> None:
        client = MLflow(self.mlflow.url, lambda: "secret")
        self.sender = sender = Outbox(
            self.store.runs,
            client,
            Contents(PipelineRoot(self.root)),
            backoff=(0.001, 0.01),
        )
        self.task = asyncio.create_task(sender.run())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def delivered(self) -> None:
        async with asyncio.timeout(60):
            while self.store.runs.outbox(Recipient.MLFLOW, limit=1):  # noqa: ASYNC110 - the outbox has no event
                await asyncio.sleep(0.005)

    def run(self) -> str:
        run_id = str(uuid.uuid4())
        now = time.time()
        self.store.runs.create(
            Run(
                run_id=run_id,
                experiment_id=self.experiment,
                display_name="my run",
                spec="",
                created=now,
            ),
            events.RunCreated(
                run_id=run_id,
                time=now,
                spec="",
                display_name="my run",
                pipeline_name="p",
                experiment_id=self.experiment,
                experiment_name="exp",
                recurring_run_id="nightly",
                reproduces="yesterday",
            ),
            SPEC.encode(),
        )
        return run_id

    def whole_run(self) -> str:
        run_id = self.run()
        page = self.root / "page.html"
        page.write_text("<p>hello")
        outputs = Values(
            {"score": 0.5},
            {
                "metrics": (
                    Artifact(
                        "metrics", "system.Metrics", f"{DEFAULT_URI}/m", {"auc": 0.9, "note": "x"}
                    ),
                ),
                "page": (
                    Artifact("page", "system.HTML", f"{DEFAULT_URI}/page.html", digest="none"),
                ),
            },
        )
        common: dict[str, Any] = {"run_id": run_id, "time": time.time()}
        self.store.runs.append(
            run_id,
            [
                events.TaskStarted(**common, task="outer"),
                events.TaskStarted(
                    **common, task="outer/train", pod="pod-1", inputs=Values({"kind": "tree"})
                ),
                events.TaskSucceeded(
                    **common, task="outer/train", outputs=outputs, image="python:3.11", lock="ab"
                ),
                events.TaskSucceeded(**common, task="outer"),
                events.RunEnded(**common, phase=RunPhase.SUCCEEDED),
            ],
            1,
        )
        return run_id


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = open_store(tmp_path / "db", outbox.record)
    root = tmp_path / "root"
    root.mkdir()
    made = Bench(store, root)
    async with serving(made.mlflow.serve) as made.mlflow.url:
        yield made
        await made.stop()
    store.close()


def check_whole(bench: Bench) -> None:
    runs = bench.mlflow.by_task()
    assert set(runs) == {"-", "outer", "outer/train"}
    root, outer, train = runs["-"], runs["outer"], runs["outer/train"]
    assert {r["info"]["status"] for r in runs.values()} == {"FINISHED"}
    assert root["name"] == "my run"
    assert root["params"] == {"seed": "7"}
    assert root["metrics"] == {"outer/train/auc": 0.9}
    assert root["tags"]["kfp.state"] == "SUCCEEDED"
    assert root["tags"]["kfp.pipeline"] == "p"
    assert root["tags"]["kfp.recurring_run_id"] == "nightly"
    assert root["tags"]["kfp.reproduces"] == "yesterday"
    assert outer["tags"]["mlflow.parentRunId"] == root["info"]["run_id"]
    assert train["tags"]["mlflow.parentRunId"] == outer["info"]["run_id"]
    assert train["params"] == {"kind": "tree"}
    assert train["metrics"] == {"auc": 0.9}
    assert train["tags"]["kfp.output.score"] == "0.5"
    home = f"1/{train['info']['run_id']}/artifacts/kfp"
    listed = json.loads(bench.mlflow.files[f"{home}/artifacts.json"])
    assert listed["metrics"][0]["uri"] == f"{DEFAULT_URI}/m"
    assert [listed[name][0]["digest"] for name in ("metrics", "page")] == ["", "none"]
    assert (train["tags"]["kfp.image"], train["tags"]["kfp.lock"]) == ("python:3.11", "ab")
    assert "kfp.image" not in outer["tags"]
    (run_id,) = {run["tags"]["kfp.run_id"] for run in runs.values()}
    assert root["tags"]["kfp.spec_digest"] == bench.store.runs.run(run_id).spec
    assert bench.mlflow.files[f"{home}/page.html"] == b"<p>hello"


async def test_a_run_is_recorded_with_its_tasks_nested(bench: Bench) -> None:
    bench.start()
    bench.whole_run()
    await bench.delivered()
    check_whole(bench)


async def test_iterations_and_further_attempts_are_runs_of_their_own_or_not(bench: Bench) -> None:
    run_id = bench.run()
    common: dict[str, Any] = {"run_id": run_id, "time": time.time()}
    step = "loop/1/train"
    bench.store.runs.append(
        run_id,
        [
            events.TaskStarted(**common, task="loop", iterations=2),
            events.TaskStarted(**common, task="loop/1", iteration=1),
            events.TaskStarted(**common, task=step, pod="pod-0"),
            events.TaskFailed(**common, task=step, reason="E", message="no", retry=common["time"]),
            events.TaskStarted(**common, task=step, attempt=1, pod="pod-1"),
            events.TaskSucceeded(**common, task=step, attempt=1),
            events.TaskSucceeded(**common, task="loop/1"),
            events.TaskSucceeded(**common, task="loop"),
            events.RunEnded(**common, phase=RunPhase.SUCCEEDED),
        ],
        1,
    )
    bench.start()
    await bench.delivered()
    runs = bench.mlflow.by_task()
    assert set(runs) == {"-", "loop", "loop/1", step}
    assert {each["info"]["status"] for each in runs.values()} == {"FINISHED"}
    assert runs["loop/1"]["name"] == "loop[1]"
    tags = runs[step]["tags"]
    assert tags["mlflow.parentRunId"] == runs["loop/1"]["info"]["run_id"]
    assert (tags["kfp.attempt"], tags["kfp.pod"]) == ("1", "pod-1")
    assert tags["kfp.retried"] == "attempt 0: E: no"
    assert "kfp.error" not in tags


async def test_a_retried_run_goes_on_in_the_same_records(bench: Bench) -> None:
    run_id = bench.run()
    common: dict[str, Any] = {"run_id": run_id, "time": time.time()}
    step, failed = "outer/train", {"reason": "TaskFailed", "message": "train failed"}
    before, after = Values({"status": "FAILED"}), Values({"status": "COMPLETE"})
    bench.store.runs.append(
        run_id,
        [
            events.TaskStarted(**common, task="outer"),
            events.TaskStarted(**common, task=step, pod="pod-0", inputs=before),
            events.TaskFailed(**common, task=step, reason="E", message="no"),
            events.TaskFailed(**common, task="outer", **failed),
            events.RunEnded(**common, phase=RunPhase.FAILED, message="outer failed"),
        ],
        1,
    )
    bench.start()
    await bench.delivered()
    runs = bench.mlflow.by_task()
    assert {each["info"]["status"] for each in runs.values()} == {"FAILED"}
    assert all("kfp.error" in each["tags"] for each in runs.values())
    bench.store.runs.append(
        run_id,
        [
            events.RunRetried(**common, dropped=(step,), reopened=("outer",)),
            events.TaskStarted(**common, task=step, attempt=1, pod="pod-1", inputs=after),
        ],
        6,
    )
    await bench.delivered()
    runs = bench.mlflow.by_task()
    assert {each["info"]["status"] for each in runs.values()} == {"RUNNING"}
    assert {each["tags"]["kfp.state"] for each in runs.values()} == {"RUNNING"}
    assert not any("kfp.error" in each["tags"] for each in runs.values())
    bench.store.runs.append(
        run_id,
        [
            events.TaskSucceeded(**common, task=step, attempt=1),
            events.TaskSucceeded(**common, task="outer"),
            events.RunEnded(**common, phase=RunPhase.SUCCEEDED),
        ],
        8,
    )
    await bench.delivered()
    runs = bench.mlflow.by_task()
    assert set(runs) == {"-", "outer", step}
    assert {each["info"]["status"] for each in runs.values()} == {"FINISHED"}
    assert (runs[step]["tags"]["kfp.attempt"], runs[step]["tags"]["kfp.pod"]) == ("1", "pod-1")
    assert runs[step]["params"] == {"status": "FAILED"}


async def test_a_task_from_the_cache_is_recorded_as_one(bench: Bench) -> None:
    run_id = bench.run()
    common: dict[str, Any] = {"run_id": run_id, "time": time.time()}
    metrics = Artifact("m", "system.Metrics", f"{DEFAULT_URI}/m", {"auc": 0.9})
    outputs = Values({"score": 0.5}, {"metrics": (metrics,)})
    origin, task = bench.run(), "outer/train"
    earlier: dict[str, Any] = {"run_id": origin, "time": time.time(), "task": task}
    bench.store.runs.append(
        origin,
        [
            events.TaskStarted(**earlier),
            events.TaskSucceeded(**earlier, outputs=outputs, fingerprint="f"),
        ],
        1,
    )
    # The earlier run is not what this is about.
    waiting = bench.store.runs.outbox(Recipient.MLFLOW, excluding=[run_id])
    bench.store.runs.delivered([each.entry_id for each in waiting])
    bench.store.runs.append(
        run_id,
        [
            events.TaskStarted(**common, task="train", inputs=Values({"kind": "tree"})),
            events.TaskCached(
                **common,
                task="train",
                outputs=outputs,
                origin=origin,
                origin_task=task,
                origin_sequence=3,
            ),
            events.RunEnded(**common, phase=RunPhase.SUCCEEDED),
        ],
        1,
    )
    bench.start()
    await bench.delivered()
    runs = bench.mlflow.by_task()
    assert set(runs) == {"-", "train"}
    root, train = runs["-"], runs["train"]
    assert {each["info"]["status"] for each in runs.values()} == {"FINISHED"}
    assert train["tags"]["kfp.state"] == "CACHED"
    assert train["tags"]["kfp.cached_from"] == f"{origin}/{task}"
    assert "kfp.pod" not in train["tags"]
    assert train["params"] == {"kind": "tree"}
    assert train["metrics"] == {"auc": 0.9}
    assert train["tags"]["kfp.output.score"] == "0.5"
    assert root["metrics"] == {"train/auc": 0.9}


async def test_what_happened_while_mlflow_was_down_is_told_later(bench: Bench) -> None:
    bench.mlflow.down = True
    bench.start()
    bench.whole_run()
    await asyncio.sleep(0.05)
    assert bench.store.runs.outbox(Recipient.MLFLOW)
    bench.mlflow.down = False
    await bench.delivered()
    check_whole(bench)


@pytest.mark.parametrize("lost", range(1, 16, 2))
async def test_a_lost_answer_records_nothing_twice(bench: Bench, lost: int) -> None:
    bench.mlflow.lose_answers = lost
    bench.start()
    bench.whole_run()
    await bench.delivered()
    check_whole(bench)


@pytest.mark.parametrize("lifetime", range(13, 21, 2))
async def test_killed_again_and_again_it_records_all_once(bench: Bench, lifetime: int) -> None:
    """It is killed after some calls, wherever that is.

    A record takes a dozen of them at most: with the thirteenth one has been acknowledged.
    """
    bench.whole_run()
    kills = 0
    while bench.store.runs.outbox(Recipient.MLFLOW, limit=1):
        assert kills < 20
        kills += 1
        last = len(bench.mlflow.calls) + lifetime
        bench.start()
        async with asyncio.timeout(60):
            while (  # noqa: ASYNC110 - the stand-in has no event
                len(bench.mlflow.calls) < last
                and bench.store.runs.outbox(Recipient.MLFLOW, limit=1)
            ):
                await asyncio.sleep(0)
        await bench.stop()
    check_whole(bench)


async def test_what_mlflow_refuses_for_ever_holds_up_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.mlflow.reject.add("mlflow/runs/log-batch")
    bench.start()
    run_id = bench.whole_run()
    await bench.delivered()
    found = bench.mlflow.by_task()
    assert set(found) == {"-", "outer", "outer/train"}
    # Each part of a record is told for itself.
    assert {each["info"]["status"] for each in found.values()} == {"FINISHED"}
    assert bench.mlflow.files
    refusals = bench.store.runs.refusals(0.0)
    assert refusals.count == len(bench.store.runs.outbox(Recipient.NOBODY))
    assert refusals.why.startswith(f"record {run_id}/")
    assert refusals.why.endswith("INVALID_PARAMETER_VALUE: no")
    assert refusals.why in caplog.text
    assert bench.store.runs.refusals(time.time() + 1).count == 0


async def test_a_store_that_goes_away_amid_a_record_loses_nothing(bench: Bench) -> None:
    bench.mlflow.full = 1
    bench.start()
    bench.whole_run()
    async with asyncio.timeout(60):
        while not bench.mlflow.turned_away:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
    assert len(bench.mlflow.files) == 1
    assert bench.store.runs.outbox(Recipient.MLFLOW, limit=1)
    assert bench.sender is not None
    assert bench.sender.delayed().runs == 1
    assert "once it is set again" in bench.sender.delayed().why
    bench.mlflow.full = None
    await bench.delivered()
    check_whole(bench)
    assert bench.store.runs.refusals(0.0).count == 0


async def test_a_run_deleted_in_mlflow_is_not_made_again(bench: Bench) -> None:
    bench.start()
    run_id = bench.run()
    await bench.delivered()
    await bench.stop()
    (mirror,) = bench.mlflow.runs.values()
    mirror["info"]["lifecycle_stage"] = "deleted"
    bench.start()
    bench.store.runs.append(
        run_id, [events.RunEnded(run_id=run_id, time=1.0, phase=RunPhase.FAILED)], 1
    )
    await bench.delivered()
    assert len(bench.mlflow.runs) == 1
    assert mirror["info"]["status"] == "RUNNING"


@pytest.mark.parametrize(
    ("phase", "status"),
    [(RunPhase.FAILED, "FAILED"), (RunPhase.CANCELED, "KILLED"), (RunPhase.SUCCEEDED, "FINISHED")],
)
async def test_how_runs_end(bench: Bench, phase: RunPhase, status: str) -> None:
    bench.start()
    run_id = bench.run()
    ended = events.RunEnded(run_id=run_id, time=1.0, phase=phase, message="why")
    bench.store.runs.append(run_id, [ended], 1)
    await bench.delivered()
    root = bench.mlflow.by_task()["-"]
    assert root["info"]["status"] == status
    assert root["tags"]["kfp.state"] == phase
    assert root["tags"]["kfp.error"] == "why"


async def test_a_page_outside_the_root_is_not_copied(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    (bench.root / "link.html").symlink_to(secret)
    bench.start()
    run_id = bench.run()
    common: dict[str, Any] = {"run_id": run_id, "time": 1.0, "task": "train"}
    pages = tuple(
        Artifact("page", "system.HTML", uri)
        for uri in (
            f"{DEFAULT_URI}/link.html",
            f"{DEFAULT_URI}/../secret",
            f"{DEFAULT_URI}/gone.html",
        )
    )
    bench.store.runs.append(
        run_id,
        [
            events.TaskStarted(**common, pod="p"),
            events.TaskSucceeded(**common, outputs=Values({}, {"page": pages})),
        ],
        1,
    )
    await bench.delivered()
    assert b"hidden" not in b"".join(bench.mlflow.files.values())
    assert all(name.endswith("artifacts.json") for name in bench.mlflow.files)


async def test_a_page_in_a_store_that_is_away_is_copied_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, tries = Contents.opened, []

    @contextlib.contextmanager
    def away(self: Contents, uri: str) -> Iterator[Content]:
        tries.append(uri)
        if len(tries) < 3:
            raise ObjectStoreError("the store is away", transient=True)
        with opened(self, uri) as content:
            yield content

    monkeypatch.setattr(Contents, "opened", away)
    bench.start()
    bench.whole_run()
    await bench.delivered()
    check_whole(bench)
    assert len(tries) > 2


DATA = Artifact("d", "system.Dataset", f"{DEFAULT_URI}/data", digest=f"sha256:{'a' * 64}")
MODEL = Artifact("m", "system.Model", f"{DEFAULT_URI}/model", digest=f"tree-sha256:{'b' * 64}")
OTHER = Artifact("o", "system.Model", "s3://b/it's")


def train_and_use(bench: Bench) -> str:
    run_id = bench.run()
    common: dict[str, Any] = {"run_id": run_id, "time": time.time()}
    taken = Values({}, {"model.v1": (MODEL,), "other": (OTHER,)})
    made = Values({}, {"the.model": (MODEL,), "data": (DATA,)})
    cached = {"origin": run_id, "origin_task": "nested/train", "origin_sequence": 4}
    bench.store.runs.append(
        run_id,
        [
            events.TaskStarted(**common, task="nested"),
            events.TaskStarted(
                **common, task="nested/train", pod="p", inputs=Values({}, {"data": (DATA,)})
            ),
            events.TaskSucceeded(
                **common, task="nested/train", outputs=made, image="i", fingerprint="f"
            ),
        ],
        1,
    )
    bench.store.runs.append(
        run_id,
        [
            events.TaskSucceeded(**common, task="nested", outputs=made),
            events.TaskStarted(**common, task="use", pod="q", inputs=taken),
            events.TaskSucceeded(**common, task="use", image="i"),
            events.TaskStarted(**common, task="again"),
            events.TaskCached(**common, task="again", outputs=made, **cached),
            events.RunEnded(**common, phase=RunPhase.SUCCEEDED, outputs=made),
        ],
        4,
    )
    return run_id


@pytest.mark.parametrize("lost", [0, 3, 100])
async def test_a_model_leads_back_to_what_made_it(bench: Bench, lost: int) -> None:
    run_id = train_and_use(bench)
    # Every answer may be lost, and is asked for again.
    bench.mlflow.lose_answers = lost
    bench.start()
    await bench.delivered()
    runs = bench.mlflow.by_task()
    (model,) = bench.mlflow.models.values()
    train, use = runs["nested/train"], runs["use"]
    assert (model["name"], model["model_type"], model["status"]) == (
        "the_model",
        "system.Model",
        "LOGGED_MODEL_READY",
    )
    assert model["source_run_id"] == train["info"]["run_id"]
    assert (model["tags"]["kfp.run_id"], model["tags"]["kfp.task"]) == (run_id, "nested/train")
    assert (model["tags"]["kfp.uri"], model["tags"]["kfp.digest"]) == (MODEL.uri, MODEL.digest)
    assert train["outputs"] == runs["again"]["outputs"] == use["models"] == [model["model_id"]]
    assert runs["nested"]["outputs"] == []
    assert train["datasets"]["data"]["digest"] == "a" * 36
    assert json.loads(train["datasets"]["data"]["source"]) == {
        "uri": DATA.uri,
        "type": "system.Dataset",
        "digest": DATA.digest,
    }
    # A model that MLflow does not have is known by its address.
    (other,) = use["datasets"].values()
    assert other["name"] == "other"
    assert json.loads(other["source"])["uri"] == OTHER.uri
