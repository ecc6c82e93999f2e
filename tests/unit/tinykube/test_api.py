import asyncio
import contextlib
import json

import httpx2
import pytest

from tinykube import api as serving
from tinykube import kinds, patch
from tinykube import store as storing
from tinykube.api import Api, Context, watches
from tinykube.options import Deletion
from tinykube.store import StorageError

CORE = "/api/v1/namespaces/default"


def names(answer):
    return [item["metadata"]["name"] for item in answer.json()["items"]]


# Who may in.


def every_path():
    yield from ("/api", "/api/v1", "/apis", "/apis/x", "/", "/metrics", "/openapi/v2", "/api/")
    for resource in kinds.STORED:
        root = f"/apis/{resource.group}/{resource.version}" if resource.group else "/api/v1"
        place = f"{root}/namespaces/default" if resource.namespaced else root
        for path in (resource.plural, f"{resource.plural}/x", f"{resource.plural}/x/status"):
            yield f"{place}/{path}"
    yield f"{CORE}/pods/x/log"
    yield f"{CORE}/serviceaccounts/x/token"
    yield "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer nothing", "Bearer ", "Basic YTpi", "nothing"]
)
async def test_no_path_but_the_open_ones_answers_without_a_token(app, header):
    headers = {} if header is None else {"Authorization": header}
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://kube") as client:
        for path in every_path():
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                answer = await client.request(method, path, headers=headers)
                assert answer.status_code == 401, (method, path)
                assert answer.json()["reason"] == "Unauthorized"
        for path in sorted(serving.OPEN):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 200, path


async def test_every_route_of_the_application_is_behind_the_gate(app):
    transport = httpx2.ASGITransport(app)
    routes = {route.path for route in app._app.router.routes}
    async with httpx2.AsyncClient(transport=transport, base_url="https://kube") as client:
        for path in routes - serving.OPEN:
            filled = (
                path.replace("{group}", "g").replace("{version}", "v").replace("{rest:path}", "r")
            )
            assert (await client.get(filled)).status_code == 401, path


