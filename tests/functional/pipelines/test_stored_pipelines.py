"""Pipelines whose artifacts are in an object store, and what reads them from there."""

import hashlib
import json
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl

from .. import web
from ..objectstore import StoreServer
from ..waiting import wait
from .stack import NAMESPACE, TOKEN, Cluster, Service, remote
from .test_remote import moving
from .test_steps import IMAGE, error_of, finish, submit

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def bucket(object_store: StoreServer) -> str:
    return object_store.bucket("stored-pipelines")


@pytest.fixture(scope="module")
def stored(
    cluster: Cluster,
    step_image: str,
    object_store: StoreServer,
    bucket: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("stored")
    keys = folder / "keys"
    keys.touch(mode=0o600)
    keys.write_text(yaml.safe_dump(object_store.keys))
    with remote(
        folder,
        cluster,
        step_image,
        "stored",
        artifact_transfer="store",
        artifact_store=f"s3://{bucket}/team/a?endpoint={object_store.secure_url}&region=us-east-1",
        artifact_store_credentials=str(keys),
        artifact_store_certificates=str(object_store.authority),
        log_level="debug",
    ) as made:
        yield made


def api(service: Service) -> httpx2.Client:
    return web.client(
        base_url=f"{service.url}/apis/v2beta1",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=120,
    )


def peak(service: Service) -> int:
    """The most memory that the service had, in bytes."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def artifact(service: Service, run_id: str, name: str) -> dict[str, Any]:
    with api(service) as client:
        found = client.get("/artifacts", params={"run_id": run_id}).json()["artifacts"]
    (one,) = (each for each in found if each["name"] == name)
    return one  # type: ignore[no-any-return]


def test_a_large_artifact_goes_from_step_to_step(
    stored: Service, object_store: StoreServer, bucket: str
) -> None:
    with api(stored) as client:
        told = client.get("/artifact_store").json()
    assert told == {"uri": f"s3://{bucket}/team/a", "problem": "", "transient": False}
    before = peak(stored)
    run_id = submit(stored, moving, size=300)
    run = finish(stored.client(), run_id, timeout=300)
    assert run.state == "SUCCEEDED", stored.evidence(run_id)
    home = f"s3://{bucket}/team/a/moving/{run_id}"
    (result,) = stored.root.glob(f"moving/{run_id}/consume/*/result.json")
    found = json.loads(json.loads(result.read_text())["parameters"]["Output"])
    assert found["uri"].startswith(f"{home}/produce/")
    assert found["names"] == []
    names = ["deep", "deep/er", "deep/er/weights é.bin", "empty", "latest"]
    assert found["found"] == [*names, "latest/weights é.bin", "nothing"]
    # The store has them, and the volume of the service has not.
    kept = object_store.contents(bucket)
    (key,) = (key for key in kept if key.endswith("/file"))
    assert found["uri"] == f"s3://{bucket}/{key}"
    assert kept[key] == 300 * MIB
    assert not list(stored.root.glob(f"moving/{run_id}/produce/*/file"))
    assert object_store.uploads(bucket) == []
    # Clients read them through the service, which never holds them.
    (record,) = stored.root.glob(f"moving/{run_id}/produce/*/result.json")
    expected = json.loads(record.read_text())["parameters"]["Output"]
    one = artifact(stored, run_id, "file")
    assert one["uri"] == found["uri"]
    digest, size = hashlib.sha256(), 0
    with (
        api(stored) as client,
        client.stream("GET", f"/artifacts/{one['artifact_id']}:download") as reply,
    ):
        assert reply.status_code == 200
        for chunk in reply.iter_bytes():
            digest.update(chunk)
            size += len(chunk)
    assert (size, digest.hexdigest()) == (300 * MIB, expected)
    assert peak(stored) - before < 64 * MIB
    check_secrets(stored, object_store)


def check_secrets(service: Service, server: StoreServer) -> None:
    """See that the store's credentials and its links are in nothing that others may read."""
    texts = [service.log.read_text(errors="replace")]
    texts += [path.read_text(errors="replace") for path in service.root.rglob("*.log")]
    texts += [path.read_text() for path in service.root.rglob("*.json")]
    texts.append(service.config.read_text())
    texts.append(json.dumps(service.cluster.pods()))
    path = f"/api/v1/namespaces/{NAMESPACE}"
    for kind in ("secrets", "configmaps", "events"):
        texts.append(json.dumps(service.cluster.call("GET", f"{path}/{kind}")))
    assert service.process is not None
    texts.append(Path(f"/proc/{service.process.pid}/cmdline").read_text())
    for text in texts:
        assert server.keys["secret-key"] not in text
        assert "X-Amz-Signature" not in text


def test_a_folder_is_downloaded_and_a_small_file_is_read(
    stored: Service, object_store: StoreServer, bucket: str, tmp_path: Path
) -> None:
    run_id = submit(stored, moving, size=1)
    assert finish(stored.client(), run_id).state == "SUCCEEDED", stored.evidence(run_id)
    one = artifact(stored, run_id, "folder")
    with api(stored) as client:
        reply = client.get(f"/artifacts/{one['artifact_id']}:download")
        assert reply.headers["content-disposition"] == 'attachment; filename="folder.tar"'
        (tmp_path / "x.tar").write_bytes(reply.content)
        run = client.get(f"/runs/{run_id}").json()
        (task,) = (
            each
            for each in run["run_details"]["task_details"]
            if each["display_name"] == "produce"
        )
        read = client.get(f"/runs/{run_id}/nodes/{task['task_id']}/artifacts/file:read")
    with tarfile.open(tmp_path / "x.tar") as archive:
        weights = archive.extractfile("deep/er/weights é.bin")
        assert weights is not None
        assert weights.read() == b"w" * 10
    assert read.status_code == 200
    # What was changed behind the service's back is not given out as if it were whole.
    key = next(
        key
        for key in object_store.contents(bucket)
        if f"{run_id}/produce/" in key and key.endswith("/file")
    )
    object_store.client().put_object(Bucket=bucket, Key=key, Body=b"x" * MIB)
    with api(stored) as client:
        damaged = client.get(f"/runs/{run_id}/nodes/{task['task_id']}/artifacts/file:read")
        assert damaged.status_code == 400
        assert "has SHA-256" in damaged.json()["message"]
        object_store.client().delete_object(Bucket=bucket, Key=key)
        gone = client.get(f"/artifacts/{artifact(stored, run_id, 'file')['artifact_id']}:download")
        assert gone.status_code == 400
        assert "NoSuchKey" in gone.json()["message"]


def test_a_run_that_is_deleted_leaves_nothing(
    stored: Service, object_store: StoreServer, bucket: str
) -> None:
    client = stored.client()
    run_id = submit(stored, moving, size=1)
    assert finish(client, run_id).state == "SUCCEEDED", stored.evidence(run_id)
    assert any(run_id in key for key in object_store.contents(bucket))
    client.delete_run(run_id)
    assert not any(run_id in key for key in object_store.contents(bucket))
    assert not list(stored.root.glob(f"*/{run_id}"))


def test_a_place_below_the_store_is_a_pipeline_root(
    stored: Service, object_store: StoreServer, bucket: str
) -> None:
    client = stored.client()
    made = client.create_run_from_pipeline_func(
        moving, arguments={"size": 1}, pipeline_root=f"s3://{bucket}/team/a/mine"
    )
    assert finish(client, made.run_id).state == "SUCCEEDED", stored.evidence(made.run_id)
    assert any(
        key.startswith(f"team/a/mine/moving/{made.run_id}/")
        for key in object_store.contents(bucket)
    )


def test_a_service_killed_meanwhile_is_waited_for(
    stored: Service, object_store: StoreServer
) -> None:
    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def slow(out: dsl.Output[dsl.Artifact]) -> int:
        import time

        time.sleep(3)
        with open(out.path, "w") as file:
            file.write("done")
        return 1

    @dsl.pipeline(name="patient")
    def patient() -> int:
        return slow().outputs["Output"]

    run_id = submit(stored, patient)
    wait(lambda: bool(list(stored.root.glob(f"patient/{run_id}/*/*/.started"))), "it has begun")
    assert stored.cluster.pods()
    check_secrets(stored, object_store)
    stored.kill()
    wait(lambda: stored.cluster.printed("slow", "trying again"), "the launcher tries again")
    stored.start()
    assert finish(stored.client(), run_id).state == "SUCCEEDED", stored.evidence(run_id)
    one = artifact(stored, run_id, "out")
    with api(stored) as client:
        assert client.get(f"/artifacts/{one['artifact_id']}:download").content == b"done"


def test_a_bucket_that_is_gone_is_told_by_the_run(
    cluster: Cluster, step_image: str, object_store: StoreServer, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(yaml.safe_dump(object_store.keys))
    service = Service(
        tmp_path,
        cluster,
        step_image,
        name="lost",
        artifact_transfer="store",
        artifact_store=f"s3://no-such-bucket?endpoint={object_store.url}",
        artifact_store_credentials=str(keys),
    )
    service.settings["artifact_address"] = service.url
    service.start()
    try:
        with api(service) as client:
            told = client.get("/artifact_store").json()
        assert "NoSuchBucket" in told["problem"]
        assert not told["transient"]
        run = finish(service.client(), submit(service, moving, size=1))
        assert run.state == "FAILED"
        error = error_of(run, "produce")
        assert "an output cannot be delivered: " in error
        assert "NoSuchBucket" in error
    finally:
        service.stop()
