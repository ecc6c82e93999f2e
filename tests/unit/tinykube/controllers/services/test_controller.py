from __future__ import annotations

import json

import pytest

from tinykube import kinds, objects
from tinykube.controllers.garbage import Collector
from tinykube.controllers.services.controller import EndpointsController
from tinykube.controllers.services.naming import Naming
from tinykube.controllers.services.proxy import routes
from tinykube.options import Deletion
from tinykube.rbac import Caller

USER = Caller("someone")


@pytest.fixture
def settle(registry):
    loops = [EndpointsController(registry), Collector(registry)]
    for loop in loops:
        loop.load()

    def run():
        for _ in range(10):
            for loop in loops:
                loop.step()

    return run


@pytest.fixture
def serve(create, registry, pod):
    """A pod that is ready at an address."""

    def make(name, address, ready=True, **labels):
        body = pod(name)
        body["metadata"]["labels"] = labels or {"app": "web"}
        create(kinds.PODS, body)

        def change(current):
            current["status"]["podIP"] = address
            current["status"]["phase"] = "Running"
            current["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]
            return True

        registry.modify(kinds.PODS, "default", name, change)

    return make


def slices(store):
    found = [json.loads(row.data) for row in store.rows(kinds.SLICES.key)]
    return sorted(found, key=objects.name)


def addresses(store):
    return [
        (item["addresses"][0], item["conditions"]["ready"])
        for found in slices(store)
        for item in found["endpoints"]
    ]


def service(name="web", **spec):
    ports = [{"port": 8000, "targetPort": 8080}]
    body = {"selector": {"app": "web"}, "ports": ports, **spec}
    return {"metadata": {"name": name}, "spec": body}


def test_endpoints_follow_pods(create, settle, serve, registry, load, store):
    create(kinds.SERVICES, service(), caller=USER)
    settle()
    assert addresses(store) == []
    serve("one", "127.16.0.1")
    serve("two", "127.16.0.2", ready=False)
    serve("else", "127.16.0.3", app="other")
    settle()
    assert addresses(store) == [("127.16.0.1", True), ("127.16.0.2", False)]
    (subset,) = load(kinds.ENDPOINTS, "web")["subsets"]
    assert [item["ip"] for item in subset["addresses"]] == ["127.16.0.1"]
    assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
    registry.delete(kinds.PODS, "default", "one", Deletion())
    settle()
    assert addresses(store) == [("127.16.0.2", False)]
    (one,) = slices(store)
    assert one["metadata"]["generation"] > 1


def test_a_service_that_goes_takes_its_endpoints_along(create, settle, registry, load, store):
    create(kinds.SERVICES, service(), caller=USER)
    settle()
    assert load(kinds.ENDPOINTS, "web")
    registry.delete(kinds.SERVICES, "default", "web", Deletion())
    settle()
    assert load(kinds.ENDPOINTS, "web") is None
    assert slices(store) == []


def test_endpoints_by_hand_are_left_alone(create, settle, load):
    spec = service()
    del spec["spec"]["selector"]
    create(kinds.SERVICES, spec, caller=USER)
    subsets = [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]
    create(kinds.ENDPOINTS, {"metadata": {"name": "web"}, "subsets": subsets})
    settle()
    assert load(kinds.ENDPOINTS, "web")["subsets"][0]["addresses"] == [{"ip": "10.0.0.1"}]


def test_what_was_written_into_them_does_not_stay(create, settle, registry, load, serve):
    create(kinds.SERVICES, service(), caller=USER)
    serve("one", "127.16.0.1")
    settle()

    def spoil(current):
        del current["subsets"]
        return True

    registry.modify(kinds.ENDPOINTS, "default", "web", spoil)
    settle()
    assert load(kinds.ENDPOINTS, "web")["subsets"]


def test_routes_go_to_ready_pods(create, settle, serve, load, store):
    made = create(kinds.SERVICES, service(), caller=USER)
    serve("one", "127.16.0.1")
    serve("two", "127.16.0.2", ready=False)
    settle()
    (route,) = routes(load(kinds.SERVICES, "web"), slices(store))
    assert (route.listen, route.port) == (made["spec"]["clusterIP"], 8000)
    assert route.targets == (("127.16.0.1", 8080),)


def test_names_are_told_when_they_change(create, settle, serve, registry):
    told = []
    naming = Naming(registry, told.append)
    create(kinds.SERVICES, service(clusterIP="None"), caller=USER)
    serve("one", "127.16.0.1")
    settle()
    naming.step()
    assert told[-1].hosts("default")["127.16.0.1"][0] == "web"
    naming.step()
    assert len(told) == 1