async def test_foreign_origins_are_refused(http):
    for path in ("/version", f"{CORE}/pods"):
        answer = await http.get(path, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
        assert "Origin" in answer.json()["message"]


async def test_an_account_without_a_role_may_do_nothing(http, account):
    token = {"Authorization": f"Bearer {account('bot')}"}
    answer = await http.get(f"{CORE}/pods", headers=token)
    assert answer.status_code == 403
    assert answer.json()["reason"] == "Forbidden"
    assert answer.json()["message"] == (
        'pods is forbidden: User "system:serviceaccount:default:bot" cannot list resource "pods" '
        'in API group "" in the namespace "default"'
    )
    for method, path in [
        ("GET", f"{CORE}/secrets/x"),
        ("POST", f"{CORE}/pods"),
        ("POST", f"{CORE}/serviceaccounts/bot/token"),
        ("DELETE", f"{CORE}/pods"),
        ("GET", f"{CORE}/pods/x/log"),
        ("GET", "/api/v1/nodes"),
        ("GET", "/apis/example.com/v1/things"),
        ("GET", "/metrics"),
    ]:
        answer = await http.request(method, path, headers=token)
        assert answer.status_code == 403, path
    assert (await http.get("/apis", headers=token)).status_code == 200


async def test_a_role_opens_what_it_says(http, account):
    rule = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"]}
    token = {"Authorization": f"Bearer {account('bot', [{**rule, 'resourceNames': ['mine']}])}"}
    await http.post(f"{CORE}/secrets", json={"metadata": {"name": "mine"}})
    assert (await http.get(f"{CORE}/secrets/mine", headers=token)).status_code == 200
    assert (await http.get(f"{CORE}/secrets/other", headers=token)).status_code == 403
    assert (await http.get(f"{CORE}/secrets", headers=token)).status_code == 403
    one = {"fieldSelector": "metadata.name=mine"}
    assert names(await http.get(f"{CORE}/secrets", params=one, headers=token)) == ["mine"]
    # Two names in one selector must not pass as either of them.
    two = {"fieldSelector": "metadata.name!=x"}
    assert (await http.get(f"{CORE}/secrets", params=two, headers=token)).status_code == 403


# Objects.


async def test_the_life_of_an_object(http):
    made = await http.post(
        f"{CORE}/configmaps", json={"metadata": {"name": "x"}, "data": {"a": "b"}}
    )
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/json"
    body = made.json()
    assert (body["apiVersion"], body["kind"]) == ("v1", "ConfigMap")
    assert (await http.get(f"{CORE}/configmaps/x")).json() == body
    changed = await http.patch(
        f"{CORE}/configmaps/x",
        content=b'{"data":{"a":"c"}}',
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert changed.json()["data"] == {"a": "c"}
    stale = await http.put(f"{CORE}/configmaps/x", json=body)
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    gone = await http.delete(f"{CORE}/configmaps/x")
    assert (gone.status_code, gone.json()["status"]) == (200, "Success")
    absent = await http.get(f"{CORE}/configmaps/x")
    assert absent.status_code == 404
    assert absent.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "x" not found',
        "reason": "NotFound",
        "details": {"name": "x", "kind": "configmaps"},
        "code": 404,
    }


async def test_the_life_of_a_namespace(http, account):
    made = await http.post("/api/v1/namespaces", json={"metadata": {"name": "new"}})
    assert made.status_code == 201
    assert (await http.get("/api/v1/namespaces/new")).json() == made.json()
    changed = await http.patch(
        "/api/v1/namespaces/new",
        content=b'{"metadata":{"labels":{"a":"b"}}}',
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert changed.json()["metadata"]["labels"]["a"] == "b"
    assert (await http.get("/api/v1/namespaces/new/status")).status_code == 200
    gone = await http.delete("/api/v1/namespaces/new")
    assert gone.json()["status"]["phase"] == "Terminating"
    # As in Kubernetes, it is asked for inside itself.
    token = {"Authorization": f"Bearer {account('bot')}"}
    answer = await http.get("/api/v1/namespaces/new", headers=token)
    assert 'in the namespace "new"' in answer.json()["message"]


async def test_a_deleted_pod_is_answered_with_itself(http, pod):
    await http.post(f"{CORE}/pods", json=pod())
    assert (await http.delete(f"{CORE}/pods/one")).json()["kind"] == "Pod"


async def test_apply_by_yaml(http):
    answer = await http.patch(
        f"{CORE}/configmaps/x",
        params={"fieldManager": "me"},
        content=b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\n",
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    assert answer.status_code == 201
    assert answer.json()["metadata"]["managedFields"][0]["manager"] == "me"
    answer = await http.patch(
        f"{CORE}/configmaps/x",
        content=b"{}",
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    assert answer.status_code == 422
    assert "fieldManager: Required value: is required for apply patch" in answer.json()["message"]


async def test_a_namespace_is_let_go_by_a_request_of_its_own(http):
    body = {"metadata": {"name": "new"}, "spec": {"finalizers": ["example.com/empties"]}}
    made = (await http.post("/api/v1/namespaces", json=body)).json()
    assert made["spec"]["finalizers"] == ["example.com/empties", "kubernetes"]
    path = "/api/v1/namespaces/new/finalize"
    assert (await http.get(path)).status_code == 405
    await http.delete("/api/v1/namespaces/new")
    answer = await http.put(
        path, json={"metadata": {"name": "new"}, "spec": {"finalizers": ["x"]}}
    )
    assert answer.status_code == 422
    assert answer.json()["details"]["causes"][0]["field"] == "spec.finalizers"
    answer = await http.put(path, json={"metadata": {"name": "new"}})
    assert answer.status_code == 200
    assert (await http.get("/api/v1/namespaces/new")).status_code == 404


async def test_what_was_applied_is_listed_whatever_its_order_of_fields(http):
    await http.patch(
        f"{CORE}/secrets/x",
        params={"fieldManager": "me"},
        content=b"stringData: {a: b}\nmetadata: {name: x}\nkind: Secret\napiVersion: v1\n",
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    (item,) = (await http.get(f"{CORE}/secrets")).json()["items"]
    assert (item["metadata"]["name"], item["data"]) == ("x", {"a": "Yg=="})


async def test_warnings_are_headers(http):
    answer = await http.post(f"{CORE}/secrets", json={"metadata": {"name": "x"}, 'od"d\n': 1})
    assert answer.status_code == 201
    assert answer.headers["warning"] == '299 - "unknown field \\"od\\"d?\\""'


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/apps/v1/namespaces/default/deployments", 404),
        ("GET", "/apis/autoscaling/v2/horizontalpodautoscalers", 404),
        ("GET", "/api/v1/namespaces/default/replicationcontrollers", 404),
        ("GET", "/api/v2/pods", 404),
        ("GET", f"{CORE}/nodes", 404),
        ("GET", "/api/v1/pods/x", 404),
        ("GET", f"{CORE}/pods/x/exec", 400),
        ("GET", f"{CORE}/secrets/x/status", 404),
        ("GET", f"{CORE}/pods/x/log/y", 404),
        ("GET", f"{CORE}/pods//x", 404),
        ("GET", f"{CORE}/pods/", 404),
        ("GET", "/api/v1/watch/pods", 404),
        ("POST", "/api/v1/pods", 405),
        ("PUT", f"{CORE}/pods", 405),
        ("POST", f"{CORE}/pods/x", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("POST", f"{CORE}/pods/x/log", 405),
        ("DELETE", f"{CORE}/pods/x/status", 405),
        ("POST", "/version", 405),
    ],
)
async def test_what_is_not_there_and_not_allowed(http, method, path, code):
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["kind"]) == (code, "Status")


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"NaN", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 422),
        (b'"x"', "application/json", 400),
        (b'{"metadata":[]}', "application/json", 400),
        (b'{"metadata":{"labels":{"a":1},"name":"x"}}', "application/json", 400),
        (b'{"metadata":{"name":"\\ud800"}}', "application/json", 422),
        (b'{"metadata":{"name":"a\\u0000b"}}', "application/json", 422),
        (b'{"metadata":{"name":"../x"}}', "application/json", 422),
        (b'{"metadata":{"generation":' + b"9" * 5000 + b"}}", "application/json", 400),
        (b"x", "application/xml", 415),
        (b"x", "application/vnd.kubernetes.protobuf", 400),
        (b"a: &x [1]\nb: *x\n", "application/yaml", 400),
        (b"metadata: {name: 2001-01-01}", "application/yaml", 400),
        (b"a: [", "application/yaml", 400),
        (b"a: " + b"x" * 300_000, "application/yaml", 400),
        (b'{"metadata":{"name":"' + b"x" * 1_000_000 + b'"}}', "application/json", 422),
    ],
)
async def test_bad_bodies(http, store, content, kind, code):
    version = store.version
    answer = await http.post(f"{CORE}/secrets", content=content, headers={"Content-Type": kind})
    assert answer.status_code == code, answer.text[:300]
    assert len(answer.text) < 10_000
    assert store.version == version


