"""What MLflow is told, with a stand-in that keeps MLflow's rules and fails when a test says so."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from toolkit_pipelines import events, outbox
from toolkit_pipelines.events import Artifact, RunPhase, Values
from toolkit_pipelines.mlflow import MLflow
from toolkit_pipelines.outbox import Outbox
from toolkit_pipelines.store import Store, open_store
from toolkit_pipelines.store.interface import Experiment, Run

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


class FakeMLflow(httpx.AsyncBaseTransport):
    """MLflow's tracking API, in memory."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.down = False
        self.lose_answers = 0
        self.reject: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if self.down:
            raise httpx.ConnectError("refused")
        path = request.url.path.removeprefix("/api/2.0/")
        self.calls.append(path)
        content = await request.aread()
        if path in self.reject:
            body = {"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}
            return httpx.Response(400, json=body)
        answer = self.answer(path, request, content)
        if self.lose_answers and request.method == "POST":
            self.lose_answers -= 1
            raise httpx.ReadError("the answer was lost")
        return answer

    def answer(self, path: str, request: httpx.Request, content: bytes) -> httpx.Response:
        if path.startswith("mlflow-artifacts/artifacts/"):
            self.files[path.removeprefix("mlflow-artifacts/artifacts/")] = content
            return httpx.Response(200, json={})
        body = json.loads(content) if content else dict(request.url.params)
        name = path.removeprefix("mlflow/").replace("/", "_").replace("-", "_")
        status, found = getattr(self, name)(body)
        return httpx.Response(status, json=found)

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

    def by_task(self) -> dict[str, dict[str, Any]]:
        found = {run["tags"]["kfp.task"]: run for run in self.runs.values()}
        assert len(found) == len(self.runs), "something was recorded twice"
        return found


class Bench:
    def __init__(self, store: Store, root: Path) -> None:
        self.store = store
        self.root = root
        self.mlflow = FakeMLflow()
        self.task: asyncio.Task[None] | None = None
        self.experiment = str(uuid.uuid4())
        store.catalog.create_experiment(
            Experiment(experiment_id=self.experiment, display_name="exp", created=1.0)
        )

    def start(self) -> None:
        client = MLflow("http://mlflow", lambda: "secret", self.mlflow)
        sender = Outbox(
            self.store.runs,
            client,
            lambda uri: self.root / uri.removeprefix("minio://"),
            self.root,
            backoff=(0.001, 0.01),
        )
        self.task = asyncio.create_task(sender.run())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def delivered(self) -> None:
        async with asyncio.timeout(10):
            while self.store.runs.outbox(limit=1):  # noqa: ASYNC110 - the outbox has no event
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
                    Artifact("metrics", "system.Metrics", "minio://m", {"auc": 0.9, "note": "x"}),
                ),
                "page": (Artifact("page", "system.HTML", "minio://page.html"),),
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
                events.TaskSucceeded(**common, task="outer/train", outputs=outputs),
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
    assert outer["tags"]["mlflow.parentRunId"] == root["info"]["run_id"]
    assert train["tags"]["mlflow.parentRunId"] == outer["info"]["run_id"]
    assert train["params"] == {"kind": "tree"}
    assert train["metrics"] == {"auc": 0.9}
    assert train["tags"]["kfp.output.score"] == "0.5"
    home = f"1/{train['info']['run_id']}/artifacts/kfp"
    listed = json.loads(bench.mlflow.files[f"{home}/artifacts.json"])
    assert listed["metrics"][0]["uri"] == "minio://m"
    assert bench.mlflow.files[f"{home}/page.html"] == b"<p>hello"


async def test_a_run_is_recorded_with_its_tasks_nested(bench: Bench) -> None:
    bench.start()
    bench.whole_run()
    await bench.delivered()
    check_whole(bench)


async def test_what_happened_while_mlflow_was_down_is_told_later(bench: Bench) -> None:
    bench.mlflow.down = True
    bench.start()
    bench.whole_run()
    await asyncio.sleep(0.05)
    assert bench.store.runs.outbox()
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
    while bench.store.runs.outbox(limit=1):
        assert kills < 20
        kills += 1
        last = len(bench.mlflow.calls) + lifetime
        bench.start()
        async with asyncio.timeout(10):
            while (  # noqa: ASYNC110 - the stand-in has no event
                len(bench.mlflow.calls) < last and bench.store.runs.outbox(limit=1)
            ):
                await asyncio.sleep(0)
        await bench.stop()
    check_whole(bench)


async def test_what_mlflow_refuses_for_ever_holds_up_nothing(bench: Bench) -> None:
    bench.mlflow.reject.add("mlflow/runs/log-batch")
    bench.start()
    bench.whole_run()
    await bench.delivered()
    assert set(bench.mlflow.by_task()) == {"-", "outer", "outer/train"}


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
        for uri in ("minio://link.html", "minio://../secret", "minio://gone.html")
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
