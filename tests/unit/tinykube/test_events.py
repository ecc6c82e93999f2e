import json
from datetime import UTC, datetime, timedelta

import pytest

from tinykube import events, kinds, objects


def stored(store):
    return [json.loads(row.data) for row in store.rows(kinds.EVENTS.key)]


def test_the_same_event_is_counted(create, registry, store, pod):
    about = create(kinds.PODS, pod())
    for _ in range(3):
        events.record(registry, about, "Warning", "Bad", "it is bad", component="kubelet")
    events.record(registry, about, "Warning", "Bad", "worse", component="kubelet")
    found = {item["message"]: item for item in stored(store)}
    assert found["it is bad"]["count"] == 3
    assert found["worse"]["count"] == 1
    assert found["worse"]["involvedObject"]["uid"] == about["metadata"]["uid"]
    assert found["worse"]["source"] == {"component": "kubelet"}


@pytest.mark.parametrize("version", ["7", ""])
def test_an_event_is_what_a_creation_makes_of_it(
    create, registry, store, pod, monkeypatch, version
):
    about = create(kinds.PODS, pod())
    about["metadata"]["resourceVersion"] = version
    monkeypatch.setattr(objects, "now", lambda: "2026-01-02T03:04:05Z")
    events.record(registry, about, "Normal", "Started", "it runs", component="kubelet")
    (found,) = stored(store)
    given = {"metadata": {"name": "other"}} | {
        key: value
        for key, value in found.items()
        if key not in ("apiVersion", "kind", "metadata", "eventTime", "reportingInstance")
    }
    made = create(kinds.EVENTS, given, manager="kubelet")
    for event in (found, made):
        for key in ("name", "uid", "resourceVersion"):
            del event["metadata"][key]
    assert json.dumps(found) == json.dumps(made)


def test_long_messages_are_cut(create, registry, store, pod):
    about = create(kinds.PODS, pod())
    events.record(registry, about, "Normal", "Long", "x" * 5000, component="c")
    assert len(stored(store)[0]["message"]) == 1024


def test_an_event_about_something_whose_namespace_is_gone_is_dropped(registry, store, pod):
    about = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "namespace": "gone", "uid": "u"},
    }
    events.record(registry, about, "Normal", "R", "m", component="c")
    assert stored(store) == []


def test_old_events_go(create, registry, store, pod):
    about = create(kinds.PODS, pod())
    events.record(registry, about, "Normal", "R", "m", component="c")
    now = datetime.now(UTC)
    assert events.sweep(registry, now + timedelta(minutes=59)) == 0
    assert events.sweep(registry, now + timedelta(minutes=61)) == 1
    assert stored(store) == []
