"""Artifacts in a real object store, through the server and by MLflow's own client."""

import os
import subprocess
from functools import partial
from pathlib import Path

import httpx2
import pytest
import yaml

from ..objectstore import StoreServer
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
    """The files of artifacts on the storage."""
    return [path for path in (server.data / "artifacts").rglob("*") if path.is_file()]


def test_mlflows_client_works_and_its_artifacts_are_in_the_store(
    client_python, make_server, object_store, options
):
    bucket = object_store.bucket("all")
    server = make_server().start(*options(bucket), "--log-level", "debug")
    done = run_client(client_python, server.folder, server.url, TOKEN, TRACK)
    assert done.returncode == 0, done.stderr
    check_tracked(done)
    kept = object_store.contents(bucket)
    assert {"hello.txt", "numbers.json", "MLmodel"} <= {key.rpartition("/")[2] for key in kept}
    assert all(key.startswith("team/") for key in kept)
    assert on_storage(server) == []
    secret = object_store.keys["secret-key"].encode()
    process = Path("/proc") / str(server.process.pid)
    for found in (server.log, process / "cmdline", process / "environ"):
        assert secret not in found.read_bytes(), found
    assert server.data.joinpath("stores").stat().st_mode & 0o077 == 0


def test_the_servers_pages_read_from_the_store(make_server, object_store, options):
    server = make_server().start(*options(object_store.bucket("pages")))
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


def test_a_large_artifact_goes_through_in_parts(make_server, object_store, options):
    bucket = object_store.bucket("large")
    server = make_server().start(*options(bucket))
    block = os.urandom(1 << 20)
    with server.client() as client:
        put(client, "large/file", (block for _ in range(100)))
        assert object_store.contents(bucket) == {"team/large/file": 100 << 20}
        with client.stream("GET", f"{ARTIFACTS}/large/file") as answer:
            assert answer.headers["content-length"] == str(100 << 20)
            assert all(chunk == block for chunk in answer.iter_bytes(1 << 20))
        # A client that gives up leaves nothing behind.
        with pytest.raises(RuntimeError):
            client.put(f"{ARTIFACTS}/large/cut", content=breaking(block))
    server.kill(15)
    assert object_store.contents(bucket) == {"team/large/file": 100 << 20}
    assert object_store.uploads(bucket) == []
    assert on_storage(server) == []


def breaking(block):
    for _ in range(20):
        yield block
    raise RuntimeError("gone")


def test_what_was_on_the_storage_is_read_too(make_server, object_store, options):
    bucket = object_store.bucket("before")
    server = make_server().start()
    with server.client() as client:
        run_id, root = run(client)
        for name in ("old", "same", "sub/old"):
            put(client, f"{root}/{name}", b"before")
    server.kill()
    server.start(*options(bucket))
    with server.client() as client:
        assert get(client, f"{root}/old") == b"before"
        put(client, f"{root}/same", b"after")
        put(client, f"{root}/sub/new", b"after!")
        assert get(client, f"{root}/same") == b"after"
        assert names(client, run_id) == {"old": 6, "same": 5, "sub": None}
        assert names(client, run_id, "sub") == {"sub/old": 6, "sub/new": 6}
        # Nothing is moved, and there are no two of one name.
        kept = {Path(key).name for key in object_store.contents(bucket)}
        assert kept == {"same", "new"}
        assert {path.name for path in on_storage(server)} == {"old"}
        assert client.delete(f"{ARTIFACTS}/{root}/sub").status_code == 200
        assert names(client, run_id) == {"old": 6, "same": 5}
        assert client.delete(f"{ARTIFACTS}/{root}/same").status_code == 200
        assert client.delete(f"{ARTIFACTS}/{root}/old").status_code == 200
        assert names(client, run_id) == {}
    assert object_store.contents(bucket) == {}
    assert on_storage(server) == []


def test_a_store_that_is_set_no_more_is_named(make_server, object_store, options):
    server = make_server().start()
    with server.client() as client:
        old_id, old = run(client)
        put(client, f"{old}/old", b"old")
    server.kill()
    bucket = object_store.bucket("gone")
    server.start(*options(bucket))
    with server.client() as client:
        run_id, root = run(client)
        put(client, f"{root}/sub/kept", b"kept")
        put(client, f"{old}/new", b"new")
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


