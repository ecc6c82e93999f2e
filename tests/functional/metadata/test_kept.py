"""Artifacts in a real object store, through the server and by MLflow's own client."""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import httpx2
import pytest
import yaml

from ..objectstore import StoreServer
from ..waiting import wait
from .conftest import TOKEN, Server, run_client
from .test_artifacts import ARTIFACTS
from .test_client import TRACK, check_tracked

API = "/api/2.0/mlflow"


def store_options(store, folder, bucket, *extra, keys=None, url=""):
    """What names a store to a server."""
    file = folder / f"keys-of-{bucket}"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(keys or store.keys))
    uri = f"s3://{bucket}/team?endpoint={url or store.secure_url}&region=us-east-1"
    return (
        *("--artifact-store", uri, "--artifact-store-credentials", str(file)),
        *("--artifact-store-certificates", str(store.authority), *extra),
    )


@pytest.fixture
def options(object_store: StoreServer, tmp_path: Path):
    """Give what names the store to a server, by HTTPS."""
    return partial(store_options, object_store, tmp_path)


@pytest.fixture(scope="module")
def stored(python, ready, object_store, tmp_path_factory):
    """A server with a store and its bucket, for tests that leave it running; it logs all."""
    server = Server(python, tmp_path_factory.mktemp("stored"), ready)
    bucket = object_store.bucket("stored")
    words = store_options(object_store, server.folder, bucket, "--log-level", "debug")
    try:
        yield server.start(*words), bucket
    finally:
        server.kill()


@pytest.fixture(scope="module")
def linked(python, ready, object_store, tmp_path_factory):
    """The same with clients that get links, and with something outside of the store's prefix."""
    server = Server(python, tmp_path_factory.mktemp("linked"), ready)
    bucket = object_store.bucket("linked")
    object_store.client().put_object(Bucket=bucket, Key="out", Body=b"out")
    words = store_options(
        object_store, server.folder, bucket, "--artifact-links", url=object_store.url
    )
    try:
        yield server.start(*words), bucket
    finally:
        server.kill()


