"""Artifacts stay below the artifact root, whatever a client asks for."""

import httpx2
import pytest

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


def test_an_artifact_goes_up_comes_down_and_is_kept_below_the_root(server, client):
    assert client.put(f"{ARTIFACTS}/here/a file.txt", content=b"hello").status_code == 200
    assert (server.data / "artifacts" / "here" / "a file.txt").read_bytes() == b"hello"
    response = client.get(f"{ARTIFACTS}/here/a file.txt")
    assert response.content == b"hello"
    # Never shown in the server's own origin: a page in an artifact would run with the token.
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.fixture
def secret(server):
    """A file beside the artifact root that nobody may read, change or delete."""
    path = server.data / "secret"
    path.write_text("hidden")
    yield path
    assert path.read_text() == "hidden"


PATHS = [
    "../secret",
    "../../data/secret",
    "x/../../secret",
    "..%2fsecret",
    "%2e%2e/secret",
    "%2e%2e%2fsecret",
    "..%252fsecret",
    "%252e%252e/secret",
    "..%5csecret",
    "..\\secret",
    "....//secret",
    ".//..//secret",
    "%00/../secret",
    "a%00",
    "a%0ab",
    "a%1b%5b31m",
    "/{secret}",
    "%2f{secret}",
    "file://{secret}",
    "file:{secret}",
    "./",
    "%2e",
    "",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("prefix", ["/api", "/ajax-api"])
def test_no_path_leads_out(server, secret, method, prefix, path):
    path = path.format(secret=secret)
    target = f"{prefix}/2.0/mlflow-artifacts/artifacts/{path}"
    response = server.raw(method, target, b"gotcha" if method == "PUT" else None)
    assert 400 <= response.status_code < 500, response.text
    assert "hidden" not in response.text


@pytest.mark.parametrize("path", ["../..", "..", "/etc", "%2e%2e", "..%2f..", "a/../../.."])
def test_no_listing_leads_out(server, client, path):
    response = client.get(ARTIFACTS, params={"path": path})
    assert 400 <= response.status_code < 500


def test_a_symbolic_link_in_the_root_is_not_followed_out(server, client, secret):
    link = server.data / "artifacts" / "link"
    link.symlink_to(secret.parent)
    try:
        response = client.get(f"{ARTIFACTS}/link/secret")
        assert 400 <= response.status_code < 500
        assert "hidden" not in response.text
        response = client.put(f"{ARTIFACTS}/link/secret", content=b"gotcha")
        assert response.status_code >= 400
        response = client.delete(f"{ARTIFACTS}/link/secret")
        assert response.status_code >= 400
    finally:
        link.unlink()


LOCATIONS = [
    "{data}",
    "file://{data}",
    "file://localhost{data}",
    "file:.",
    "../../../..{data}",
    "mlflow-artifacts:/../..{data}",
    "mlflow-artifacts:/%2e%2e",
    "mlflow-artifacts://evil.example/x",
    "http://169.254.169.254/latest",
    "https://[::1]/x",
    "ftp://127.0.0.1/x",
    "sftp://127.0.0.1/x",
    "hdfs://127.0.0.1/x",
    "s3://bucket/x",
    "gs://bucket/x",
    "wasbs://c@a.blob.core.windows.net/x",
    "dbfs:/x",
    "r2://a@b.r2.cloudflarestorage.com/x",
    "models:/m/1",
    "runs:/x/y",
    "unknown://x/y",
]


@pytest.mark.parametrize("location", LOCATIONS)
def test_no_location_of_an_experiment_makes_the_server_read_or_call_elsewhere(
    server, client, secret, location
):
    where = location.format(data=server.data)
    made = client.post(
        f"{API}/experiments/create", json={"name": f"at {location}", "artifact_location": where}
    )
    if made.status_code != 200:
        assert 400 <= made.status_code < 500, made.text
        return
    run = client.post(
        f"{API}/runs/create", json={"experiment_id": made.json()["experiment_id"]}
    ).json()["run"]["info"]["run_id"]
    answers = [
        client.get("/get-artifact", params={"run_id": run, "path": "secret"}),
        client.get("/get-artifact", params={"run_id": run, "path": "../../secret"}),
        client.get(f"{API}/artifacts/list", params={"run_id": run}),
        client.get(f"{API}/artifacts/list", params={"run_id": run, "path": "../.."}),
    ]
    for answer in answers:
        assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
        assert "hidden" not in answer.text
        assert "secret" not in answer.json().get("files", [])
        assert not answer.json().get("files")
    upload = client.post(
        "/ajax-api/2.0/mlflow/upload-artifact",
        params={"run_uuid": run, "path": "up.txt"},
        content=b"up",
    )
    assert upload.status_code == 200 or 400 <= upload.status_code < 500, upload.text
    outside = [
        found
        for found in server.folder.rglob("up.txt")
        if server.data / "artifacts" not in found.parents
    ]
    assert outside == []


@pytest.mark.parametrize("location", [*LOCATIONS, "mlflow-artifacts:/0/../../.."])
def test_no_source_of_a_model_version_does_either(server, client, secret, location):
    client.post(f"{API}/registered-models/create", json={"name": "m"})
    made = client.post(
        f"{API}/model-versions/create",
        json={"name": "m", "source": location.format(data=server.data)},
    )
    if made.status_code != 200:
        assert 400 <= made.status_code < 500, made.text
        return
    version = made.json()["model_version"]["version"]
    for path in ("secret", "../secret"):
        answer = client.get(
            "/model-versions/get-artifact", params={"name": "m", "version": version, "path": path}
        )
        assert 400 <= answer.status_code < 500, answer.text
        assert "hidden" not in answer.text


def test_a_prompt_tag_opens_no_file(server, client, secret):
    """The class of CVE-2026-2614: a tag that skips the check of the source."""
    client.post(f"{API}/registered-models/create", json={"name": "p"})
    made = client.post(
        f"{API}/model-versions/create",
        json={
            "name": "p",
            "source": f"file://{server.data}",
            "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}],
        },
    )
    if made.status_code == 200:
        version = made.json()["model_version"]["version"]
        answer = client.get(
            "/model-versions/get-artifact",
            params={"name": "p", "version": version, "path": "secret"},
        )
        assert answer.status_code >= 400
        assert "hidden" not in answer.text
    else:
        assert made.status_code < 500


def test_a_request_too_large_for_memory_is_refused(server, client):
    def chunks():
        for _ in range(70):
            yield b"x" * (1 << 20)

    declared = client.post(f"{API}/runs/create", content=b"x" * (65 << 20))
    assert declared.status_code == 413
    with server.client() as streaming:
        try:
            streamed = streaming.post(f"{API}/runs/create", content=chunks())
            assert streamed.status_code == 413
        except httpx2.WriteError:
            pass  # the server hung up on the rest of the body
    assert client.get("/ready").status_code == 200


def test_a_large_artifact_is_streamed(server, client):
    block = b"\0" * (1 << 20)
    response = client.put(f"{ARTIFACTS}/large", content=(block for _ in range(100)))
    assert response.status_code == 200
    assert (server.data / "artifacts" / "large").stat().st_size == 100 << 20
    client.delete(f"{ARTIFACTS}/large")


@pytest.mark.parametrize(
    "name",
    ["../../x", "a\0b", "x" * 1_000_000, "\x1b[31mred\nline", "'; DROP TABLE experiments; --"],
)
def test_a_hostile_name_is_stored_as_text_or_refused(client, name):
    response = client.post(f"{API}/experiments/create", json={"name": name})
    assert response.status_code == 200 or 400 <= response.status_code < 500, response.text[:500]
    found = client.get(f"{API}/experiments/search", params={"max_results": 100})
    assert found.status_code == 200


@pytest.mark.parametrize("key", ["filter", "order_by", "page_token"])
def test_a_hostile_search_is_a_4xx(client, key):
    hostile = "' OR 1=1; DROP TABLE runs; --"
    value = [hostile] if key == "order_by" else hostile
    response = client.post(f"{API}/runs/search", json={"experiment_ids": ["0"], key: value})
    assert 400 <= response.status_code < 500, response.text