@pytest.mark.parametrize(
    "path", ["../out", "%2e%2e/out", "..%2fout", "a%0ab", "./", "", "n" * 300]
)
def test_no_path_leads_out_of_the_prefix(stored, object_store, path):
    server, bucket = stored
    for method in ("GET", "PUT", "DELETE"):
        content = b"gotcha" if method == "PUT" else None
        answer = server.raw(method, f"{ARTIFACTS}/{path}", content)
        assert 400 <= answer.status_code < 500, (method, answer)
    if "%" not in path:
        answer = server.raw(
            "POST", f"/api/2.0/mlflow-artifacts/mpu/create/{path}", b'{"path": "x"}'
        )
        assert 400 <= answer.status_code < 500, answer
    assert object_store.contents(bucket) == {"out": 3}


@pytest.fixture(scope="module")
def stored(python, object_store, tmp_path_factory):
    """A server whose clients get links, and a bucket with something outside of its prefix."""
    bucket = object_store.bucket("outside")
    object_store.client().put_object(Bucket=bucket, Key="out", Body=b"out")
    server = Server(python, tmp_path_factory.mktemp("stored"))
    words = store_options(object_store, server.folder, bucket, "--artifact-links")
    try:
        yield server.start(*words), bucket
    finally:
        server.kill()


def told(client):
    answer = client.get("/artifact-store")
    assert answer.status_code == 200
    return answer.json()


def test_a_store_that_cannot_be_used_is_told(make_server, object_store, options, tmp_path):
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
    server.kill()
    server.start()
    with server.client() as client:
        assert told(client) == {"uri": "", "problem": "", "transient": False}


def test_a_collected_run_takes_its_objects_along(
    python, make_server, object_store, options, tmp_path
):
    bucket = object_store.bucket("collected")
    server = make_server().start(*options(bucket))
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
    assert list(object_store.contents(bucket)) == [f"team/{kept}/a/b"]


def test_a_trace_is_read_by_the_server(make_server, object_store, options):
    """One of a client that keeps its spans as an artifact, as those before 3.0 do."""
    server = make_server().start(*options(object_store.bucket("traces")))
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
    assert on_storage(server) == []


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
    client_python, make_server, object_store, options, links
):
    bucket = object_store.bucket(f"links-{links}".lower())
    server = make_server().start()
    with server.client() as client:
        put(client, "early/small", b"on the storage")
    server.kill()
    extra = ("--artifact-links",) if links else ()
    server.start(*options(bucket, *extra, url=object_store.url))
    with server.client() as client:
        info = client.get("/api/3.0/mlflow/server-info").json()
        assert info["multipart_uploads_enabled"] is links
        assert info["multipart_downloads_enabled"] is links
    # MLflow's own least for parts is 500 MB.
    sizes = "import os\nos.environ['MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE'] = '1000000'\n"
    sizes += "os.environ['MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE'] = str(5 << 20)\n"
    done = run_client(client_python, server.folder, server.url, TOKEN, sizes + LINKED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "on the storage"
    (key,) = [key for key in object_store.contents(bucket) if key.endswith("/files/big")]
    tag = object_store.client().head_object(Bucket=bucket, Key=key)["ETag"]
    # In one piece through the server, in two without it.
    assert tag.strip('"').endswith("-2") is links
    assert object_store.uploads(bucket) == []


def test_a_server_without_a_store_does_not_load_its_library(python, tmp_path):
    """27 MiB that only those pay who set one."""
    script = (
        "import sys; from pathlib import Path; from toolkit_metadata.app import mlflow_app;"
        "from toolkit_metadata.settings import Settings; data = Path(sys.argv[1]);"
        "mlflow_app(Settings('127.0.0.1', 1, data, data / 'tokens'));"
        "sys.exit('botocore' in sys.modules)"
    )
    subprocess.run(
        [str(python), "-W", "ignore", "-c", script, str(tmp_path)], check=True, timeout=120
    )