async def test_large_bodies_are_refused(http):
    answer = await http.post(f"{CORE}/secrets", content=b"x" * (3 * 2**20 + 1))
    assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")

    async def chunks():
        for _ in range(5):
            yield b"x" * 2**20

    answer = await http.post(f"{CORE}/secrets", content=chunks())
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "x"},
        {"limit": "9" * 30},
        {"labelSelector": "a in"},
        {"fieldSelector": "spec.x=1"},
        {"continue": "garbage"},
        {"continue": "eyJ2IjoxfQ"},
        {"resourceVersion": "x"},
        {"watch": "1", "timeoutSeconds": "-1"},
        {"watch": "1", "sendInitialEvents": "true"},
    ],
)
async def test_bad_queries(http, params):
    answer = await http.get(f"{CORE}/pods", params=params)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"resourceVersionMatch": "Exact"},
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            {"resourceVersionMatch": "Roughly", "resourceVersion": "1"},
            'Unsupported value: "Roughly": supported values: "Exact", "NotOlderThan", ""',
        ),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "1", "continue": "x"},
            "Forbidden: resourceVersionMatch is forbidden when continue is provided",
        ),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
    ],
)
async def test_options_of_lists_that_contradict(http, params, words):
    answer = await http.get(f"{CORE}/pods", params=params)
    assert answer.status_code == 422
    assert answer.json()["message"] == (
        f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: {words}'
    )


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("POST", {"dryRun": "Some"}, 'Unsupported value: ["Some"]: supported values: "All"'),
        (
            "PUT",
            {"fieldValidation": "Maybe"},
            'Unsupported value: "Maybe": supported values: "", "Ignore", "Strict", "Warn"',
        ),
        ("PATCH", {"force": "true"}, "Forbidden: may not be specified for non-apply patch"),
        ("POST", {"fieldManager": "x" * 129}, "Too long: may not be more than 128 bytes"),
    ],
)
async def test_options_of_writes_that_are_unknown(http, method, params, words):
    name = "" if method == "POST" else "/x"
    kind = {"POST": "Create", "PUT": "Update", "PATCH": "Patch"}[method]
    answer = await http.request(
        method,
        f"{CORE}/secrets{name}",
        params=params,
        json={},
        headers={"Content-Type": patch.MERGE_PATCH} if method == "PATCH" else {},
    )
    assert answer.status_code == 422
    (field,) = params
    assert answer.json()["message"] == (
        f'{kind}Options.meta.k8s.io "" is invalid: {field}: {words}'
    )


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("kind", ["text/plain", "application/json5"])
async def test_types_of_bodies_that_are_not_taken(http, method, kind):
    answer = await http.request(
        method, f"{CORE}/secrets/x", content=b"{}", headers={"Content-Type": kind}
    )
    assert answer.status_code == 415


