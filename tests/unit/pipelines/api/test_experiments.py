from __future__ import annotations

import json
import uuid

import pytest
from starlette.testclient import TestClient


def made(client: TestClient, name: str = "one") -> dict[str, str]:
    reply = client.post("/experiments", json={"display_name": name, "description": "text"})
    assert reply.status_code == 200, reply.text
    found: dict[str, str] = reply.json()
    return found


def test_create_get_list(client: TestClient) -> None:
    one = made(client)
    assert one["storage_state"] == "AVAILABLE"
    assert client.get(f"/experiments/{one['experiment_id']}").json() == one
    listed = client.get("/experiments").json()
    assert listed == {"experiments": [one], "total_size": 1}


def test_the_lookup_by_name_that_kfp_makes(client: TestClient) -> None:
    made(client, "other")
    one = made(client)
    text = '{"predicates":[{"operation":1,"key":"display_name","stringValue":"one"}]}'
    listed = client.get("/experiments", params={"filter": text, "namespace": ""}).json()
    assert listed["experiments"] == [one]


def test_a_name_is_taken_once(client: TestClient) -> None:
    made(client)
    reply = client.post("/experiments", json={"display_name": "one"})
    assert (reply.status_code, reply.json()["code"]) == (409, 6)


def test_archive_and_delete(client: TestClient) -> None:
    one = made(client)
    path = f"/experiments/{one['experiment_id']}"
    for verb, state in (("archive", "ARCHIVED"), ("unarchive", "AVAILABLE")):
        assert client.post(f"{path}:{verb}").json() == {}
        assert client.get(path).json()["storage_state"] == state
    assert client.delete(path).json() == {}
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("verb", ["", ":archive", ":unarchive"])
def test_unknown(client: TestClient, verb: str) -> None:
    path = f"/experiments/{uuid.uuid4()}{verb}"
    reply = client.post(path) if verb else client.get(path)
    assert reply.status_code == 404
    assert reply.json()["code"] == 5


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"display_name": ""},
        {"display_name": " "},
        {"display_name": "x" * 256},
        {"display_name": "x" * 1_000_000},
        {"display_name": "a\0b"},
        {"display_name": "a\x1b[31mb"},
        {"display_name": "a\nb"},
        {"display_name": "../../etc"},
        {"display_name": "a/../b"},
        {"display_name": ".."},
        {"display_name": 5},
        {"display_name": ["x"]},
        {"display_name": "\ud800"},
        {"display_name": "x", "description": "\0"},
        {"display_name": "x", "namespace": "other"},
    ],
)
def test_names_that_are_none(client: TestClient, body: dict[str, object]) -> None:
    reply = client.post("/experiments", content=json.dumps(body))
    assert reply.status_code == 400, reply.text
    assert reply.json()["code"] == 3
    assert len(reply.content) < 10_000
    assert client.get("/experiments").json()["total_size"] == 0


def test_our_own_namespace_may_be_named(client: TestClient) -> None:
    assert client.post("/experiments", json={"display_name": "x", "namespace": "ml"}).is_success
    assert client.get("/experiments", params={"namespace": "ml"}).json()["total_size"] == 1
    assert client.get("/experiments", params={"namespace": "other"}).status_code == 400
