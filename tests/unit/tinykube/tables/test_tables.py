"""Rows and columns as a Kubernetes 1.37.2 API server gave them for the same objects."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tinykube import kinds, tables
from tinykube.kinds import Column, Resource

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
AGES = {"Age", "Last Seen", "First Seen"}
CUSTOM = Resource("g.example", "v1", "things", "Thing", namespaced=True, shape=kinds.PODS.shape)


def resource(key):
    plural, _, group = key.partition(".")
    return Resource(group, "v1", plural, "X", namespaced=True, shape=kinds.PODS.shape)


def known(key):
    found = {item.key: item for item in kinds.STORED}
    return found.get(key)


@pytest.mark.parametrize(
    "entry",
    RECORDED["rows"],
    ids=lambda entry: f"{entry['resource']}-{entry['object']['metadata']['name']}",
)
def test_a_row_is_what_kubernetes_shows(entry):
    served = known(entry["resource"]) or resource(entry["resource"])
    headings = RECORDED["columns"][entry["resource"]]
    found = tables.definitions(served)
    assert [{key: item[key] for key in headings[0]} for item in found] == headings
    row = tables.row(served, entry["object"], "None")
    cells = [
        "AGE" if head["name"] in AGES and re.match(r"\d+[smhdy]", str(cell)) else cell
        for head, cell in zip(headings, row["cells"], strict=True)
    ]
    assert cells == entry["cells"]
    # The reason alone is compared: the message is ours.
    words = [(item["type"], item["reason"]) for item in row.get("conditions", ())]
    assert words == [(item["type"], item["reason"]) for item in entry.get("conditions", ())]


def test_what_goes_with_a_row():
    obj = {"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"s": 1}}
    assert tables.row(CUSTOM, obj, "None")["object"] is None
    assert tables.row(CUSTOM, obj, "Object")["object"] == obj
    assert tables.row(CUSTOM, obj, "Metadata")["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }


def test_a_custom_kind_has_name_and_age():
    names = [item["name"] for item in tables.definitions(CUSTOM)]
    assert names == ["Name", "Age"]
    obj = {"metadata": {"name": "x", "creationTimestamp": "2000-01-01T00:00:00Z"}}
    assert re.fullmatch(r"\d+y", tables.row(CUSTOM, obj, "None")["cells"][1])


def test_a_custom_kinds_own_columns():
    columns = (
        Column("Replicas", "integer", ".spec.replicas", priority=1),
        Column("Share", "number", ".spec.share"),
        Column("On", "boolean", ".spec.on"),
        Column("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Labels", "string", ".metadata.labels"),
        Column("Since", "date", ".spec.since"),
    )
    shown = replace(CUSTOM, columns=columns)
    definitions = tables.definitions(shown)
    assert [(item["name"], item["priority"]) for item in definitions][:2] == [
        ("Name", 0),
        ("Replicas", 1),
    ]
    obj = {
        "metadata": {"name": "x", "labels": {"a": "b"}},
        "spec": {"replicas": 3, "share": 0.5, "on": False, "since": "2999-01-01T00:00:00Z"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    cells = tables.row(shown, obj, "None")["cells"]
    assert cells == ["x", 3, 0.5, False, "True", '{"a":"b"}', "<invalid>"]
    bare = {"metadata": {"name": "x"}, "spec": {"replicas": "three", "share": True, "on": 1}}
    assert tables.row(shown, bare, "None")["cells"] == ["x"] + [None] * 6
