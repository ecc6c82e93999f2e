"""The charm in ops.testing, over a Kubernetes API that is a few lists."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx2
import lightkube
import pytest
import yaml
from lightkube import ApiError
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import PersistentVolumeClaim, Secret
from lightkube.types import PatchType
from ops import testing

from toolkit_charm import probe

FOLDER = Path(__file__).parents[3] / "charms" / "pipelines"
BIND = "10.1.2.3"
INGRESS = "10.152.183.9"
STEP_IMAGE = "process.local/step@sha256:0123"


def load_charm(folder):
    """Import a charm whose modules may bear the same names as another charm's."""
    names = [path.stem for path in (folder / "src").glob("*.py")]
    sys.path.insert(0, str(folder / "src"))
    try:
        for name in names:
            sys.modules.pop(name, None)
        return __import__("charm")
    finally:
        sys.path.remove(str(folder / "src"))
        for name in names:
            sys.modules.pop(name, None)


class Cluster:
    """Stands in for the API: claims by storage, secrets by name, what else is kept by kind."""

    def __init__(self):
        # Other clusters, by their server.
        self.others = {}
        self.namespace = "ml"
        self.away = False
        self.trusted = True
        self.present = True
        self.claims = {
            storage: f"pipelines-{storage}-1a2b3c4d-pipelines-0"
            for storage in ("state", "pipeline-root", "environments")
        }
        self.secrets = {}
        self.kept = {}
        self.stateful_set = None
        self.patches = []
        self.calls = []

    def client(self, **options):
        if not self.present:
            raise lightkube.core.exceptions.ConfigError("no configuration")
        self.calls.append(("client", options))
        if options.get("config") is not None:
            other = self.other(options["config"].cluster.server)
            other.namespace = options["namespace"]
            return other
        return self

    def other(self, server):
        return self.others.setdefault(server, Cluster())

    @property
    def elsewhere(self):
        return self.other("https://10.0.0.9:6443")

    def _answer(self, code):
        request = httpx2.Request("GET", "http://kubernetes")
        status = {"code": code, "message": "no", "reason": "no"}
        response = httpx2.Response(code, json=status, request=request)
        return ApiError(request=request, response=response)

    def _check(self):
        if self.away:
            raise httpx2.ConnectError("nobody there")
        if not self.trusted:
            raise self._answer(403)

    def list(self, resource, *, labels, namespace=None):
        self._check()
        if resource is not PersistentVolumeClaim or "storage.juju.is/name" not in labels:
            return [
                each
                for (kind, _), each in self.kept.items()
                if kind is resource and labels.items() <= each.metadata.labels.items()
            ]
        assert namespace == "ml"
        assert labels["app.kubernetes.io/name"] == "pipelines"
        name = self.claims.get(labels["storage.juju.is/name"])
        names = [name] if name else []
        return [SimpleNamespace(metadata=SimpleNamespace(name=each)) for each in names]

    def get(self, resource, name, *, namespace):
        self._check()
        assert (resource, name, namespace) == (StatefulSet, "pipelines", "ml")
        if self.stateful_set is None:
            raise self._answer(404)
        return self.stateful_set

    def patch(self, resource, name, body, *, namespace, patch_type, field_manager, force):
        self._check()
        assert (resource, name, namespace, force) == (StatefulSet, "pipelines", "ml", True)
        assert patch_type is PatchType.APPLY
        self.patches.append(body)

    def apply(self, made, *, force):
        self._check()
        assert force
        if isinstance(made, Secret):
            assert made.metadata.namespace == self.namespace
            self.secrets[made.metadata.name] = made.stringData
            return
        self.kept[type(made), made.metadata.name] = made

    def delete(self, resource, name, *, namespace=None, cascade=None):
        self._check()
        if resource is not Secret:
            del self.kept[resource, name]
            return
        if self.secrets.pop(name, None) is None:
            raise self._answer(404)


