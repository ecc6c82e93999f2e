"""Jobs over a stand-in for the API: adoption, a watch that resumes, an API that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict
from tests.loopback import Asked, CutError, serving, streamed

from toolkit_jobs import (
    Appraisal,
    Connection,
    GpuMode,
    GpuOptions,
    Jobs,
    PodOptions,
    PodPhase,
    PodRequest,
    PodStatus,
    RefusedError,
    UnavailableError,
)

POD = PodRequest("p", "image", ("true",))
PATH = "/api/v1/namespaces/ml/pods"
SECRETS = "/api/v1/namespaces/ml/secrets"
CLAIMS = "/api/v1/namespaces/ml/persistentvolumeclaims"


async def told(queue: asyncio.Queue[Any]) -> AsyncIterator[bytes]:
    """What is put in a queue, a line each; None ends it, an exception breaks it off."""
    while (item := await queue.get()) is not None:
        if isinstance(item, Exception):
            raise item
        yield json.dumps(item).encode() + b"\n"


class Api:
    """Pods in memory, with versions, behind a real server; watches get what a test puts."""

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self.stack = stack
        self.url = ""
        self.pods: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.requests: list[Asked] = []
        self.watches: list[asyncio.Queue[Any]] = []
        self.fail: Callable[[Asked], web.Response | None] = lambda request: None

    def jobs(self, options: PodOptions) -> Jobs:
        """What is tested; its connections end with the test."""
        made = Jobs(Connection(self.url), options)
        self.stack.push_async_exit(made)
        return made

    async def answer(self, request: Asked) -> web.StreamResponse:
        self.requests.append(request)
        if (failed := self.fail(request)) is not None:
            return failed
        name = request.path.removeprefix(PATH).strip("/")
        if request.query.get("watch"):
            queue: asyncio.Queue[Any] = asyncio.Queue()
            self.watches.append(queue)
            return await streamed(request, told(queue))
        if request.method == "POST":
            body = request.json()
            if body["kind"] == "Secret":
                self.secrets[body["metadata"]["name"]] = body
                return web.json_response(body, status=201)
            return self.create(body)
        if request.path.startswith(SECRETS):
            found = self.secrets.pop(request.path.removeprefix(SECRETS).strip("/"), None)
            return web.json_response(found) if found else refusal(404, "NotFound", "none")
        if not name:
            items = list(self.pods.values())
            metadata = {"resourceVersion": str(self.version)}
            return web.json_response({"metadata": metadata, "items": items})
        if name not in self.pods:
            return refusal(404, "NotFound", f'pods "{name}" not found')
        if request.method == "DELETE":
            return web.json_response(self.pods.pop(name))
        return web.json_response(self.pods[name])

    def create(self, body: dict[str, Any]) -> web.Response:
        name = body["metadata"]["name"]
        if name in self.pods:
            return refusal(409, "AlreadyExists", f'pods "{name}" already exists')
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.pods[name] = body
        return web.json_response(body, status=201)

    def event(self, kind: str, phase: str, name: str = "p") -> dict[str, Any]:
        self.version += 1
        metadata = {"name": name, "resourceVersion": str(self.version)}
        return {"type": kind, "object": {"metadata": metadata, "status": {"phase": phase}}}

    def watch_versions(self) -> list[str]:
        return [r.query["resourceVersion"] for r in self.requests if r.query.get("watch")]

    def lists(self) -> int:
        return sum(
            r.method == "GET" and r.path == PATH and not r.query.get("watch")
            for r in self.requests
        )


def refusal(code: int, reason: str, message: str) -> web.Response:
    body = {"reason": reason, "message": message, "code": code}
    return web.json_response(body, status=code)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with contextlib.AsyncExitStack() as stack:
        made = Api(stack)
        made.url = await stack.enter_async_context(serving(made.answer))
        yield made


@pytest.fixture
def jobs(api: Api) -> Jobs:
    return api.jobs(PodOptions("ml", {"app": "x"}))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any condition, none has an event
            await asyncio.sleep(0.005)


async def test_a_pod_that_exists_is_adopted(api: Api, jobs: Jobs) -> None:
    assert (await jobs.start(POD)).phase is PodPhase.PENDING
    api.pods["p"]["status"] = {"phase": "Running"}
    assert (await jobs.start(POD)).phase is PodPhase.RUNNING
    assert len(api.pods) == 1


async def test_a_secret_comes_and_goes_with_its_pod(api: Api) -> None:
    options = PodOptions("ml", {"app": "x"}, secrets=True)
    jobs = api.jobs(options)
    request = PodRequest("p", "image", ("true",), env={"A": "b"}, secret_env={"TOKEN": "secret"})
    await jobs.start(request)
    assert [r.path for r in api.requests] == [SECRETS, PATH]
    assert api.secrets["p"]["stringData"] == {"TOKEN": "secret"}
    assert api.secrets["p"]["metadata"]["labels"] == {"app": "x"}
    assert "secret" not in json.dumps(api.pods["p"]["spec"]).replace("secretKeyRef", "")
    (container,) = api.pods["p"]["spec"]["containers"]
    reference = {"secretKeyRef": {"name": "p", "key": "TOKEN"}}
    assert {"name": "TOKEN", "valueFrom": reference} in container["env"]
    api.fail = lambda request: (
        refusal(409, "AlreadyExists", "there") if request.path == SECRETS else None
    )
    await jobs.start(request)
    api.fail = lambda request: None
    await jobs.delete("p")
    assert (api.pods, api.secrets) == ({}, {})
    await jobs.delete("p")


@pytest.mark.parametrize(
    ("own", "labels"), [(False, {"run": "r"}), (True, {"run": "r", "app": "x"})]
)
async def test_a_claim_is_made(api: Api, jobs: Jobs, own: bool, labels: dict[str, str]) -> None:
    api.fail = lambda request: web.json_response({}, status=201)
    metadata = {"labels": {"run": "r"}, "annotations": {"a": "b"}}
    await jobs.create_claim("c", {"accessModes": ["ReadWriteOnce"]}, metadata, own=own)
    (request,) = api.requests
    assert (request.method, request.path) == ("POST", CLAIMS)
    assert request.json() == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c", "labels": labels, "annotations": {"a": "b"}},
        "spec": {"accessModes": ["ReadWriteOnce"]},
    }


async def test_images_that_no_pod_could_have_are_told_by_a_dry_run(api: Api, jobs: Jobs) -> None:
    headers = CIMultiDict(
        [
            ("Warning", '299 - "would violate PodSecurity \\"restricted\\""'),
            ("Warning", '299 - "spec.containers[1].image: image \\"b\\" is not here"'),
        ]
    )
    api.fail = lambda request: web.json_response({}, status=201, headers=headers)
    assert await jobs.missing(["a", "b"]) == {"b": 'image "b" is not here'}
    (request,) = api.requests
    assert (request.path, request.query["dryRun"]) == (PATH, "All")
    containers = request.json()["spec"]["containers"]
    assert [each["image"] for each in containers] == ["a", "b"]


@pytest.mark.parametrize("code", [403, 503])
async def test_what_refuses_a_dry_run_for_another_reason_says_nothing_of_images(
    api: Api, jobs: Jobs, code: int
) -> None:
    api.fail = lambda request: refusal(code, "Forbidden", "exceeded quota")
    assert await jobs.missing(["a"]) == {}


async def test_a_dry_run_tells_the_fields_that_change_nothing(api: Api, jobs: Jobs) -> None:
    headers = CIMultiDict(
        [
            (
                "Warning",
                '299 - "would violate PodSecurity \\"restricted\\": it has no effect here: x"',
            ),
            ("Warning", '299 - "spec.imagePullSecrets: has no effect here: no image is pulled"'),
            ("Warning", '299 - "spec.containers[0].image: image \\"b\\" is not here"'),
        ]
    )
    api.fail = lambda request: web.json_response({}, status=201, headers=headers)
    found = await jobs.appraise(POD)
    told = ("spec.imagePullSecrets: has no effect here: no image is pulled",)
    assert found == Appraisal(ineffective=told)
    (request,) = api.requests
    assert (request.path, request.query["dryRun"]) == (PATH, "All")
    made = request.json()
    assert made["metadata"]["generateName"] == "p-"
    assert "name" not in made["metadata"]
    assert made["spec"]["containers"][0]["image"] == "image"


async def test_a_dry_run_tells_why_no_such_pod_can_be(api: Api, jobs: Jobs) -> None:
    told = 'Pod "step-x7k" is invalid: spec.resourceClaims: Forbidden: there is no driver'
    api.fail = lambda request: refusal(422, "Invalid", told)
    found = await jobs.appraise(POD)
    assert found == Appraisal(
        invalid="spec.resourceClaims: Forbidden: there is no driver (Invalid)"
    )


@pytest.mark.parametrize("code", [403, 404, 503])
async def test_what_may_pass_is_not_held_against_a_pod(api: Api, jobs: Jobs, code: int) -> None:
    api.fail = lambda request: refusal(code, "Forbidden", "exceeded quota")
    assert await jobs.appraise(POD) is None


async def test_own_claims_are_listed(api: Api, jobs: Jobs) -> None:
    named = {"metadata": {"name": "a", "labels": {"run": "r"}}}, {"metadata": {"name": "b"}}
    api.fail = lambda request: web.json_response({"items": named})
    assert await jobs.own_claims() == {"a": {"run": "r"}, "b": {}}
    (request,) = api.requests
    assert (request.method, request.path) == ("GET", CLAIMS)
    assert request.query["labelSelector"]


async def test_a_claim_that_is_there_is_told(api: Api, jobs: Jobs) -> None:
    api.fail = lambda request: refusal(409, "AlreadyExists", '"c" already exists')
    with pytest.raises(RefusedError) as caught:
        await jobs.create_claim("c", {}, {}, own=False)
    assert caught.value.reason == "AlreadyExists"


@pytest.mark.parametrize(
    "answer",
    [
        (200, "", ""),
        (404, "NotFound", "none"),
        (409, "Conflict", "the uid in the precondition is another"),
    ],
)
async def test_that_very_claim_is_deleted(
    api: Api, jobs: Jobs, answer: tuple[int, str, str]
) -> None:
    api.fail = lambda request: refusal(*answer)
    await jobs.delete_claim("c", "uid-1")
    (request,) = api.requests
    assert (request.method, request.path) == ("DELETE", f"{CLAIMS}/c")
    assert request.json()["preconditions"] == {"uid": "uid-1"}


async def test_a_claim_that_may_not_be_deleted_is_told(api: Api, jobs: Jobs) -> None:
    api.fail = lambda request: refusal(403, "Forbidden", "no")
    with pytest.raises(RefusedError, match="no"):
        await jobs.delete_claim("c", "uid-1")


async def test_a_secret_that_is_refused_starts_no_pod(api: Api, jobs: Jobs) -> None:
    api.fail = lambda request: refusal(403, "Forbidden", "no secrets for you")
    with pytest.raises(RefusedError, match="no secrets for you"):
        await jobs.start(PodRequest("p", "image", ("true",), secret_env={"A": "b"}))
    assert [r.path for r in api.requests] == [SECRETS]


async def test_a_refusal_is_told(api: Api, jobs: Jobs) -> None:
    api.fail = lambda request: refusal(422, "Invalid", "spec: no")
    with pytest.raises(RefusedError, match="spec: no") as caught:
        await jobs.start(POD)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")


@pytest.mark.parametrize("code", [401, 429, 500, 503])
async def test_what_may_pass_is_unavailable(api: Api, jobs: Jobs, code: int) -> None:
    api.fail = lambda request: web.Response(status=code, text="not JSON")
    with pytest.raises(UnavailableError):
        await jobs.start(POD)


async def test_deleting_what_is_gone_is_done(api: Api, jobs: Jobs) -> None:
    await jobs.start(POD)
    await jobs.delete("p", grace=0)
    assert api.requests[-1].query["gracePeriodSeconds"] == "0"
    await jobs.delete("p")
    assert (await jobs.get("p")).phase is PodPhase.GONE


async def test_changes_are_heard_and_kept(api: Api, jobs: Jobs) -> None:
    heard: list[PodStatus] = []
    jobs.subscribe(heard.append)
    async with jobs:
        assert await jobs.pods() == {}
        await until(lambda: bool(api.watches))
        await api.watches[0].put(api.event("ADDED", "Pending"))
        await api.watches[0].put(api.event("MODIFIED", "Running"))
        await until(lambda: len(heard) == 2)
        assert (await jobs.pods())["p"].phase is PodPhase.RUNNING
        await api.watches[0].put(api.event("DELETED", "Running"))
        await until(lambda: len(heard) == 3)
        assert await jobs.pods() == {}
    assert [each.phase for each in heard] == [PodPhase.PENDING, PodPhase.RUNNING, PodPhase.GONE]


async def test_a_watch_that_ends_goes_on_where_it_was(api: Api, jobs: Jobs) -> None:
    async with jobs:
        await until(lambda: bool(api.watches))
        await api.watches[0].put(api.event("ADDED", "Pending"))
        await api.watches[0].put(
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}}
        )
        await api.watches[0].put(None)
        await until(lambda: len(api.watches) == 2)
        await api.watches[1].put(CutError())
        await until(lambda: len(api.watches) == 3)
    assert api.watch_versions() == ["1", "77", "77"]
    assert api.lists() == 1


async def test_a_watch_that_told_something_is_begun_again_at_once_and_no_other(
    api: Api, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit_jobs.api._BACKOFF", (3600.0, 3600.0))
    async with jobs:
        await until(lambda: bool(api.watches))
        await api.watches[0].put(api.event("ADDED", "Pending"))
        await api.watches[0].put(None)
        await until(lambda: len(api.watches) == 2)
        await api.watches[1].put(None)
        for _ in range(20):
            # Each a round trip to the server that would be asked without end.
            await jobs.get("q")
    assert len(api.watches) == 2


async def test_an_expired_watch_lists_again_and_tells_what_went(api: Api, jobs: Jobs) -> None:
    heard: list[PodStatus] = []
    jobs.subscribe(heard.append)
    await jobs.start(POD)
    async with jobs:
        await until(lambda: bool(api.watches))
        api.pods.clear()
        gone = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
        await api.watches[0].put(gone)
        await until(lambda: len(api.watches) == 2)
    assert [each.phase for each in heard] == [PodPhase.PENDING, PodPhase.GONE]
    assert api.lists() == 2


async def test_an_api_that_goes_away_is_tried_until_it_is_back(api: Api, jobs: Jobs) -> None:
    failures = 3

    def fail(request: Asked) -> web.Response | None:
        nonlocal failures
        if failures:
            failures -= 1
            raise CutError
        return None

    api.fail = fail
    async with jobs:
        assert await jobs.pods() == {}
    assert failures == 0


async def test_logs_are_streamed(api: Api, jobs: Jobs) -> None:
    api.fail = lambda request: web.Response(body=b"line\n" * 1000)
    chunks = [chunk async for chunk in jobs.logs("p", follow=True)]
    assert b"".join(chunks) == b"line\n" * 1000
    assert api.requests[-1].query["follow"] == "true"


async def test_logs_of_a_pod_that_has_not_started_are_refused(api: Api, jobs: Jobs) -> None:
    api.fail = lambda request: refusal(400, "BadRequest", "waiting to start")
    with pytest.raises(RefusedError, match="waiting to start"):
        async for _ in jobs.logs("p"):
            pass


DEVICES = PodOptions(
    "ml", {"app": "x"}, gpus=GpuOptions(GpuMode.DRA, count=1, device_class="gpu.nvidia.com")
)
TEMPLATES = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaimtemplates"


@pytest.mark.parametrize("code", [201, 409])
async def test_devices_have_their_template_before_the_pod(api: Api, code: int) -> None:
    jobs = api.jobs(DEVICES)
    sent: list[Any] = []

    def answer(request: Asked) -> web.Response | None:
        if request.path != TEMPLATES:
            return None
        sent.append(request.json())
        assert not api.pods
        return web.json_response({"reason": "AlreadyExists"} if code == 409 else {}, status=code)

    api.fail = answer
    await jobs.start(POD)
    (claim,) = api.pods["p"]["spec"]["resourceClaims"]
    assert claim["resourceClaimTemplateName"] == sent[0]["metadata"]["name"]


async def test_a_cluster_without_devices_says_so(api: Api) -> None:
    jobs = api.jobs(DEVICES)
    api.fail = lambda request: (
        refusal(404, "NotFound", "not found") if request.path == TEMPLATES else None
    )
    with pytest.raises(RefusedError, match=r"'gpu.nvidia.com', and the cluster has no dynamic"):
        await jobs.start(POD)
    assert not api.pods


async def test_metadata_is_read_without_the_content(api: Api, jobs: Jobs) -> None:
    def answer(request: Asked) -> web.Response:
        assert "as=PartialObjectMetadata" in request.headers["Accept"]
        if request.path.endswith("/gone"):
            return refusal(404, "NotFound", "no")
        return web.json_response({"metadata": {"labels": {"a": "b"}}})

    api.fail = answer
    assert await jobs.metadata("secrets", "s") == {"labels": {"a": "b"}}
    assert await jobs.metadata("secrets", "gone") == {}
    assert api.requests[0].path == "/api/v1/namespaces/ml/secrets/s"
