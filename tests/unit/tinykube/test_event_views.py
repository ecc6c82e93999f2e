"""Events in both groups: one store, two views; as a real API server (1.37) shows them."""

from __future__ import annotations

from tinykube import kinds

CORE = "/api/v1/namespaces/default/events"
VIEW = "/apis/events.k8s.io/v1/namespaces/default/events"
MOMENT = "2026-01-01T00:00:00.000000Z"
NEW = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "x1"},
    "regarding": {"kind": "Pod", "name": "e1", "namespace": "default"},
    "reason": "R",
    "note": "N",
    "type": "Normal",
    "action": "A",
    "reportingController": "me.io/x",
    "reportingInstance": "i",
    "eventTime": MOMENT,
    "series": {"count": 2, "lastObservedTime": MOMENT},
}


async def test_what_is_made_in_one_is_seen_in_the_other(http, load):
    answer = await http.post(VIEW, json=NEW)
    assert answer.status_code == 201
    assert answer.json()["note"] == "N"
    assert load(kinds.EVENTS, "x1")["apiVersion"] == "v1"
    seen = (await http.get(f"{CORE}/x1")).json()
    assert seen["involvedObject"] == NEW["regarding"]
    assert (seen["message"], seen["reportingComponent"]) == ("N", "me.io/x")
    assert seen["series"] == NEW["series"]
    old = {
        "metadata": {"name": "x2"},
        "involvedObject": {"kind": "Pod", "name": "q", "namespace": "default"},
        "reason": "R",
        "message": "M",
        "source": {"component": "c", "host": "h"},
        "count": 3,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-02T00:00:00Z",
    }
    assert (await http.post(CORE, json=old)).status_code == 201
    seen = (await http.get(f"{VIEW}/x2")).json()
    assert seen["apiVersion"] == "events.k8s.io/v1"
    assert seen["deprecatedSource"] == old["source"]
    assert seen["deprecatedCount"] == 3
    assert seen["deprecatedLastTimestamp"] == old["lastTimestamp"]
    assert not {"message", "involvedObject", "count", "source"} & seen.keys()


async def test_lists_watches_and_changes(http):
    await http.post(VIEW, json=NEW)
    listed = (await http.get(f"{VIEW}?fieldSelector=involvedObject.name=e1")).json()
    assert listed["kind"] == "EventList"
    assert [item["note"] for item in listed["items"]] == ["N"]
    async with http.stream("GET", f"{VIEW}?watch=1&timeoutSeconds=1") as stream:
        lines = [line async for line in stream.aiter_lines()]
    assert '"regarding"' in lines[0]
    change = {"series": {"count": 5, "lastObservedTime": MOMENT}}
    headers = {"content-type": "application/merge-patch+json"}
    answer = await http.patch(f"{VIEW}/x1", json=change, headers=headers)
    assert (answer.status_code, answer.json()["series"]["count"]) == (200, 5)
    seen = (await http.get(f"{CORE}/x1")).json()
    assert (seen["series"]["count"], seen["message"]) == (5, "N")
    assert (await http.delete(f"{VIEW}/x1")).status_code == 200
    assert (await http.get(f"{CORE}/x1")).status_code == 404


async def test_refusals(http, store):
    answer = await http.post(VIEW, json={"metadata": {"name": "x"}, "regarding": {}})
    assert answer.status_code == 422
    causes = {item["field"] for item in answer.json()["details"]["causes"]}
    assert causes == {"eventTime", "type"}
    body = {**NEW, "regarding": {}, "action": ""}
    answer = await http.post(VIEW, json=body)
    causes = {item["field"] for item in answer.json()["details"]["causes"]}
    assert causes == {"action"}
    assert list(store.rows(kinds.EVENTS.key)) == []


async def test_the_group_is_told(http):
    found = (await http.get("/apis/events.k8s.io/v1")).json()["resources"]
    assert [item["name"] for item in found] == ["events"]
