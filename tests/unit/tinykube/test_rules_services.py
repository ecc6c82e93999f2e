"""Services: defaults, addresses, refusals; the words are those of a real API server (1.37)."""

from __future__ import annotations

import pytest

from tinykube import kinds
from tinykube.node.client import JSON
from tinykube.options import Options
from tinykube.rbac import Caller
from tinykube.status import ApiError

USER = Caller("someone")
P80 = [{"port": 80}]


def service(name="x", **spec) -> JSON:
    return {"metadata": {"name": name}, "spec": spec}


@pytest.fixture
def make(create):
    return lambda *args, **spec: create(kinds.SERVICES, service(*args, **spec), caller=USER)


def test_defaults(make, registry):
    made = make(selector={"a": "b"}, ports=P80)
    address = made["spec"].pop("clusterIP")
    assert registry.subnet.serves(address)
    assert made["spec"] == {
        "selector": {"a": "b"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "clusterIPs": [address],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    assert made["status"] == {"loadBalancer": {}}


def test_each_has_an_address_of_its_own(make):
    found = {make(f"s{number}", ports=P80)["spec"]["clusterIP"] for number in range(5)}
    assert len(found) == 5


def test_one_without_an_address_and_one_for_another_name(make):
    free = make("h", clusterIP="None")["spec"]
    assert free["clusterIPs"] == ["None"]
    # Its endpoints may be of any family.
    assert (free["ipFamilyPolicy"], free["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])
    chosen = make("c", clusterIP="None", selector={"a": "b"})["spec"]
    assert (chosen["ipFamilyPolicy"], chosen["ipFamilies"]) == ("SingleStack", ["IPv4"])
    spec = make("e", type="ExternalName", externalName="example.com")["spec"]
    assert spec == {
        "type": "ExternalName",
        "externalName": "example.com",
        "sessionAffinity": "None",
    }


@pytest.mark.parametrize(
    ("spec", "faults"),
    [
        ({}, ["spec.ports: Required value"]),
        (
            {"ports": [{"port": 0}]},
            [
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, "
                "inclusive",
            ],
        ),
        (
            {"ports": [{"port": 80}, {"port": 81}]},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
            ['spec.ports[1].name: Duplicate value: "a"'],
        ),
        (
            {"ports": [{"port": 80, "protocol": "X"}]},
            [
                'spec.ports[0].protocol: Unsupported value: "X": supported values: "SCTP", '
                '"TCP", "UDP"'
            ],
        ),
        (
            {"ports": [{"port": 80, "targetPort": "A_B"}]},
            [
                'spec.ports[0].targetPort: Invalid value: "A_B": must contain only '
                "alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                'spec.ports[0].targetPort: Invalid value: "A_B": must contain at least one '
                "letter (a-z)",
            ],
        ),
        (
            {"clusterIP": "x", "ports": P80},
            [
                'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. '
                "10.9.8.7 or 2001:db8::ffff)"
            ],
        ),
        (
            {"clusterIP": "1.2.3.4", "ports": P80},
            [
                'spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the '
                "provided network does not match the current range"
            ],
        ),
        (
            {"type": "NodePort", "ports": P80},
            ["spec.type: Forbidden: services are not reached from outside of this machine"],
        ),
        (
            {"type": "Nothing", "sessionAffinity": "ClientIP", "ports": P80},
            [
                'spec.type: Unsupported value: "Nothing": supported values: "ClusterIP", '
                '"ExternalName", "LoadBalancer", "NodePort"'
            ],
        ),
        (
            {"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 80}]},
            [
                'spec.ports[1].name: Duplicate value: "a"',
                'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,'
                '"Port":80,"TargetPort":0,"NodePort":0}',
            ],
        ),
        ({"type": "ExternalName"}, ["spec.externalName: Required value"]),
        (
            {"ports": P80, "sessionAffinity": "ClientIP"},
            ["spec.sessionAffinity: Forbidden: connections are balanced in turn"],
        ),
        (
            {"ports": P80, "ipFamilies": ["IPv6"]},
            ['spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'],
        ),
        (
            {"ports": P80, "ipFamilyPolicy": "RequireDualStack"},
            [
                'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not '
                "configured for dual-stack services"
            ],
        ),
        (
            {"ports": [{"port": 0}], "ipFamilies": ["IPv5", "IPv5"]},
            [
                'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
                'spec.ipFamilies[1]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
                'spec.ipFamilies[1]: Duplicate value: "IPv5"',
            ],
        ),
        (
            {"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.0.0.1"},
            ["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
        ),
        (
            {"ports": [{"port": 53, "protocol": "UDP"}]},
            [
                "spec.ports[0].protocol: Forbidden: only TCP is balanced here; a headless service "
                "names the pods themselves"
            ],
        ),
    ],
)
def test_refusals(make, spec, faults):
    with pytest.raises(ApiError) as caught:
        make(**spec)
    assert caught.value.code == 422
    assert [str(cause) for cause in caught.value.causes] == faults


def test_names_have_no_dots(make):
    with pytest.raises(ApiError, match=r'metadata.name: Invalid value: "a.b": must not contain'):
        make("a.b", ports=P80)


def test_an_address_is_nobody_elses_and_stays(make, registry, create):
    address = make("a", ports=P80)["spec"]["clusterIP"]
    with pytest.raises(ApiError, match="provided IP is already allocated"):
        make("b", ports=P80, clusterIP=address)
    free = registry.subnet.service({address})
    assert make("c", ports=P80, clusterIP=free)["spec"]["clusterIP"] == free

    def update(body):
        registry.update(kinds.SERVICES, "default", "a", body, USER, Options())

    update(service("a", ports=[{"port": 81}]))
    kept = registry.store.load(kinds.SERVICES.key, "default", "a")["spec"]
    assert (kept["clusterIP"], kept["ports"][0]["port"]) == (address, 81)
    with pytest.raises(ApiError, match=r"spec.clusterIPs\[0\]: .* may not change once set"):
        update(service("a", ports=P80, clusterIP=registry.subnet.service({address, free})))