def run(client):
    """Make a run; give its id and where its artifacts are below the root of all."""
    found = client.post(f"{API}/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]
    return found["run_id"], found["artifact_uri"].removeprefix("mlflow-artifacts:/")


def put(client, path, content=b"x"):
    answer = client.put(f"{ARTIFACTS}/{path}", content=content)
    assert answer.status_code == 200, answer.text


def get(client, path):
    answer = client.get(f"{ARTIFACTS}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.content


def names(client, run_id, path=None):
    answer = client.get(
        f"{API}/artifacts/list", params={"run_id": run_id, **({"path": path} if path else {})}
    )
    assert answer.status_code == 200, answer.text
    return {each["path"]: each.get("file_size") for each in answer.json().get("files", [])}


def on_storage(server):
    """The artifacts on the storage, by their paths from the root of all."""
    top = server.data / "artifacts"
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}


def below(object_store, bucket, root):
    """The sizes of what the store has of one folder, by the path in there."""
    start = f"team/{root}/"
    contents = object_store.contents(bucket).items()
    return {key.removeprefix(start): size for key, size in contents if key.startswith(start)}


def test_mlflows_client_works_and_its_artifacts_are_in_the_store(
    client_python, stored, object_store, tmp_path
):
    server, bucket = stored
    done = run_client(client_python, tmp_path, server.url, TOKEN, TRACK)
    assert done.returncode == 0, done.stderr
    check_tracked(done)
    kept = object_store.contents(bucket)
    assert {"hello.txt", "numbers.json", "MLmodel"} <= {key.rpartition("/")[2] for key in kept}
    assert all(key.startswith("team/") for key in kept)
    assert on_storage(server) == set()
    secret = object_store.keys["secret-key"].encode()
    process = Path("/proc") / str(server.process.pid)
    for found in (server.log, process / "cmdline", process / "environ"):
        assert secret not in found.read_bytes(), found
    assert server.data.joinpath("stores").stat().st_mode & 0o077 == 0


def test_the_servers_pages_read_from_the_store(stored):
    server, _ = stored
    with server.client() as client:
        run_id, root = run(client)
        answer = client.post(
            "/ajax-api/2.0/mlflow/upload-artifact",
            params={"run_uuid": run_id, "path": "notes/up.txt"},
            content=b"up",
        )
        assert answer.status_code == 200, answer.text
        assert names(client, run_id) == {"notes": None}
        assert names(client, run_id, "notes") == {"notes/up.txt": 2}
        shown = client.get("/get-artifact", params={"run_id": run_id, "path": "notes/up.txt"})
        assert shown.content == b"up"
        missing = client.get("/get-artifact", params={"run_id": run_id, "path": "notes/none"})
        assert missing.status_code == 404, missing.text
        response = client.get(f"{ARTIFACTS}/{root}/notes/up.txt")
        assert response.headers["content-length"] == "2"
        assert response.headers["content-type"] == "text/plain"
        assert response.headers["content-disposition"].startswith("attachment")
        assert response.headers["x-content-type-options"] == "nosniff"
        assert client.get(f"{ARTIFACTS}/{root}/none").status_code == 404


def test_a_large_artifact_goes_through_in_parts(stored, object_store):
    server, bucket = stored
    block = os.urandom(1 << 20)
    with server.client() as client:
        put(client, "large/file", (block for _ in range(100)))
        assert below(object_store, bucket, "large") == {"file": 100 << 20}
        with client.stream("GET", f"{ARTIFACTS}/large/file") as answer:
            assert answer.headers["content-length"] == str(100 << 20)
            assert all(chunk == block for chunk in answer.iter_bytes(1 << 20))
        # A client that gives up leaves nothing behind.
        with pytest.raises(RuntimeError, match="gone"):
            client.put(f"{ARTIFACTS}/large/cut", content=breaking(block, object_store, bucket))
    wait(lambda: object_store.uploads(bucket) == [], "the parts are gone")
    assert below(object_store, bucket, "large") == {"file": 100 << 20}
    assert on_storage(server) == set()


def breaking(block, object_store, bucket):
    """Blocks until the store has some of them, and no end."""
    for _ in range(100):
        yield block
        if object_store.uploads(bucket):
            raise RuntimeError("gone")
    raise AssertionError("the store was never sent a part")


def test_a_store_that_comes_and_goes(make_server, object_store, options):
    server = make_server().start()
    with server.client() as client:
        assert told(client) == {"uri": "", "problem": "", "transient": False}
        old_id, old = run(client)
        put(client, f"{old}/old", b"old")
        before_id, before = run(client)
        for name in ("old", "same", "sub/old"):
            put(client, f"{before}/{name}", b"before")
    server.kill()
    bucket = object_store.bucket("gone")
    server.start(*options(bucket))
    with server.client() as client:
        run_id, root = run(client)
        put(client, f"{root}/sub/kept", b"kept")
        put(client, f"{old}/new", b"new")
        # What was on the storage is read too.
        check_both_are_used(client, before_id, before)
        # Nothing is moved, and there are no two of one name.
        assert below(object_store, bucket, before) == {"same": 5, "sub/new": 6}
        assert on_storage(server) == {f"{old}/old", f"{before}/old", f"{before}/sub/old"}
        check_both_are_deleted(client, before_id, before)
        assert below(object_store, bucket, before) == {}
        assert on_storage(server) == {f"{old}/old"}
    server.kill()
    for words in ((), options(object_store.bucket("another"))):
        server.start(*words)
        with server.client() as client:
            answers = [
                client.get(f"{ARTIFACTS}/{root}/sub/kept"),
                client.get("/get-artifact", params={"run_id": run_id, "path": "sub/kept"}),
                client.get(f"{API}/artifacts/list", params={"run_id": run_id}),
                client.get(ARTIFACTS, params={"path": f"{root}/sub"}),
                client.put(f"{ARTIFACTS}/{root}/sub/more", content=b"x"),
                client.get(f"{API}/artifacts/list", params={"run_id": old_id}),
            ]
            # Who writes is told to try again: it may be set once more.
            assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 503, 400]
            for answer in answers:
                assert "s3://gone/team, which is not set" in answer.json()["message"]
            # What can be reached is.
            assert get(client, f"{old}/old") == b"old"
            next_id, following = run(client)
            put(client, f"{following}/new", b"new")
            assert names(client, next_id) == {"new": 3}
            # And what is deleted here is not deleted there.
            assert client.delete(f"{ARTIFACTS}/{root}").status_code == 200
        server.kill()
    server.start(*options("gone"))
    with server.client() as client:
        assert get(client, f"{root}/sub/kept") == b"kept"
        assert names(client, old_id) == {"old": 3, "new": 3}
        assert client.delete(f"{ARTIFACTS}/{root}").status_code == 200
    server.kill()
    # Nothing of it is anywhere now.
    server.start()
    with server.client() as client:
        assert names(client, run_id) == {}
        assert client.get(f"{ARTIFACTS}/{root}/sub/kept").status_code == 404