async def test_an_update_creates_where_the_kind_allows_it(http):
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    body = {"metadata": {"name": "l", "resourceVersion": "7"}, "spec": {"holderIdentity": "me"}}
    assert (await http.put(path, json=body)).status_code == 201
    answer = await http.put(path, json={"metadata": {"name": "l"}})
    assert answer.status_code == 422
    assert "leases.coordination.k8s.io" in answer.json()["message"]
    version = (await http.get(path)).json()["metadata"]["resourceVersion"]
    body["metadata"]["resourceVersion"] = version
    assert (await http.put(path, json=body)).status_code == 200
    other = {"metadata": {"name": "m", "uid": "x"}}
    answer = await http.put(f"{path[:-1]}m", json=other)
    assert answer.status_code == 409
    answer = await http.put(f"{CORE}/secrets/s", json={"metadata": {"name": "s"}})
    assert answer.status_code == 404


async def test_an_update_must_name_its_object(http):
    answer = await http.put(f"{CORE}/secrets/s", json={"metadata": {}})
    assert answer.status_code == 400
    assert "name must be provided" in answer.json()["message"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dryRun": "Some"}, 'dryRun: Unsupported value: ["Some"]: supported values: "All"'),
        (
            {"propagationPolicy": "Up"},
            'propagationPolicy: Unsupported value: "Up": supported values: "Foreground", '
            '"Background", "Orphan", "nil"',
        ),
    ],
)
async def test_options_of_deletions_that_are_unknown(http, params, words):
    answer = await http.delete(f"{CORE}/pods/x", params=params)
    assert answer.status_code == 422
    assert answer.json()["message"] == f'DeleteOptions.meta.k8s.io "" is invalid: {words}'


@pytest.mark.parametrize(
    ("params", "body"),
    [
        ({"gracePeriodSeconds": "x"}, None),
        ({}, {"kind": "Pod"}),
        ({}, {"gracePeriodSeconds": "1"}),
        ({}, {"preconditions": []}),
        ({}, []),
    ],
)
async def test_bad_deletions(http, params, body):
    answer = await http.request("DELETE", f"{CORE}/pods/x", params=params, json=body)
    assert answer.status_code == 400