class Service:
    """What answers the charm's HTTP requests in place of the workload."""

    def __init__(self):
        self.ready = True
        self.waiting = {"steps": 0, "reasons": []}
        self.store = {"uri": "", "problem": "", "transient": False}
        self.missed = 0
        self.leads = 200
        self.health = 200, '{"multi_user": false, "version": "0.1.0"}'

    def get(self, url, *, token=None, timeout=2.0):
        if not self.ready:
            return None
        if url == f"http://{BIND}:8888/apis/v2beta1/waiting":
            assert token
            return 200, json.dumps(self.waiting)
        if url == f"http://{BIND}:8888/apis/v2beta1/artifact_store":
            assert token
            if self.missed:
                self.missed -= 1
                return None
            return self.store and (self.store.get("code", 200), json.dumps(self.store))
        if url == f"http://{BIND}:8888/leads":
            return self.leads, "{}"
        assert url == f"http://{BIND}:8888/healthz"
        return self.health


@pytest.fixture(scope="session")
def charm():
    return load_charm(FOLDER)


@pytest.fixture
def meta():
    return yaml.safe_load((FOLDER / "charmcraft.yaml").read_text())


@pytest.fixture
def context_for(charm, meta):
    """Give a function that makes a context for a unit number."""

    def make(unit=0):
        return testing.Context(charm.PipelinesCharm, meta=meta, app_name="pipelines", unit_id=unit)

    return make


@pytest.fixture
def context(context_for):
    return context_for()


@pytest.fixture(autouse=True)
def cluster(monkeypatch):
    cluster = Cluster()
    monkeypatch.setattr(lightkube, "Client", cluster.client)
    return cluster


@pytest.fixture(autouse=True)
def service(monkeypatch):
    service = Service()
    monkeypatch.setattr(probe, "get", service.get)
    # A clock that passes as fast as it is read, so that no test waits.
    ticks = iter(range(10**9))
    monkeypatch.setattr(probe.time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(probe.time, "sleep", lambda seconds: None)
    return service


@pytest.fixture
def etc(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


@pytest.fixture
def container(etc):
    # A mount, so that pushed files outlive one run as they do in a container.
    mount = testing.Mount(location="/etc/toolkit-pipelines", source=etc)
    return testing.Container("pipelines", can_connect=True, mounts={"etc": mount})


@pytest.fixture
def settings(etc):
    """Give a function that reads the settings that the workload would read."""
    return lambda: yaml.safe_load((etc / "settings.yaml").read_text())


@pytest.fixture
def state(container, tmp_path):
    network = testing.Network(
        "replicas",
        [testing.BindAddress([testing.Address(BIND)])],
        ingress_addresses=[INGRESS],
    )
    image = tmp_path / "step-image.yaml"
    image.write_text(f"registrypath: {STEP_IMAGE}\n")
    return testing.State(
        leader=True,
        containers=[container],
        storages=[testing.Storage(name) for name in ("state", "pipeline-root", "environments")],
        networks={network},
        relations=[testing.PeerRelation("replicas")],
        resources={testing.Resource(name="step-image", path=image)},
        model=testing.Model("ml", type="kubernetes"),
        planned_units=1,
    )


@pytest.fixture
def running(context, state, container):
    """The state after the charm has once brought everything up."""
    return context.run(context.on.pebble_ready(container), state)


@pytest.fixture
def metadata_secret():
    return testing.Secret({"token": "m" * 43}, owner=None)


@pytest.fixture
def related(state, metadata_secret):
    """The state with a metadata service that has published itself."""
    relation = testing.Relation(
        "metadata",
        remote_app_name="metadata",
        remote_app_data={
            "schema_version": "1",
            "url": '"http://10.152.183.7:5000"',
            "secret_id": f'"{metadata_secret.id}"',
        },
    )
    return dataclasses.replace(
        state, relations=[*state.relations, relation], secrets=[metadata_secret]
    )
