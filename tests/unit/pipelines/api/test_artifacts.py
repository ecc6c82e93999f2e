from __future__ import annotations

import base64
import io
import os
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from toolkit_pipelines import naming
from toolkit_pipelines.api import artifacts
from toolkit_pipelines.events import Artifact, TaskStarted, TaskSucceeded, Values
from toolkit_pipelines.root import DEFAULT_URI
from toolkit_pipelines.store import Store
from toolkit_pipelines.store.interface import Run


@pytest.fixture
def run(store: Store, new_run: Callable[..., Run]) -> Run:
    """Give a run whose task `train` produced a file, a folder, and what is not there."""
    made = new_run()
    listed = {
        name: (Artifact(name, "system.Artifact", uri),)
        for name, uri in (
            ("file", f"{DEFAULT_URI}/file"),
            ("folder", f"{DEFAULT_URI}/folder"),
            ("missing", f"{DEFAULT_URI}/missing"),
            ("elsewhere", "s3://bucket/key"),
            ("link", f"{DEFAULT_URI}/link"),
        )
    }
    store.runs.append(
        made.run_id,
        [
            TaskStarted(run_id=made.run_id, time=1.0, task="train", pod="pod"),
            TaskSucceeded(run_id=made.run_id, time=2.0, task="train", outputs=Values({}, listed)),
        ],
        1,
    )
    return made


@pytest.fixture
def ids(store: Store, run: Run, workloads: Any) -> dict[str, int]:
    """Give the artifacts' ids by output, once their content is there."""
    (workloads.root / "file").write_bytes(b"content")
    (workloads.root / "folder" / "sub").mkdir(parents=True)
    (workloads.root / "folder" / "sub" / "a").write_bytes(b"a" * 700)
    (workloads.root / "folder" / "b").write_bytes(b"")
    (workloads.root / "folder" / "link").symlink_to("/etc/passwd")
    (workloads.root / "link").symlink_to("/etc/passwd")
    return {each.output: each.artifact_id for each in store.runs.artifacts_of(run.run_id)}


def test_list_and_get(client: TestClient, run: Run, ids: dict[str, int]) -> None:
    page = client.get("/artifacts", params={"run_id": run.run_id, "page_size": 2}).json()
    assert page["total_size"] == 5
    found = page["artifacts"]
    while "next_page_token" in page:
        token = page["next_page_token"]
        page = client.get("/artifacts", params={"run_id": run.run_id, "page_token": token}).json()
        found += page["artifacts"]
    assert [int(each["artifact_id"]) for each in found] == sorted(ids.values())
    assert client.get("/artifacts", params={"run_id": "other"}).json()["total_size"] == 0
    one = client.get(f"/artifacts/{ids['elsewhere']}").json()
    assert (one["storage_provider"], one["storage_path"]) == ("s3", "bucket/key")
    assert "download_url" not in one


@pytest.mark.parametrize("text", ["0", "99", "x", "-1", "9" * 30, "1 OR 1=1", "٣"])
def test_unknown(client: TestClient, ids: dict[str, int], text: str) -> None:
    assert client.get(f"/artifacts/{text}").status_code == 404
    assert client.get(f"/artifacts/{text}:download").status_code == 404


def test_download_a_file(client: TestClient, ids: dict[str, int]) -> None:
    one = client.get(f"/artifacts/{ids['file']}", params={"view": "DOWNLOAD"}).json()
    reply = client.get(f"http://test{one['download_url']}")
    assert reply.content == b"content"
    assert reply.headers["content-disposition"] == 'attachment; filename="file"'
    assert reply.headers["content-security-policy"] == "sandbox"


def test_download_a_folder(client: TestClient, ids: dict[str, int]) -> None:
    reply = client.get(f"/artifacts/{ids['folder']}:download")
    assert reply.headers["content-disposition"] == 'attachment; filename="folder.tar"'
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
        assert archive.getnames() == ["b", "sub/a"]
        member = archive.extractfile("sub/a")
        assert member is not None
        assert member.read() == b"a" * 700


def test_what_cannot_be_downloaded(client: TestClient, ids: dict[str, int]) -> None:
    for output, status in (("missing", 404), ("link", 404), ("elsewhere", 400)):
        reply = client.get(f"/artifacts/{ids[output]}:download")
        assert reply.status_code == status, output
        assert b"root:" not in reply.content


def test_downloads_leave_no_descriptor_open(client: TestClient, ids: dict[str, int]) -> None:
    client.get("/artifacts")
    before = len(os.listdir("/proc/self/fd"))
    for output in ("file", "folder", "missing", "link") * 3:
        client.get(f"/artifacts/{ids[output]}:download")
    assert len(os.listdir("/proc/self/fd")) == before


def read(client: TestClient, run: Run, output: str, task: str = "train") -> Any:
    node = naming.task_id(run.run_id, task)
    return client.get(f"/runs/{run.run_id}/nodes/{node}/artifacts/{output}:read")


def test_read(
    client: TestClient, run: Run, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert base64.b64decode(read(client, run, "file").json()["data"]) == b"content"
    assert read(client, run, "folder").status_code == 400
    assert read(client, run, "link").status_code == 404
    assert read(client, run, "none").status_code == 404
    assert read(client, run, "file", task="other").status_code == 404
    monkeypatch.setattr(artifacts, "MAX_READ", 3)
    assert "download it" in read(client, run, "file").json()["message"]


def test_view(client: TestClient, ids: dict[str, int]) -> None:
    assert client.get(f"/artifacts/{ids['file']}", params={"view": "X"}).status_code == 400