async def test_accept(http):
    for accept, code in [
        ("application/json", 200),
        ("*/*", 200),
        ("application/json;as=Table;v=v1;g=meta.k8s.io, application/json", 200),
        ("application/vnd.kubernetes.protobuf", 406),
        ("text/html", 406),
    ]:
        answer = await http.get(f"{CORE}/pods", headers={"Accept": accept})
        assert answer.status_code == code, accept


async def test_a_full_disk_is_an_answer_and_not_an_end(http, store, monkeypatch):
    @contextlib.contextmanager
    def full():
        raise StorageError("database or disk is full")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", full)
        answer = await http.post(f"{CORE}/secrets", json={"metadata": {"name": "x"}})
    assert answer.status_code == 500
    assert answer.json()["reason"] == "InternalError"
    assert "disk is full" in answer.json()["message"]
    answer = await http.post(f"{CORE}/secrets", json={"metadata": {"name": "x"}})
    assert answer.status_code == 201


async def test_a_fault_of_ours_tells_no_secrets(http, store, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(store, "get", broken)
    answer = await http.get(f"{CORE}/secrets/x")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text


# Lists.


async def test_lists(http, create):
    for name in ("a", "b"):
        create(kinds.SECRETS, {"metadata": {"name": name, "labels": {"n": name}}})
    create(kinds.SECRETS, {"metadata": {"name": "c"}}, namespace="kube-system")
    answer = await http.get("/api/v1/secrets")
    assert names(answer) == ["a", "b", "c"]
    assert answer.json()["kind"] == "SecretList"
    assert "kind" not in answer.json()["items"][0]
    assert names(await http.get(f"{CORE}/secrets")) == ["a", "b"]
    chosen = await http.get("/api/v1/secrets", params={"labelSelector": "n in (b)"})
    assert names(chosen) == ["b"]
    chosen = await http.get(
        "/api/v1/secrets", params={"fieldSelector": "metadata.namespace!=default"}
    )
    assert names(chosen) == ["c"]


@pytest.mark.parametrize("limit", ["-1", "0"])
async def test_no_limit(http, create, limit):
    for name in ("a", "b"):
        create(kinds.SECRETS, {"metadata": {"name": name}})
    assert names(await http.get(f"{CORE}/secrets", params={"limit": limit})) == ["a", "b"]


@pytest.mark.parametrize("selector", [{}, {"labelSelector": "on=yes"}])
async def test_pages_show_one_moment(http, create, registry, selector):
    for number in range(10):
        create(kinds.SECRETS, {"metadata": {"name": f"s{number}", "labels": {"on": "yes"}}})
    first = await http.get(f"{CORE}/secrets", params={"limit": 4, **selector})
    found = names(first)
    token = first.json()["metadata"]["continue"]
    registry.delete(kinds.SECRETS, "default", "s7", Deletion())
    create(kinds.SECRETS, {"metadata": {"name": "s55", "labels": {"on": "yes"}}})
    while token:
        params = {"limit": 4, "continue": token, **selector}
        answer = await http.get(f"{CORE}/secrets", params=params)
        found += names(answer)
        assert (
            answer.json()["metadata"]["resourceVersion"]
            == (first.json()["metadata"]["resourceVersion"])
        )
        token = answer.json()["metadata"].get("continue")
    assert found == [f"s{number}" for number in range(10)]


async def test_a_page_of_a_forgotten_moment(http, create, monkeypatch):
    monkeypatch.setattr(storing, "_KEEP_EVENTS", 10)
    for number in range(5):
        create(kinds.SECRETS, {"metadata": {"name": f"s{number}"}})
    first = await http.get(f"{CORE}/secrets", params={"limit": 2})
    for number in range(600):
        create(kinds.CONFIG_MAPS, {"metadata": {"name": f"s{number}"}})
    token = first.json()["metadata"]["continue"]
    answer = await http.get(f"{CORE}/secrets", params={"limit": 2, "continue": token})
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


async def test_a_version_of_the_future(http):
    answer = await http.get(f"{CORE}/pods", params={"resourceVersion": "99999999"})
    assert (answer.status_code, answer.json()["reason"]) == (504, "Timeout")


async def test_a_collection_is_deleted_as_selected(http, create):
    for name in ("a", "b", "c"):
        create(kinds.SECRETS, {"metadata": {"name": name, "labels": {"n": name}}})
    answer = await http.request("DELETE", f"{CORE}/secrets", params={"labelSelector": "n!=b"})
    assert names(answer) == ["a", "c"]
    assert names(await http.get(f"{CORE}/secrets")) == ["b"]


# Watches.


async def test_a_watch_begins_with_what_there_is(exchange, create, registry):
    create(kinds.SECRETS, {"metadata": {"name": "a"}})
    async with exchange(f"{CORE}/secrets", "watch=1") as watch:
        assert watch.status == 200
        (first,) = await watch.events(1)
        create(kinds.SECRETS, {"metadata": {"name": "b"}})
        registry.delete(kinds.SECRETS, "default", "a", Deletion())
        rest = await watch.events(2)
    assert [(item["type"], item["object"]["metadata"]["name"]) for item in (first, *rest)] == [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("DELETED", "a"),
    ]
    assert first["object"]["kind"] == "Secret"


async def test_a_watch_resumes(exchange, create, store):
    create(kinds.SECRETS, {"metadata": {"name": "a"}})
    version = store.version
    create(kinds.SECRETS, {"metadata": {"name": "b"}})
    async with exchange(f"{CORE}/secrets", f"watch=1&resourceVersion={version}") as watch:
        (event,) = await watch.events(1)
    assert event["object"]["metadata"]["name"] == "b"


async def test_a_watch_from_too_long_ago(exchange, create, store, monkeypatch):
    monkeypatch.setattr(storing, "_KEEP_EVENTS", 10)
    version = store.version
    for number in range(600):
        create(kinds.SECRETS, {"metadata": {"name": f"s{number}"}})
    async with exchange(f"{CORE}/secrets", f"watch=1&resourceVersion={version}") as watch:
        (event,) = await watch.events(1)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_a_slow_watcher_is_cut_and_costs_nothing(exchange, create, hub, monkeypatch):
    monkeypatch.setattr(storing, "_KEEP_EVENTS", 10)
    async with exchange(f"{CORE}/secrets", "watch=1") as watch:
        create(kinds.SECRETS, {"metadata": {"name": "first"}})
        await watch.events(1)
        watch.blocked.clear()
        for number in range(700):
            create(kinds.SECRETS, {"metadata": {"name": f"s{number}"}})
            await asyncio.sleep(0)
        watch.blocked.set()
        for _ in range(20):
            event = (await watch.events(1))[-1]
            if event["type"] == "ERROR":
                break
        assert event["object"]["code"] == 410


async def test_an_initial_list_ends_with_its_mark(exchange, create):
    create(kinds.SECRETS, {"metadata": {"name": "a"}})
    query = (
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    )
    async with exchange(f"{CORE}/secrets", query) as watch:
        first, mark = await watch.events(2)
    assert first["type"] == "ADDED"
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_bookmarks_come_when_all_is_quiet(exchange, create, store, monkeypatch):
    monkeypatch.setattr(watches, "_BOOKMARK_SECONDS", 0.01)
    async with exchange(f"{CORE}/secrets", "watch=1&allowWatchBookmarks=true") as watch:
        (mark,) = await watch.events(1)
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["resourceVersion"] == str(store.version)


async def test_a_watch_that_is_left_is_forgotten(exchange, hub):
    async with exchange(f"{CORE}/secrets", "watch=1"):
        await asyncio.sleep(0)
        assert len(hub) == 1
    assert len(hub) == 0


async def test_a_watch_ends_in_time_and_with_the_daemon(exchange, hub):
    async with exchange(f"{CORE}/secrets", "watch=1&timeoutSeconds=1") as watch:
        await asyncio.wait_for(watch.task, 10)
    async with exchange(f"{CORE}/secrets", "watch=1") as watch:
        await asyncio.sleep(0)
        hub.close()
        await asyncio.wait_for(watch.task, 5)


async def test_there_are_only_so_many_watches(exchange, http, monkeypatch):
    monkeypatch.setattr(watches, "_MAX_WATCHES", 1)
    async with exchange(f"{CORE}/secrets", "watch=1"):
        answer = await http.get(f"{CORE}/secrets", params={"watch": "1"})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "10"


# The rest.


async def test_discovery(http):
    assert (await http.get("/api")).json()["versions"] == ["v1"]
    core = (await http.get("/api/v1")).json()
    assert {"pods", "pods/log", "pods/status", "serviceaccounts/token"} <= {
        item["name"] for item in core["resources"]
    }
    groups = [item["name"] for item in (await http.get("/apis")).json()["groups"]]
    assert {"authorization.k8s.io", "batch", "coordination.k8s.io"} <= set(groups)
    assert groups == sorted(groups)
    for name in groups:
        group = (await http.get(f"/apis/{name}")).json()
        assert group["kind"] == "APIGroup"
        for version in group["versions"]:
            listed = (await http.get(f"/apis/{version['groupVersion']}")).json()
            assert listed["resources"], version
    assert (await http.get("/apis/autoscaling")).status_code == 404
    assert (await http.get("/apis/autoscaling/v1")).status_code == 404


async def test_what_discovery_lists_is_served(http):
    for root in ("/api/v1", "/apis/rbac.authorization.k8s.io/v1", "/apis/coordination.k8s.io/v1"):
        for item in (await http.get(root)).json()["resources"]:
            if "/" not in item["name"]:
                assert (await http.get(f"{root}/{item['name']}")).status_code == 200, item


async def test_health(registry, hub, tokens, logs, http):
    assert (await http.get("/readyz")).text == "ok"
    context = Context(registry, hub, tokens, logs, "x", lambda: ["config: it is wrong"])
    ill = Api(context).app()
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(ill), base_url="https://kube"
    ) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (500, "config: it is wrong\n")
        assert (await client.get("/healthz")).status_code == 200