def check_both_are_used(client, run_id, root):
    """A run that has `old`, `same` and `sub/old` on the storage gets more, which the store has."""
    assert get(client, f"{root}/old") == b"before"
    put(client, f"{root}/same", b"after")
    put(client, f"{root}/sub/new", b"after!")
    assert get(client, f"{root}/same") == b"after"
    assert names(client, run_id) == {"old": 6, "same": 5, "sub": None}
    assert names(client, run_id, "sub") == {"sub/old": 6, "sub/new": 6}


def check_both_are_deleted(client, run_id, root):
    assert client.delete(f"{ARTIFACTS}/{root}/sub").status_code == 200
    assert names(client, run_id) == {"old": 6, "same": 5}
    assert client.delete(f"{ARTIFACTS}/{root}/same").status_code == 200
    assert client.delete(f"{ARTIFACTS}/{root}/old").status_code == 200
    assert names(client, run_id) == {}


@pytest.mark.parametrize(
    "path", ["../out", "%2e%2e/out", "..%2fout", "a%0ab", "./", "", "n" * 300]
)
def test_no_path_leads_out_of_the_prefix(linked, object_store, path):
    server, bucket = linked
    before = object_store.contents(bucket)
    assert before["out"] == 3
    for method in ("GET", "PUT", "DELETE"):
        content = b"gotcha" if method == "PUT" else None
        answer = server.raw(method, f"{ARTIFACTS}/{path}", content)
        assert 400 <= answer.status_code < 500, (method, answer)
    if "%" not in path:
        answer = server.raw(
            "POST", f"/api/2.0/mlflow-artifacts/mpu/create/{path}", b'{"path": "x"}'
        )
        assert 400 <= answer.status_code < 500, answer
    assert object_store.contents(bucket) == before


def told(client):
    answer = client.get("/artifact-store")
    assert answer.status_code == 200
    return answer.json()


def test_a_store_that_cannot_be_used_is_told(make_server, options):
    nobody = {"access-key": "nobody", "secret-key": "of-nobody"}
    server = make_server().start(*options("nothing", keys=nobody))
    with server.client() as client:
        assert told(client)["uri"] == "s3://nothing/team"
        assert "InvalidAccessKeyId" in told(client)["problem"]
        assert told(client)["transient"] is False
        run_id, root = run(client)
        answer = client.put(f"{ARTIFACTS}/{root}/x", content=b"x")
        assert answer.status_code == 500
        assert "InvalidAccessKeyId" in answer.json()["message"]
        assert "of-nobody" not in answer.text
        # Only artifacts need it.
        assert client.get("/ready").status_code == 200
    server.kill()
    server.start(*options("nothing", url="http://127.0.0.1:1"))
    with server.client() as client:
        assert told(client)["transient"] is True
        for answer in (
            client.put(f"{ARTIFACTS}/{root}/x", content=b"x"),
            client.get(f"{ARTIFACTS}/{root}/x"),
            client.get(f"{API}/artifacts/list", params={"run_id": run_id}),
        ):
            assert answer.status_code == 503, answer.text
            assert "s3://nothing/team" in answer.json()["message"]
    assert httpx2.get(f"{server.url}/artifact-store").status_code == 401


