from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from starlette.testclient import TestClient

Spec = dict[str, Any]


def upload(client: TestClient, content: bytes, path: str = "upload", **query: str) -> Any:
    return client.post(
        f"/pipelines/{path}", params=query, files={"uploadfile": ("p.yaml", content)}
    )


def uploaded(client: TestClient, pipeline: Spec, **query: str) -> dict[str, str]:
    reply = upload(client, json.dumps(pipeline).encode(), **query)
    assert reply.status_code == 200, reply.text
    found: dict[str, str] = reply.json()
    return found


def versions(client: TestClient, pipeline_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/pipelines/{pipeline_id}/versions").json()[
        "pipeline_versions"
    ]
    return found


def test_upload(client: TestClient, pipeline: Spec) -> None:
    made = uploaded(client, pipeline, name="adder", tags='{"team":"a"}')
    assert made["description"] == "adds"
    assert made["tags"] == {"team": "a"}
    assert client.get(f"/pipelines/{made['pipeline_id']}").json() == made
    assert client.get("/pipelines/names/adder").json() == made
    (version,) = versions(client, made["pipeline_id"])
    assert version["pipeline_spec"] == pipeline
    path = f"/pipelines/{made['pipeline_id']}/versions/{version['pipeline_version_id']}"
    assert client.get(path).json() == version


def test_upload_of_an_archive(client: TestClient, pipeline: Spec) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("pipeline.yaml", json.dumps(pipeline))
    made = upload(client, buffer.getvalue(), name="z").json()
    assert versions(client, made["pipeline_id"])[0]["pipeline_spec"] == pipeline


def test_the_file_name_is_the_name_of_last_resort(client: TestClient, pipeline: Spec) -> None:
    assert uploaded(client, pipeline)["name"] == "p.yaml"


def test_upload_version(client: TestClient, pipeline: Spec) -> None:
    made = uploaded(client, pipeline, name="adder")
    content = json.dumps(pipeline).encode()
    reply = upload(client, content, "upload_version", name="v2", pipelineid=made["pipeline_id"])
    assert reply.json()["name"] == "v2"
    assert reply.json()["pipeline_spec"] == pipeline
    again = upload(client, content, "upload_version", name="v2", pipelineid=made["pipeline_id"])
    assert again.status_code == 409
    assert upload(client, content, "upload_version", name="v3").status_code == 400
    unknown = upload(client, content, "upload_version", name="v3", pipelineid="none")
    assert unknown.status_code == 404
    assert [each["name"] for each in versions(client, made["pipeline_id"])] == ["adder", "v2"]


def test_a_name_is_taken_once(client: TestClient, pipeline: Spec) -> None:
    uploaded(client, pipeline, name="adder")
    assert upload(client, json.dumps(pipeline).encode(), name="adder").status_code == 409
    assert client.get("/pipelines").json()["total_size"] == 1


@pytest.mark.parametrize(
    "name", ["../x", "a/../b", "a\0b", "x" * 256, "x" * 1_000_000, " ", "a\nb", "."]
)
def test_names_that_are_none(client: TestClient, pipeline: Spec, name: str) -> None:
    # In the query, as kfp.Client sends it, and in a JSON body.
    body = client.post("/pipelines", json={"name": name})
    assert body.status_code == 400, body.text
    if len(name) < 60_000:
        reply = upload(client, json.dumps(pipeline).encode(), name=name)
        assert reply.status_code == 400, reply.text
    assert client.get("/pipelines").json() == {"pipelines": [], "total_size": 0}


def test_a_spec_that_is_refused_says_where(client: TestClient, pipeline: Spec) -> None:
    del pipeline["deploymentSpec"]["executors"]["exec-add"]
    reply = upload(client, json.dumps(pipeline).encode(), name="x")
    assert reply.status_code == 400
    assert reply.json()["code"] == 3
    assert "exec-add" in reply.json()["message"]
    assert client.get("/pipelines").json()["total_size"] == 0


def test_a_construct_that_is_not_built_is_named(client: TestClient, pipeline: Spec) -> None:
    pipeline["deploymentSpec"]["executors"]["exec-add"]["container"]["lifecycle"] = {"a": 1}
    reply = upload(client, json.dumps(pipeline).encode(), name="x")
    assert reply.status_code == 400
    assert "lifecycle" in reply.json()["message"]
    assert reply.json()["details"][-1]["reason"] == "CONSTRUCT_NOT_SUPPORTED"


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"a: [", b"- a", b"5", b"\xff\xfe", b"!!python/object:os.system x"]
)
def test_what_is_no_pipeline(client: TestClient, content: bytes) -> None:
    reply = upload(client, content, name="x")
    assert reply.status_code == 400, reply.text


