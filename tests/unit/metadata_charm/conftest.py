"""The charm in ops.testing: a context, and a state in which all is well."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import yaml
from ops import testing

from toolkit_charm import probe

FOLDER = Path(__file__).parents[3] / "charms" / "metadata"
BIND = "10.1.2.3"
INGRESS = "10.152.183.9"


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


@pytest.fixture(scope="session")
def charm():
    return load_charm(FOLDER)


def context_for(charm, unit=0):
    metadata = yaml.safe_load((FOLDER / "charmcraft.yaml").read_text())
    return testing.Context(charm.MetadataCharm, meta=metadata, app_name="metadata", unit_id=unit)


@pytest.fixture
def context(charm):
    return context_for(charm)


class Server:
    """What answers the charm's HTTP requests in place of the workload."""

    def __init__(self):
        self.ready = True
        self.silent = 0  # so many more requests are not answered
        self.version = "3.17.2"
        self.store = {"uri": "", "problem": "", "transient": False}
        self.asked = []

    def get(self, url, *, token=None, timeout=2.0):
        self.asked.append((url, token))
        self.silent -= 1
        if not self.ready or self.silent >= 0:
            return None
        if url.endswith("/artifact-store"):
            return 200, json.dumps(self.store)
        return (200, f"{self.version}\n" if url.endswith("/version") else "")


@pytest.fixture(autouse=True)
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr(probe, "get", server.get)
    # A clock that passes as fast as it is read, so that no test waits.
    ticks = iter(range(10**9))
    monkeypatch.setattr(probe.time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(probe.time, "sleep", lambda seconds: None)
    return server


@pytest.fixture
def container(tmp_path):
    # A mount, so that pushed files outlive one run as they do in a container.
    mount = testing.Mount(location="/etc/toolkit", source=tmp_path)
    return testing.Container("metadata", can_connect=True, mounts={"etc": mount})


@pytest.fixture
def peers():
    return testing.PeerRelation("replicas")


@pytest.fixture
def state(container, peers):
    network = testing.Network(
        "metadata",
        [testing.BindAddress([testing.Address(BIND)])],
        ingress_addresses=[INGRESS],
    )
    return testing.State(
        leader=True,
        containers=[container],
        storages=[testing.Storage("data")],
        networks={network},
        relations=[peers],
        model=testing.Model("ml", type="kubernetes"),
    )


@pytest.fixture
def running(context, state, container):
    """The state after the charm has once brought everything up."""
    return context.run(context.on.pebble_ready(container), state)


def with_config(state, **options):
    named = {name.replace("_", "-"): value for name, value in options.items()}
    return dataclasses.replace(state, config={**state.config, **named})


def status_of_service(state):
    return state.get_container("metadata").service_statuses["metadata"]