async def test_token_requests(http, create, pod):
    path = f"{CORE}/serviceaccounts/default/token"
    answer = await http.post(path, json={"spec": {"expirationSeconds": 31_536_000}})
    assert answer.status_code == 201
    token = answer.json()["status"]["token"]
    mine = {"Authorization": f"Bearer {token}"}
    assert (await http.get("/api", headers=mine)).status_code == 200
    assert (await http.get(f"{CORE}/pods", headers=mine)).status_code == 403
    for body, code in [
        ({"spec": {"expirationSeconds": 5}}, 422),
        ({"spec": {"expirationSeconds": 2**40}}, 422),
        ({"spec": {"expirationSeconds": "x"}}, 400),
        ({"spec": {"boundObjectRef": {"kind": "Node", "name": "x"}}}, 422),
        ({"spec": {"boundObjectRef": {"kind": "Pod", "name": "absent"}}}, 404),
        ({"kind": "Pod"}, 400),
        ([], 400),
    ]:
        assert (await http.post(path, json=body)).status_code == code, body
    absent = await http.post(f"{CORE}/serviceaccounts/absent/token", json={})
    assert absent.status_code == 404
    create(kinds.PODS, pod())
    bound = {"spec": {"boundObjectRef": {"kind": "Pod", "name": "one", "uid": "other"}}}
    assert (await http.post(path, json=bound)).status_code == 409