def test_a_spec_of_12_megabytes(client: TestClient, pipeline: Spec) -> None:
    pipeline["pipelineInfo"]["description"] = "x" * 12_000_000
    reply = upload(client, json.dumps(pipeline).encode(), name="x")
    assert reply.status_code == 413
    assert "at most" in reply.json()["message"]


def test_what_is_no_upload(client: TestClient) -> None:
    for reply in (
        client.post("/pipelines/upload"),
        client.post("/pipelines/upload", json={}),
        client.post("/pipelines/upload", data={"uploadfile": "text"}),
        client.post("/pipelines/upload", files={"other": b"x"}),
        client.post("/pipelines/upload", files={"uploadfile": b"x", "another": b"x"}),
        client.post(
            "/pipelines/upload",
            content=b"rubbish",
            headers={"content-type": "multipart/form-data"},
        ),
    ):
        assert reply.status_code == 400, reply.text
        assert reply.json()["code"] == 3


def test_create_without_and_with_a_version(client: TestClient, pipeline: Spec) -> None:
    empty = client.post("/pipelines", json={"display_name": "empty"}).json()
    assert empty["name"] == "empty"
    assert versions(client, empty["pipeline_id"]) == []
    version = {"pipeline_spec": pipeline, "code_source_url": "https://code"}
    body = {"pipeline": {"display_name": "full"}, "pipeline_version": version}
    full = client.post("/pipelines/create", json=body).json()
    assert versions(client, full["pipeline_id"])[0]["code_source_url"] == "https://code"
    path = f"/pipelines/{empty['pipeline_id']}/versions"
    made = client.post(path, json={"display_name": "v", "pipeline_spec": pipeline}).json()
    assert versions(client, empty["pipeline_id"]) == [made]
    assert client.post(path, json={"display_name": "w"}).status_code == 400


def test_nothing_is_fetched(client: TestClient) -> None:
    made = client.post("/pipelines", json={"display_name": "p"}).json()
    reply = client.post(
        f"/pipelines/{made['pipeline_id']}/versions",
        json={"name": "v", "package_url": {"pipeline_url": "http://169.254.169.254/"}},
    )
    assert reply.status_code == 501
    assert "package_url" in reply.json()["message"]


def test_patch(client: TestClient, pipeline: Spec) -> None:
    made = uploaded(client, pipeline, name="adder")
    path = f"/pipelines/{made['pipeline_id']}"
    changes = {"display_name": "Adder", "description": "", "tags": {"a": "b"}}
    changed = client.patch(path, json={**changes, "name": "ignored"}).json()
    assert changed == {
        **{name: made[name] for name in ("pipeline_id", "name", "created_at")},
        "display_name": "Adder",
        "tags": {"a": "b"},
    }
    version = versions(client, made["pipeline_id"])[0]["pipeline_version_id"]
    reply = client.patch(f"{path}/versions/{version}", json={"display_name": "first"})
    assert reply.json()["display_name"] == "first"
    for wrong in (
        {"display_name": "../x"},
        {"tags": [1]},
        {"tags": {"a": 1}},
        {"tags": {"": "\0"}},
    ):
        assert client.patch(path, json=wrong).status_code == 400
    assert client.patch("/pipelines/none", json={}).status_code == 404


def test_delete(client: TestClient, pipeline: Spec) -> None:
    made = uploaded(client, pipeline, name="adder")
    path = f"/pipelines/{made['pipeline_id']}"
    refused = client.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (400, 9)
    assert client.delete(path, params={"cascade": "maybe"}).status_code == 400
    version = versions(client, made["pipeline_id"])[0]["pipeline_version_id"]
    assert client.delete(f"{path}/versions/{version}").json() == {}
    assert client.delete(f"{path}/versions/{version}").status_code == 404
    assert client.delete(path).json() == {}
    again = uploaded(client, pipeline, name="adder")
    cascade = client.delete(f"/pipelines/{again['pipeline_id']}", params={"cascade": "true"})
    assert cascade.json() == {}
    assert client.get("/pipelines").json()["total_size"] == 0
    assert client.get(f"{path}/versions").status_code == 404
