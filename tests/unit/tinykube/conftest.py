"""A control plane without a server: the operations on a fresh database, and its API in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from tinykube import bootstrap, kinds, patch, pki
from tinykube.api import Api, Context
from tinykube.node.client import LogOptions, LogsError
from tinykube.options import Options
from tinykube.rbac import SYSTEM
from tinykube.registry import Registry
from tinykube.status import ApiError
from tinykube.store import Store
from tinykube.tokens import Tokens
from tinykube.watch import Hub


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    opened = Store(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def registry(store) -> Registry:
    made = Registry(store)
    made.root_ca = "the authority"
    bootstrap.run(made)
    return made


@pytest.fixture
def hub(store, registry) -> Hub:
    made = Hub(store)
    registry.catalog.listen(made.end)
    return made


@pytest.fixture
def create(registry):
    """Create an object as the administrator; gives it back as stored."""

    def make(resource, body, namespace="default", caller=SYSTEM, **options):
        space = namespace if resource.namespaced else ""
        return json.loads(registry.create(resource, space, body, caller, Options(**options)).data)

    return make


@pytest.fixture
def refused():
    """Run a call that must fail; gives the error."""

    def run(call, *arguments, **options):
        with pytest.raises(ApiError) as caught:
            call(*arguments, **options)
        return caught.value

    return run


@pytest.fixture
def load(registry):
    """Read an object, None if it is gone."""

    def read(resource, name, namespace="default"):
        return registry.store.load(resource.key, namespace if resource.namespaced else "", name)

    return read


@pytest.fixture
def pod():
    """The body of a pod."""

    def make(name="one", requests=None, **spec):
        container = {"name": "main", "image": "python:3.11", "command": ["true"]}
        if requests:
            container["resources"] = {"requests": requests}
        return {
            "metadata": {"name": name},
            "spec": {"restartPolicy": "Never", "containers": [container], **spec},
        }

    return make


@pytest.fixture
def secret():
    """The body of a secret."""

    def make(name="s", **fields):
        return {"metadata": {"name": name, **fields.pop("metadata", {})}, **fields}

    return make


@pytest.fixture
def put(registry):
    """Update an object with a whole body."""

    def make(body, resource=kinds.SECRETS, **options):
        name = body["metadata"]["name"]
        return registry.update(resource, "default", name, body, SYSTEM, Options(), **options)

    return make


@pytest.fixture
def change(registry):
    """Patch an object; gives it back as stored."""

    def make(name, body, kind=patch.MERGE_PATCH, resource=kinds.SECRETS, **options):
        flags = {key: options.pop(key) for key in ("manager", "force") if key in options}
        place = (resource, "default", name)
        written = registry.patch(*place, kind, body, SYSTEM, Options(**flags), **options)
        return json.loads(written.data)

    return make


@pytest.fixture
def node(create, registry):
    """Register a node of a given size."""

    def make(name="node", ready=True, labels=None, **capacity):
        size = {"cpu": "4", "memory": "8Gi", "pods": "10", **capacity}
        create(kinds.NODES, {"metadata": {"name": name, "labels": labels or {}}})

        def fill(current):
            current["status"] = {
                "allocatable": size,
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            }
            return True

        registry.modify(kinds.NODES, "", name, fill)

    return make


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> pki.Pki:
    return pki.prepare(tmp_path_factory.mktemp("keys") / "pki", "127.0.0.1")


@pytest.fixture
def tokens(store, keys) -> Tokens:
    return Tokens(store, keys.signer, keys.admin_token)


class FakeLogs:
    """Logs by container; one that is missing has not started."""

    def __init__(self) -> None:
        self.texts: dict[str, list[bytes]] = {}
        self.asked: list[LogOptions] = []

    async def logs(self, pod, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if container not in self.texts:
            raise LogsError(f'container "{container}" is waiting to start')
        for chunk in self.texts[container]:
            yield chunk


@pytest.fixture
def logs() -> FakeLogs:
    return FakeLogs()


@pytest.fixture
def app(registry, hub, tokens, logs):
    return Api(Context(registry, hub, tokens, logs, "127.0.0.1:1")).app()


@pytest.fixture
def admin(keys) -> str:
    return keys.admin_token.read_text()


@pytest.fixture
async def http(app, admin) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app),
        base_url="https://kube",
        headers={"Authorization": f"Bearer {admin}"},
    ) as client:
        yield client


@pytest.fixture
def account(create, tokens):
    """A service account's token, with a role of the given rules everywhere."""

    def make(name, rules=()):
        made = create(kinds.SERVICE_ACCOUNTS, {"metadata": {"name": name}})
        if rules:
            create(kinds.CLUSTER_ROLES, {"metadata": {"name": name}, "rules": list(rules)})
            create(
                kinds.CLUSTER_ROLE_BINDINGS,
                {
                    "metadata": {"name": name},
                    "roleRef": {"kind": "ClusterRole", "name": name},
                    "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
                },
            )
        return tokens.issue(made, [], 3600).token

    return make


class Exchange:
    """One request straight to the ASGI application: its answer is read piece by piece."""

    def __init__(self, app, path, query="", token="", headers=(), method="GET"):
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"authorization", b"Bearer " + token.encode()), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        self.app = app
        self.sent = asyncio.Queue()
        self.gone = asyncio.Event()
        self.asked = False
        self.blocked = asyncio.Event()
        self.blocked.set()

    async def __aenter__(self):
        self.task = asyncio.create_task(self.app(self.scope, self.receive, self.send))
        start = await asyncio.wait_for(self.sent.get(), 5)
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return self

    async def __aexit__(self, *_):
        self.gone.set()
        await asyncio.wait_for(self.task, 5)

    async def receive(self):
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        await self.blocked.wait()
        await self.sent.put(message)

    async def events(self, number):
        """So many events of a watch."""
        text = b""
        while text.count(b"\n") < number:
            message = await asyncio.wait_for(self.sent.get(), 5)
            text += message.get("body", b"")
            assert message.get("more_body", False) or text.count(b"\n") >= number
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def exchange(app, admin):
    def make(path, query="", **options):
        return Exchange(app, path, query, options.pop("token", admin), **options)

    return make