async def test_access_reviews(http, account):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    token = {"Authorization": f"Bearer {account('bot', [rule])}"}

    async def allowed(**about):
        body = {"spec": {"resourceAttributes": about}}
        answer = await http.post(path, json=body, headers=token)
        assert answer.status_code == 201
        return answer.json()["status"]["allowed"]

    assert await allowed(verb="get", resource="pods", namespace="default")
    assert not await allowed(verb="get", resource="pods", subresource="log", namespace="default")
    assert not await allowed(verb="list", resource="pods")
    paths = {"spec": {"nonResourceAttributes": {"path": "/version", "verb": "get"}}}
    assert (await http.post(path, json=paths, headers=token)).json()["status"]["allowed"]
    assert (await http.post(path, json={"spec": {}})).status_code == 422
    assert (await http.get(path)).status_code == 405


async def test_status(http, pod):
    await http.post(f"{CORE}/pods", json=pod())
    answer = await http.patch(
        f"{CORE}/pods/one/status",
        content=b'{"status":{"phase":"Running"}}',
        headers={"Content-Type": "application/strategic-merge-patch+json"},
    )
    assert answer.json()["status"]["phase"] == "Running"
    assert (await http.get(f"{CORE}/pods/one/status")).json()["status"]["phase"] == "Running"


