"""Pods that a queue makes, over a stand-in for the API: one name for a Job and its pod."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from tests.loopback import Asked, serving, streamed

from toolkit_jobs import Connection, Jobs, PodOptions, PodPhase, PodRequest, PodStatus
from toolkit_jobs import jobs as module
from toolkit_jobs.queue import JOB_NAME

NAMESPACE = "/namespaces/ml/"
POD = PodRequest("p", "image", ("true",))
QUEUED = PodOptions("ml", {"app": "x"}, queue="ml-queue")
PLAIN = PodOptions("ml", {"app": "x"})


async def told(queue: asyncio.Queue[Any]) -> AsyncIterator[bytes]:
    """What is put in a queue, a line each."""
    while True:
        yield json.dumps(await queue.get()).encode() + b"\n"


class Cluster:
    """Pods, Jobs and Workloads in memory, behind a real server.

    What a test changes is told to the watches, to those that begin later as well.
    """

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            "pods": {}, "jobs": {}, "workloads": {}
        }  # fmt: skip
        self.watches: dict[str, list[asyncio.Queue[Any]]] = {"pods": [], "jobs": []}
        self.changes: list[tuple[int, str, dict[str, Any]]] = []
        self.version = 1
        self.deleted: list[str] = []
        self.kueue = True
        self.refuse_jobs = False

    def put(self, kind: str, item: dict[str, Any]) -> None:
        self.version += 1
        name = item["metadata"]["name"]
        known = name in self.objects[kind]
        item["metadata"]["resourceVersion"] = str(self.version)
        self.objects[kind][name] = item
        self.tell(kind, "MODIFIED" if known else "ADDED", item)

    def remove(self, kind: str, name: str) -> None:
        self.version += 1
        self.tell(kind, "DELETED", self.objects[kind].pop(name))

    def tell(self, kind: str, change: str, item: dict[str, Any]) -> None:
        event = {"type": change, "object": json.loads(json.dumps(item))}
        self.changes.append((self.version, kind, event))
        for queue in self.watches.get(kind, []):
            queue.put_nowait(event)

    async def answer(self, request: Asked) -> web.StreamResponse:
        path = request.path
        if path == "/apis/kueue.x-k8s.io":
            group = {"preferredVersion": {"groupVersion": "kueue.x-k8s.io/v1beta2"}}
            return web.json_response(group) if self.kueue else refusal(404)
        kind, _, name = path.partition(NAMESPACE)[2].partition("/")
        name, _, verb = name.partition("/")
        if kind == "jobs" and self.refuse_jobs:
            return refusal(403)
        if verb == "log":
            return web.Response(text=f"log of {name}")
        if request.query.get("watch"):
            queue: asyncio.Queue[Any] = asyncio.Queue()
            for version, changed, event in self.changes:
                if changed == kind and version > int(request.query["resourceVersion"]):
                    queue.put_nowait(event)
            self.watches[kind].append(queue)
            return await streamed(request, told(queue))
        if request.method == "POST":
            item = request.json()
            if item["metadata"]["name"] in self.objects[kind]:
                return refusal(409, "AlreadyExists")
            item["metadata"]["uid"] = f"uid-{item['metadata']['name']}"
            self.put(kind, item)
            return web.json_response(item, status=201)
        if not name:
            job = request.query.get("labelSelector", "").partition(f"{JOB_NAME}=")[2]
            items = [
                item
                for item in self.objects[kind].values()
                if not job or item["metadata"]["labels"].get(JOB_NAME) == job
            ]
            metadata = {"resourceVersion": str(self.version)}
            return web.json_response({"metadata": metadata, "items": items})
        if name not in self.objects[kind]:
            return refusal(404, "NotFound")
        if request.method == "DELETE":
            self.deleted.append(f"{kind}/{name}?{request.raw_path.partition('?')[2]}")
            self.remove(kind, name)
            return web.json_response({})
        return web.json_response(self.objects[kind][name])

    def admit(self, name: str = "p") -> None:
        job = self.objects["jobs"][name]
        job["spec"]["suspend"] = False
        self.put("jobs", job)
        self.pod(f"{name}-abcde", "Pending", job=name)

    def pod(self, name: str, phase: str, job: str = "p") -> None:
        labels = {"app": "x", JOB_NAME: job}
        self.put(
            "pods", {"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}}
        )


def refusal(code: int, reason: str = "") -> web.Response:
    return web.json_response({"reason": reason, "message": "no", "code": code}, status=code)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any condition, none has an event
            await asyncio.sleep(0.005)


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(module, "_ASK_KUEUE", 0.01)
    made = Cluster()
    async with serving(made.answer) as made.url:
        yield made


def made(cluster: Cluster, options: PodOptions = QUEUED) -> Jobs:
    return Jobs(Connection(cluster.url), options)


async def test_from_the_queue_to_the_end(cluster: Cluster) -> None:
    heard: list[PodStatus] = []
    async with made(cluster) as jobs:
        jobs.subscribe(heard.append)
        assert await jobs.pods() == {}
        found = await jobs.start(POD)
        assert (found.phase, found.reason) == (PodPhase.PENDING, "Queued")
        assert not cluster.objects["pods"]
        assert (await jobs.start(POD)).reason == "Queued"
        cluster.admit()
        await until(lambda: heard[-1].pod == "p-abcde")
        cluster.pod("p-abcde", "Running")
        await until(lambda: heard[-1].phase is PodPhase.RUNNING)
        assert [chunk async for chunk in jobs.logs("p")] == [b"log of p-abcde"]
        cluster.pod("p-abcde", "Succeeded")
        await until(lambda: heard[-1].phase is PodPhase.SUCCEEDED)
        assert (await jobs.get("p")).pod == "p-abcde"
        await jobs.delete("p", grace=0)
        assert cluster.deleted == [
            "jobs/p?propagationPolicy=Background",
            "pods/p-abcde?gracePeriodSeconds=0",
        ]
        await until(lambda: heard[-1].phase is PodPhase.GONE)
        assert (await jobs.get("p")).phase is PodPhase.GONE
        assert await jobs.pods() == {}
    assert {each.name for each in heard} == {"p"}


async def test_why_it_waits_is_told(cluster: Cluster) -> None:
    heard: list[PodStatus] = []
    async with made(cluster) as jobs:
        jobs.subscribe(heard.append)
        await jobs.start(POD)
        condition = {"type": "QuotaReserved", "status": "False", "message": "1 more GPU needed"}
        owners = [{"kind": "Job", "uid": "uid-p"}]
        cluster.objects["workloads"]["w"] = {
            "metadata": {"name": "w", "ownerReferences": owners},
            "status": {"conditions": [condition]},
        }
        await until(lambda: bool(heard) and heard[-1].message == "1 more GPU needed")


async def test_a_cluster_without_kueue_says_so(cluster: Cluster) -> None:
    cluster.kueue = False
    heard: list[PodStatus] = []
    async with made(cluster) as jobs:
        jobs.subscribe(heard.append)
        await jobs.start(POD)
        await until(lambda: bool(heard) and "the cluster has no Kueue" in heard[-1].message)


async def test_a_pod_that_is_evicted_waits_again(cluster: Cluster) -> None:
    heard: list[PodStatus] = []
    async with made(cluster) as jobs:
        jobs.subscribe(heard.append)
        await jobs.start(POD)
        cluster.admit()
        await until(lambda: bool(heard) and heard[-1].pod == "p-abcde")
        job = cluster.objects["jobs"]["p"]
        job["spec"]["suspend"] = True
        cluster.put("jobs", job)
        cluster.remove("pods", "p-abcde")
        await until(lambda: heard[-1].reason == "Queued")
        assert PodPhase.GONE not in {each.phase for each in heard}


async def test_a_job_that_failed_without_a_pod_has_failed(cluster: Cluster) -> None:
    heard: list[PodStatus] = []
    async with made(cluster) as jobs:
        jobs.subscribe(heard.append)
        await jobs.start(POD)
        cluster.admit()
        cluster.remove("pods", "p-abcde")
        job = cluster.objects["jobs"]["p"]
        job["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "Lost"}]}
        cluster.put("jobs", job)
        await until(lambda: bool(heard) and heard[-1].phase is PodPhase.FAILED)
        assert heard[-1].reason == "Lost"


async def test_jobs_of_an_earlier_engine_are_found(cluster: Cluster) -> None:
    async with made(cluster) as jobs:
        await jobs.start(POD)
    async with made(cluster, PLAIN) as jobs:
        assert (await jobs.pods())["p"].reason == "Queued"
        await jobs.delete("p")
    assert not cluster.objects["jobs"]


async def test_without_a_queue_no_watch_on_jobs_is_held(cluster: Cluster) -> None:
    async with made(cluster, PLAIN) as jobs:
        await jobs.pods()
        await jobs.start(POD)
        assert not cluster.watches["jobs"]
        own = PodRequest("q", "image", ("true",), labels={"kueue.x-k8s.io/queue-name": "mine"})
        await jobs.start(own)
        await until(lambda: bool(cluster.watches["jobs"]))
    assert set(cluster.objects["pods"]) == {"p"}
    assert set(cluster.objects["jobs"]) == {"q"}


async def test_whoever_may_not_see_jobs_does_without(cluster: Cluster) -> None:
    cluster.refuse_jobs = True
    async with made(cluster, PLAIN) as jobs:
        assert await jobs.pods() == {}
