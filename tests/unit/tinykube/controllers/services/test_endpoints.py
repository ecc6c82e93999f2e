"""What stands behind services; the objects are those of a real controller manager (1.37)."""

from __future__ import annotations

from tinykube.controllers.services import endpoints


def service(name="a", headless=False, labels=None, **spec):
    address = "None" if headless else "127.20.128.1"
    port = {"name": "w", "port": 80, "targetPort": "web", "protocol": "TCP"}
    return {
        "metadata": {"name": name, "namespace": "s", "uid": "service", "labels": labels or {}},
        "spec": {"selector": {"a": "b"}, "clusterIP": address, "ports": [port], **spec},
    }


def pod(name, address, ready=True, labels=None, phase="Running", port=8080, **spec):
    ports = [{"name": "web", "containerPort": port, "protocol": "TCP"}]
    return {
        "metadata": {
            "name": name,
            "namespace": "s",
            "uid": f"uid-{name}",
            "labels": labels or {"a": "b", "more": "x"},
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": ports}], **spec},
        "status": {
            "phase": phase,
            "podIP": address,
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def reference(name):
    return {"kind": "Pod", "namespace": "s", "name": name, "uid": f"uid-{name}"}


PODS = [
    pod("p2", "10.9.0.2", ready=False),
    pod("p1", "10.9.0.1", hostname="p1", subdomain="hl"),
    pod("other", "10.9.0.3", labels={"a": "c"}),
    pod("over", "10.9.0.4", phase="Succeeded"),
    pod("new", ""),
]


def test_an_endpoints_object():
    owner = service("hl", headless=True)
    assert endpoints.body(owner, endpoints.of(owner, PODS)) == {
        "metadata": {
            "name": "hl",
            "labels": {
                "endpoints.kubernetes.io/managed-by": "endpoint-controller",
                "service.kubernetes.io/headless": "",
            },
        },
        "subsets": [
            {
                "addresses": [
                    {
                        "hostname": "p1",
                        "ip": "10.9.0.1",
                        "nodeName": "n1",
                        "targetRef": reference("p1"),
                    }
                ],
                "notReadyAddresses": [
                    {"ip": "10.9.0.2", "nodeName": "n1", "targetRef": reference("p2")}
                ],
                "ports": [{"name": "w", "port": 8080, "protocol": "TCP"}],
            }
        ],
    }


def test_a_slice():
    owner = service()
    (made,) = endpoints.slices(owner, endpoints.of(owner, PODS))
    assert made == {
        "metadata": {
            "generateName": "a-",
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": "a",
            },
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "blockOwnerDeletion": True,
                    "controller": True,
                    "kind": "Service",
                    "name": "a",
                    "uid": "service",
                }
            ],
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["10.9.0.1"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": "n1",
                "targetRef": reference("p1"),
            },
            {
                "addresses": ["10.9.0.2"],
                "conditions": {"ready": False, "serving": False, "terminating": False},
                "nodeName": "n1",
                "targetRef": reference("p2"),
            },
        ],
        "ports": [{"name": "w", "port": 8080, "protocol": "TCP"}],
    }


def test_all_addresses_where_the_service_wants_them():
    owner = service(publishNotReadyAddresses=True)
    (made,) = endpoints.slices(owner, endpoints.of(owner, PODS))
    conditions = [item["conditions"] for item in made["endpoints"]]
    assert [item["ready"] for item in conditions] == [True, True]
    assert [item["serving"] for item in conditions] == [True, False]
    (subset,) = endpoints.body(owner, endpoints.of(owner, PODS))["subsets"]
    assert len(subset["addresses"]) == 2


def test_a_pod_that_ends_takes_no_more():
    leaving = pod("p1", "10.9.0.1")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = endpoints.of(service(), [leaving])
    (made,) = endpoints.slices(service(), found)
    conditions = {"ready": False, "serving": True, "terminating": True}
    assert made["endpoints"][0]["conditions"] == conditions
    assert "subsets" not in endpoints.body(service(), found)


def test_pods_whose_named_port_differs_are_apart():
    found = endpoints.of(service(), [pod("p1", "10.9.0.1"), pod("p2", "10.9.0.2", port=9090)])
    made = endpoints.slices(service(), found)
    assert [item["ports"][0]["port"] for item in made] == [8080, 9090]


def test_many_endpoints_are_several_slices():
    pods = [pod(f"p{number:03}", f"10.9.1.{number % 250}") for number in range(250)]
    made = endpoints.slices(service(), endpoints.of(service(), pods))
    assert [len(item["endpoints"]) for item in made] == [100, 100, 50]


def test_a_service_without_pods_has_an_empty_slice():
    (made,) = endpoints.slices(service(), [])
    assert made["endpoints"] == []
    assert "ports" not in made
