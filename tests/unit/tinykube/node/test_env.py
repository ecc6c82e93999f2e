from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube.node import env
from tinykube.node.client import JSON, Endpoint, NotFoundError
from tinykube.node.env import ConfigError, Host

HOST = Host("node-1", "127.0.0.1", {"cpu": "4", "memory": "8Gi"})
POD: JSON = {
    "metadata": {
        "name": "p-0",
        "namespace": "ns",
        "uid": "u-1",
        "labels": {"app": "x", "b": 'quo"te'},
        "annotations": {"note.io/a": "line\nbreak"},
    },
    "spec": {"serviceAccountName": "sa", "containers": []},
}


class Api:
    endpoint = Endpoint("127.0.0.1", 6443, "PEM")

    def __init__(self, objects: dict[tuple[str, str], JSON]) -> None:
        self.objects = objects
        self.reads = 0

    async def get(self, kind: str, namespace: str | None, name: str) -> JSON:
        self.reads += 1
        try:
            return self.objects[kind, name]
        except KeyError:
            raise NotFoundError(name) from None


API = {
    ("Secret", "s"): {"data": {"token": base64.b64encode(b"t0k").decode(), "bin": "AAA="}},
    ("ConfigMap", "c"): {"data": {"A": "1", "B": "2"}, "binaryData": {"C": "Mw=="}},
}


async def build(container: dict[str, Any]) -> dict[str, str]:
    return await env.build(POD, {"name": "main", **container}, Api(API), HOST)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$$", "$"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert env.expand(text, {"A": "1", "B": "2"}) == expected


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_text_without_a_dollar_stays_as_it_is(text: str, variables: dict[str, str]) -> None:
    plain = text.replace("$", "")

    assert env.expand(plain, variables) == plain


async def test_every_pod_finds_the_api_and_knows_its_host_name() -> None:
    found = await build({})

    assert found["KUBERNETES_SERVICE_HOST"] == "127.0.0.1"
    assert found["KUBERNETES_SERVICE_PORT"] == "6443"
    assert found["HOSTNAME"] == "p-0"


async def test_values_follow_each_other() -> None:
    found = await build(
        {
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)2 $(LATER) $(HOSTNAME)"},
                {"name": "LATER", "value": "x"},
                {"name": "EMPTY"},
            ]
        }
    )

    assert (found["B"], found["EMPTY"]) == ("12 $(LATER) p-0", "")


async def test_sources() -> None:
    found = await build(
        {
            "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "250m"}},
            "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "P_"}],
            "env": [
                {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "C"}}},
                *(
                    {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                    for name, path in {
                        "NAME": "metadata.name",
                        "NODE": "spec.nodeName",
                        "IP": "status.podIP",
                        "LABEL": "metadata.labels['app']",
                        "NONE": "metadata.annotations['none']",
                    }.items()
                ),
                *(
                    {"name": name, "valueFrom": {"resourceFieldRef": reference}}
                    for name, reference in {
                        "MEM": {"resource": "limits.memory", "divisor": "1Mi"},
                        "CPU": {"resource": "limits.cpu"},
                        "REQ": {"resource": "requests.cpu"},
                    }.items()
                ),
            ],
        }
    )

    assert {key: found[key] for key in ("P_A", "P_B", "P_C", "T", "C")} == {
        "P_A": "1",
        "P_B": "2",
        "P_C": "3",
        "T": "t0k",
        "C": "3",
    }
    assert [found[key] for key in ("NAME", "NODE", "IP", "LABEL", "NONE")] == [
        *("p-0", "node-1", "127.0.0.1", "x", "")
    ]
    assert (found["MEM"], found["CPU"], found["REQ"]) == ("1024", "4", "1")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "couldn't find key k in Secret ns/s"),
        ({"secretKeyRef": {"name": "s", "key": "bin"}}, "couldn't find key bin"),
        ({"fieldRef": {"fieldPath": "spec.secret"}}, "is not one that a pod can ask for"),
    ],
)
async def test_what_is_missing_is_named(source: JSON, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        await build({"env": [{"name": "X", "valueFrom": source}]})


@pytest.mark.parametrize("name", ["none", "s"])
async def test_what_is_optional_may_be_missing(name: str) -> None:
    source = {"secretKeyRef": {"name": name, "key": "k", "optional": True}}

    found = await build(
        {
            "envFrom": [{"secretRef": {"name": "none", "optional": True}}],
            "env": [{"name": "X", "valueFrom": source}],
        }
    )

    assert "X" not in found


async def test_one_object_is_read_once() -> None:
    api = Api(API)
    variables: Sequence[JSON] = [
        {"name": n, "valueFrom": {"configMapKeyRef": {"name": "c", "key": n}}} for n in "AB"
    ]

    await env.build(POD, {"name": "main", "env": variables}, api, HOST)  # type: ignore[arg-type]

    assert api.reads == 1


def test_tables_of_labels_are_quoted() -> None:
    assert env.field(POD, "metadata.labels", HOST) == 'app="x"\nb="quo\\"te"'
    assert env.field(POD, "metadata.annotations", HOST) == 'note.io/a="line\\nbreak"'


def test_a_host_name_has_63_characters_at_most() -> None:
    pod = {"metadata": {"name": "a" * 62 + "-" + "b"}, "spec": {}}

    assert env.hostname(pod) == "a" * 62