def test_a_collected_run_takes_its_objects_along(python, stored, object_store, tmp_path):
    server, bucket = stored
    with server.client() as client:
        run_id, root = run(client)
        put(client, f"{root}/a/b")
        _, kept = run(client)
        put(client, f"{kept}/a/b")
        assert client.post(f"{API}/runs/delete", json={"run_id": run_id}).status_code == 200
    done = subprocess.run(
        [
            *(str(python), "-W", "ignore", "-m", "mlflow", "gc"),
            *("--backend-store-uri", f"sqlite:///{server.data / 'mlflow.db'}"),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_TRACKING_TOKEN": TOKEN,
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert below(object_store, bucket, root) == {}
    assert below(object_store, bucket, kept) == {"a/b": 1}


def test_a_trace_is_read_by_the_server(stored):
    """One of a client that keeps its spans as an artifact, as those before 3.0 do."""
    server, _ = stored
    with server.client() as client:
        given = {
            "trace_id": "tr-1",
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": "0"},
            },
            "request_time": "2026-01-01T00:00:00Z",
            "state": "OK",
        }
        made = client.post("/api/3.0/mlflow/traces", json={"trace": {"trace_info": given}})
        assert made.status_code == 200, made.text
        location = made.json()["trace"]["trace_info"]["tags"]["mlflow.artifactLocation"]
        asked = {"request_id": "tr-1"}
        missing = client.get("/ajax-api/2.0/mlflow/get-trace-artifact", params=asked)
        assert missing.status_code == 404, missing.text
        spans = b'{"spans": [{"name": "kept"}]}'
        put(client, f"{location.removeprefix('mlflow-artifacts:/')}/traces.json", spans)
        shown = client.get("/ajax-api/2.0/mlflow/get-trace-artifact", params=asked)
        assert shown.status_code == 200, shown.text
        assert shown.json()["spans"] == [{"name": "kept"}]
    assert on_storage(server) == set()


LINKED = """
import json, mlflow
from pathlib import Path

Path("big").write_bytes(bytes(range(256)) * (6 << 12))
Path("small").write_text("small")
with mlflow.start_run() as run:
    mlflow.log_artifact("big", "files")
    mlflow.log_artifact("small", "files")
    mlflow.log_artifact("small", "before")
found = Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/files"))
assert (found / "big").read_bytes() == Path("big").read_bytes()
assert (found / "small").read_text() == "small"
print(mlflow.artifacts.load_text("mlflow-artifacts:/early/small"))
"""


@pytest.mark.parametrize("links", [True, False])
def test_clients_that_reach_the_store_send_large_files_there(
    request, client_python, object_store, links, tmp_path
):
    server, bucket = request.getfixturevalue("linked" if links else "stored")
    # As a server without a store leaves it, which knows nothing of stores.
    early = server.data / "artifacts" / "early"
    early.mkdir()
    (early / "small").write_text("on the storage")
    with server.client() as client:
        info = client.get("/api/3.0/mlflow/server-info").json()
        assert info["multipart_uploads_enabled"] is links
        assert info["multipart_downloads_enabled"] is links
    # MLflow's own least for parts is 500 MB.
    sizes = "import os\nos.environ['MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE'] = '1000000'\n"
    sizes += "os.environ['MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE'] = str(5 << 20)\n"
    try:
        done = run_client(client_python, tmp_path, server.url, TOKEN, sizes + LINKED)
    finally:
        shutil.rmtree(early)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "on the storage"
    (key,) = [key for key in object_store.contents(bucket) if key.endswith("/files/big")]
    tag = object_store.client().head_object(Bucket=bucket, Key=key)["ETag"]
    # In one piece through the server, in two without it.
    assert tag.strip('"').endswith("-2") is links
    assert object_store.uploads(bucket) == []
