import json

import pytest

from tinykube import kinds

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
MAPS = "/api/v1/namespaces/default/configmaps"


async def get(http, accept, path=MAPS, **query):
    return await http.get(path, params=query, headers={"Accept": accept})


@pytest.fixture(autouse=True)
def maps(create):
    for name in ("a", "b"):
        create(kinds.CONFIG_MAPS, {"metadata": {"name": name}, "data": {"x": "y"}})


async def test_a_list_as_a_table(http):
    answer = (await get(http, f"{TABLE},application/json", limit="2")).json()
    assert (answer["kind"], answer["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [item["name"] for item in answer["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert [row["cells"][:2] for row in answer["rows"]] == [["a", 1], ["b", 1]]
    assert answer["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert "data" not in answer["rows"][0]["object"]
    assert answer["metadata"]["remainingItemCount"] == 1
    assert answer["metadata"]["continue"]


@pytest.mark.parametrize(
    ("include", "kind"), [("Object", "ConfigMap"), ("", "PartialObjectMetadata")]
)
async def test_what_a_row_carries(http, include, kind):
    answer = (await get(http, TABLE, includeObject=include)).json()
    assert answer["rows"][0]["object"]["kind"] == kind


async def test_a_row_that_carries_nothing(http):
    answer = (await get(http, TABLE, includeObject="None")).json()
    assert answer["rows"][0]["object"] is None
    wrong = await get(http, TABLE, includeObject="All")
    assert wrong.status_code == 400
    assert "includeObject" in wrong.json()["message"]


async def test_one_object_as_a_table_and_as_metadata(http):
    one = (await get(http, TABLE, f"{MAPS}/a")).json()
    assert [row["cells"][0] for row in one["rows"]] == ["a"]
    bare = (await get(http, METADATA, f"{MAPS}/a")).json()
    assert set(bare) == {"kind", "apiVersion", "metadata"}
    assert bare["metadata"]["name"] == "a"
    beta = TABLE.replace("v=v1", "v=v1beta1")
    assert (await get(http, beta)).json()["apiVersion"] == "meta.k8s.io/v1beta1"


async def test_a_list_of_metadata(http):
    answer = (await get(http, METADATA_LIST)).json()
    assert answer["kind"] == "PartialObjectMetadataList"
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "b", "kube-root-ca.crt"]
    assert all("data" not in item for item in answer["items"])


@pytest.mark.parametrize(
    ("accept", "path"),
    [
        (METADATA, MAPS),
        (METADATA_LIST, f"{MAPS}/a"),
        ("application/json;as=Table;v=v2;g=meta.k8s.io", MAPS),
        ("application/json;as=Table;v=v1;g=other", MAPS),
        ("application/json;as=Picture;v=v1;g=meta.k8s.io", MAPS),
        ("application/xml", MAPS),
        (TABLE, "/api/v1"),
    ],
)
async def test_forms_that_are_not_served(http, accept, path):
    answer = await get(http, accept, path)
    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")
    fallback = await get(http, f"{accept},*/*", path)
    # A form that is known is never passed over.
    assert fallback.status_code == (406 if accept in (METADATA, METADATA_LIST, TABLE) else 200)


async def test_a_write_as_a_table(http):
    answer = await http.post(MAPS, json={"metadata": {"name": "c"}}, headers={"Accept": TABLE})
    assert answer.status_code == 201
    assert answer.json()["rows"][0]["cells"][0] == "c"


async def test_a_watch_of_tables(exchange, http):
    query = "watch=1&allowWatchBookmarks=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan"
    async with exchange(MAPS, query, headers=[(b"accept", TABLE.encode())]) as watch:
        events = await watch.events(4)
        assert [event["type"] for event in events] == ["ADDED", "ADDED", "ADDED", "BOOKMARK"]
        assert all(event["object"]["kind"] == "Table" for event in events)
        assert events[0]["object"]["columnDefinitions"]
        assert [event["object"]["columnDefinitions"] for event in events[1:]] == [None] * 3
        marked = events[-1]["object"]["rows"][0]["object"]["metadata"]
        assert marked["annotations"] == {"k8s.io/initial-events-end": "true"}
        await http.delete(f"{MAPS}/a")
        (gone,) = await watch.events(1)
        assert (gone["type"], gone["object"]["rows"][0]["cells"][0]) == ("DELETED", "a")


async def test_a_watch_of_metadata(exchange):
    async with exchange(MAPS, "watch=1", headers=[(b"accept", METADATA.encode())]) as watch:
        (event, *_) = await watch.events(3)
        assert json.dumps(event).count('"data"') == 0
        assert event["object"]["kind"] == "PartialObjectMetadata"
