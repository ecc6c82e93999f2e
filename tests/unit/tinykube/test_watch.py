import json

import pytest

from tinykube import kinds
from tinykube import store as storing
from tinykube.options import Deletion
from tinykube.selectors import Selector, parse_fields, parse_labels
from tinykube.status import ApiError
from tinykube.watch import snapshot


@pytest.fixture
def secret(create):
    return lambda name, **labels: create(
        kinds.SECRETS, {"metadata": {"name": name, "labels": labels}}
    )


def relabel(registry, name, **labels):
    def change(obj):
        obj["metadata"]["labels"] = labels
        return True

    registry.modify(kinds.SECRETS, "default", name, change)


def told(watch):
    return [(event.type, json.loads(event.data)["metadata"]["name"]) for event in watch.take()]


def test_changes_come_once_and_in_order(hub, registry, secret, store):
    watch = hub.watch(kinds.SECRETS, "", Selector(), store.version)
    assert not watch.more.is_set()
    secret("a")
    secret("b")
    registry.delete(kinds.SECRETS, "default", "a", Deletion())
    assert watch.more.is_set()
    assert told(watch) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert told(watch) == []
    assert not watch.more.is_set()


def test_other_resources_and_namespaces_stay_away(hub, create, secret, store):
    watch = hub.watch(kinds.SECRETS, "other", Selector(), store.version)
    create(kinds.CONFIG_MAPS, {"metadata": {"name": "x"}})
    secret("a")
    assert told(watch) == []


def test_a_watch_resumes_from_a_version(hub, secret, store):
    secret("a")
    version = store.version
    secret("b")
    assert told(hub.watch(kinds.SECRETS, "", Selector(), version)) == [("ADDED", "b")]


def test_objects_enter_and_leave_a_selection(hub, registry, secret, store):
    selector = Selector(labels=parse_labels("on=yes"))
    watch = hub.watch(kinds.SECRETS, "", selector, store.version)
    secret("a", on="no")
    relabel(registry, "a", on="yes")
    relabel(registry, "a", on="yes", more="x")
    relabel(registry, "a", on="no")
    events = watch.take()
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    left = json.loads(events[-1].data)["metadata"]
    # As it was when it matched, in the version in which it left.
    assert left["labels"]["on"] == "yes"
    assert left["resourceVersion"] == str(events[-1].version)


def test_a_watch_of_one_name(hub, secret, store):
    fields = parse_fields("metadata.name=b")
    watch = hub.watch(kinds.SECRETS, "", Selector(fields=fields), store.version)
    secret("a")
    secret("b")
    assert told(watch) == [("ADDED", "b")]


def test_a_snapshot_is_what_there_is_and_the_watch_goes_on_behind_it(hub, secret, store):
    secret("a")
    watch = hub.watch(kinds.SECRETS, "", Selector(), store.version)
    assert [event.type for event in snapshot(store, watch)] == ["ADDED"]
    secret("b")
    assert told(watch) == [("ADDED", "b")]


def test_one_that_lags_behind_history_is_cut(hub, secret, store, monkeypatch):
    monkeypatch.setattr(storing, "_KEEP_EVENTS", 10)
    start = store.version
    slow = hub.watch(kinds.SECRETS, "", Selector(), start)
    idle = hub.watch(kinds.PODS, "", Selector(), start)
    for number in range(600):
        secret(f"s{number}")
    with pytest.raises(ApiError) as caught:
        slow.take()
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    # Nothing happened that concerns it: it is not behind, however long it was quiet.
    assert idle.take() == []
    with pytest.raises(ApiError, match="too old resource version"):
        hub.watch(kinds.PODS, "", Selector(), start)


def test_a_closed_watch_is_forgotten(hub, store):
    watch = hub.watch(kinds.PODS, "", Selector(), store.version)
    assert len(hub) == 1
    watch.close()
    assert len(hub) == 0


def test_closing_wakes_everyone(hub, store):
    watch = hub.watch(kinds.PODS, "", Selector(), store.version)
    hub.close()
    assert watch.more.is_set()


def test_large_backlogs_come_in_parts(hub, secret, store):
    watch = hub.watch(kinds.SECRETS, "", Selector(), store.version)
    for number in range(150):
        secret(f"s{number:03}")
    first = told(watch)
    assert watch.more.is_set()
    assert len(first) == 100
    assert len(told(watch)) == 50