async def test_a_refusal_warns_as_well(http):
    body = {"metadata": {"name": "s"}, "dada": {}}
    answer = await http.put(f"{CORE}/secrets/s", json=body)
    assert answer.status_code == 404
    assert answer.headers["warning"] == '299 - "unknown field \\"dada\\""'


async def test_jobs_that_leave_their_pods_are_warned_of(http):
    path = "/apis/batch/v1/namespaces/default/jobs/j"
    answer = await http.delete(path)
    assert answer.status_code == 404
    assert "child pods are preserved" in answer.headers["warning"]
    answer = await http.delete(path, params={"propagationPolicy": "Background"})
    assert "warning" not in answer.headers


async def test_what_is_deleted_at_once_shows_no_deletion(http):
    await http.post(f"{CORE}/secrets", json={"metadata": {"name": "s"}})
    found = (await http.get(f"{CORE}/secrets/s")).json()
    answer = await http.delete(f"{CORE}/secrets")
    assert [item["metadata"] for item in answer.json()["items"]] == [found["metadata"]]
    version = found["metadata"]["resourceVersion"]
    query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "1"}
    answer = await http.get(f"{CORE}/secrets", params=query)
    (event,) = [json.loads(line) for line in answer.text.splitlines()]
    assert event["type"] == "DELETED"
    assert "deletionTimestamp" not in event["object"]["metadata"]


async def test_what_an_apply_names_must_be_known(http):
    answer = await http.patch(
        f"{CORE}/configmaps/x",
        params={"fieldManager": "me"},
        json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dada": {}},
        headers={"Content-Type": patch.APPLY_PATCH},
    )
    assert answer.status_code == 500
    assert answer.json()["message"] == (
        "failed to create typed patch object (/x; /v1, Kind=ConfigMap): .dada: field not "
        "declared in schema"
    )


@pytest.mark.parametrize(
    ("kind", "data", "missing"),
    [
        ("kubernetes.io/tls", {"tls.crt": ""}, ["tls.key"]),
        ("kubernetes.io/basic-auth", {}, ["username", "password"]),
        ("kubernetes.io/basic-auth", {"username": ""}, []),
        ("kubernetes.io/ssh-auth", {"ssh-privatekey": ""}, ["ssh-privatekey"]),
        ("kubernetes.io/dockerconfigjson", {}, [".dockerconfigjson"]),
    ],
)
async def test_secrets_of_a_type_hold_what_it_says(http, kind, data, missing):
    body = {"metadata": {"name": "s"}, "type": kind, "data": data}
    answer = await http.post(f"{CORE}/secrets", json=body)
    assert answer.status_code == (422 if missing else 201)
    if missing:
        causes = answer.json()["details"]["causes"]
        assert [cause["field"] for cause in causes] == [f"data[{key}]" for key in missing]


async def test_a_name_is_taken_until_its_object_is_gone(http):
    body = {"metadata": {"name": "s", "finalizers": ["example.com/f"]}}
    await http.post(f"{CORE}/secrets", json=body)
    await http.delete(f"{CORE}/secrets/s")
    answer = await http.post(f"{CORE}/secrets", json=body)
    assert answer.status_code == 409
    assert answer.json()["message"] == 'object is being deleted: secrets "s" already exists'


@pytest.mark.parametrize("spec", [{"leaseDurationSeconds": 0}, {"leaseTransitions": -1}])
async def test_leases_that_make_no_sense(http, spec):
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    answer = await http.post(path, json={"metadata": {"name": "l"}, "spec": spec})
    assert answer.status_code == 422
    assert answer.json()["details"]["causes"][0]["field"] == f"spec.{next(iter(spec))}"
