"""The deployment with its artifacts in an object store, named by config and by relation."""

import contextlib
import json
from pathlib import Path

import httpx2
import pytest
import yaml

from ..deployment import MODEL, Bundle, tasks
from ..objectstore import StoreServer
from ..processes import processes
from ..waiting import wait
from .pipelines import handing

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

INTEGRATOR = Path(__file__).parents[2] / "charms" / "integrator"


@pytest.fixture(scope="module")
def keys(bundle, object_store, tmp_path_factory):
    """A secret with the store's credentials, granted to the pipelines; its id."""
    file = tmp_path_factory.mktemp("keys") / "key"
    file.touch(mode=0o600)
    file.write_text(object_store.keys["secret-key"])
    made = bundle.juju(
        "add-secret", "-m", MODEL, "store",
        f"access-key={object_store.keys['access-key']}", f"secret-key#file={file}",
        f"tls-ca-chain#file={object_store.authority}",
    )  # fmt: skip
    bundle.juju("grant-secret", "-m", MODEL, "store", "pipelines")
    yield made.stdout.strip()
    bundle.juju("remove-secret", "-m", MODEL, "store")


def status(bundle):
    """What the pipelines' unit says."""
    units = bundle.status()["applications"]["pipelines"]["units"]
    found = units["pipelines/0"]["workload-status"]
    return found["current"], found.get("message", "")


@contextlib.contextmanager
def configured(bundle, **options):
    words = [f"{name.replace('_', '-')}={value}" for name, value in options.items()]
    bundle.juju("config", "-m", MODEL, "pipelines", *words)
    try:
        yield
    finally:
        names = ",".join(name.replace("_", "-") for name in options)
        bundle.juju("config", "-m", MODEL, "pipelines", "--reset", names)
        wait(bundle.active, "artifacts are on the storage again")


def check_a_run(bundle, server, bucket, prefix, megabytes):
    """A large artifact goes from step to step through the store, and is read from there."""
    run_id = bundle.start(handing, megabytes=megabytes)
    run = bundle.finish(run_id, patience=300)
    assert run["state"] == "SUCCEEDED", run
    digests = [
        task["output_parameters"]["Output"]
        for task in tasks(run)
        if task["display_name"] in ("fill", "digest-of")
    ]
    assert len(set(digests)) == 1
    assert len(digests) == 2
    kept = {k: size for k, size in server.contents(bucket).items() if run_id in k}
    assert all(key.startswith(f"{prefix}/handing/{run_id}/fill/") for key in kept)
    assert sorted(key.rpartition("/")[2] for key in kept) == ["data", "page"]
    assert max(kept.values()) == megabytes * 1024**2
    # MLflow's records have the store's URIs, and the page itself; they come after the run's end.
    wait(lambda: bundle.told(run_id, 3), "MLflow has all of it")
    (filled,) = [
        found["info"]["artifact_uri"]
        for found in bundle.recorded(run_id)
        if found["info"]["run_name"] == "fill"
    ]
    base = filled.removeprefix("mlflow-artifacts:/")
    listed = json.loads(bundle.mlflow_artifact(f"{base}/kfp/artifacts.json"))
    assert listed["data"][0]["uri"].startswith(f"s3://{bucket}/{prefix}/handing/{run_id}/")
    assert bundle.mlflow_artifact(f"{base}/kfp/page.html") == b"<p>from the store"
    return run_id


def check_secrets(bundle, server):
    """The credentials are in secrets and one private file, and nowhere else."""
    secret = server.keys["secret-key"]
    for words in (
        ("status", "-m", MODEL, "--format", "json"),
        ("config", "-m", MODEL, "pipelines"),
        ("show-unit", "-m", MODEL, "pipelines/0"),
    ):
        assert secret not in bundle.juju(*words).stdout
    assert not any(secret in line for line in processes().values())
    for path, content in bundle.files("*.log"):
        assert secret.encode() not in content, path
        assert b"X-Amz-Signature" not in content, path


def test_by_config(bundle: Bundle, object_store: StoreServer, keys: str) -> None:
    before = bundle.finish(bundle.start(handing, megabytes=1))
    assert before["state"] == "SUCCEEDED", before
    uri = f"s3://by-config/team?endpoint={object_store.secure_url}&region=us-east-1"
    with configured(bundle, artifact_store=uri, artifact_store_credentials=keys):
        # There is no such bucket yet.
        wait(lambda: status(bundle)[0] == "blocked", "the unit says what is wrong")
        assert "s3://by-config/team" in status(bundle)[1]
        assert "NoSuchBucket" in status(bundle)[1]
        object_store.bucket("by-config")
        bundle.juju("config", "-m", MODEL, "pipelines", "parallelism=15")
        wait(bundle.active, "the bucket is there")
        # Two parts of the store's and a rest.
        run_id = check_a_run(bundle, object_store, "by-config", "team", megabytes=136)
        check_secrets(bundle, object_store)
        # What was kept on the storage can be read still.
        listed = bundle.call("GET", "/artifacts", params={"run_id": before["run_id"]}).json()
        (page,) = [each for each in listed["artifacts"] if each["name"] == "page"]
        content = bundle.call("GET", f"/artifacts/{page['artifact_id']}:download")
        assert content.content == b"<p>from the store"
    bundle.juju("config", "-m", MODEL, "pipelines", "--reset", "parallelism")
    wait(bundle.active, "all is as before")
    listed = bundle.call("GET", "/artifacts", params={"run_id": run_id}).json()
    answer = bundle.call("GET", f"/artifacts/{listed['artifacts'][0]['artifact_id']}:download")
    assert answer.status_code == 400
    message = answer.json()["message"]
    assert "'s3://by-config/team/" in message
    assert "is not below minio://mlpipeline/v2/artifacts, where this service is set" in message


def test_by_relation(bundle: Bundle, object_store: StoreServer, keys: str) -> None:
    object_store.bucket("by-relation")
    bundle.juju("deploy", "-m", MODEL, str(INTEGRATOR), "integrator")
    try:
        bundle.juju("grant-secret", "-m", MODEL, "store", "integrator")
        options = {
            "bucket": "by-relation",
            "path": "team/b",
            "endpoint": object_store.url,
            "credentials": keys,
        }
        words = [f"{name}={value}" for name, value in options.items()]
        bundle.juju("config", "-m", MODEL, "integrator", *words)
        bundle.juju("integrate", "-m", MODEL, "pipelines:s3", "integrator")

        def told():
            try:
                answer = bundle.call("GET", "/artifact_store")
            except httpx2.TransportError:
                return False  # It starts again with what it was told.
            return answer.status_code == 200 and answer.json()["uri"].endswith("/team/b")

        wait(told, "the service keeps artifacts in the store", 180)
        wait(lambda: status(bundle)[0] == "active", "the unit is active")
        check_a_run(bundle, object_store, "by-relation", "team/b", megabytes=3)
        check_secrets(bundle, object_store)
        shown = yaml.safe_load(bundle.juju("show-unit", "-m", MODEL, "integrator/0").stdout)
        assert object_store.keys["access-key"] not in json.dumps(shown)
    finally:
        bundle.juju("remove-application", "-m", MODEL, "integrator", "--no-prompt", "--force")
        wait(lambda: "integrator" not in bundle.status()["applications"], "it has gone", 120)
        wait(bundle.active, "artifacts are on the storage again")
    assert bundle.call("GET", "/artifact_store").json()["uri"] == ""
