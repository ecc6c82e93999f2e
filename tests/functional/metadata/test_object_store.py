"""The charm with an object store, named by an integrator, on minijuju through jubilant."""

import json
from pathlib import Path

import jubilant
import pytest

from .conftest import ROOT, deployed, run_client, settled
from .test_artifacts import ARTIFACTS
from .test_client import TRACK, check_tracked
from .test_kept import get, names, put, run

INTEGRATOR = ROOT / "tests" / "charms" / "integrator"
BUCKET = "of-metadata"


@pytest.fixture(scope="module")
def juju(tmp_path_factory, object_store):
    """A model with the charm, active, and an integrator that names a bucket that is not there."""
    with deployed(tmp_path_factory.mktemp("minijuju")) as juju:
        juju.deploy(INTEGRATOR)
        juju.wait(settled, error=jubilant.any_error)
        told = {
            "bucket": BUCKET,
            "path": "team",
            "endpoint": object_store.secure_url,
            "tls-ca-chain": Path(object_store.authority).read_text(),
            "credentials": secret(juju, "store", object_store.keys),
        }
        juju.config("integrator", told)
        yield juju


def secret(juju, name, keys):
    """Make a secret for the integrator; give its id."""
    made = juju.add_secret(name, keys)
    juju.grant_secret(name, "integrator")
    return str(made)


def blocked(*words):
    """Tell whether the unit is blocked, and says these words."""

    def found(status):
        unit = status.apps["metadata"].units["metadata/0"]
        message = unit.workload_status.message
        return unit.is_blocked and all(word in message for word in words)

    return found


def test_its_life(juju, access, api, object_store, client_python, tmp_path):
    before_id, before = run(api)
    put(api, f"{before}/old", b"old")

    # A bucket that is not there is said, and runs go on.
    juju.integrate("metadata:s3", "integrator")
    juju.wait(blocked("NoSuchBucket", f"s3://{BUCKET}/team"))
    run_id, root = run(api)
    object_store.bucket(BUCKET)
    juju.config("metadata", {"log-level": "debug"})
    juju.wait(settled)

    # MLflow's client has all it needs.
    done = run_client(client_python, tmp_path, access["url"], access["token"], TRACK)
    assert done.returncode == 0, done.stderr
    check_tracked(done)
    assert any(key.endswith("/notes/hello.txt") for key in object_store.contents(BUCKET))
    put(api, f"{root}/kept", b"kept")
    put(api, f"{before}/new", b"new")
    assert f"team/{root}/kept" in object_store.contents(BUCKET)
    assert names(api, before_id) == {"old": 3, "new": 3}
    assert get(api, f"{before}/old") == b"old"

    # Keys are taken back, and given anew.
    wrong = {**object_store.keys, "secret-key": "of-nobody-at-all"}
    juju.config("integrator", {"credentials": secret(juju, "wrong", wrong)})
    juju.wait(blocked("SignatureDoesNotMatch"))
    assert api.get(f"{ARTIFACTS}/{root}/kept").status_code == 500
    juju.config("integrator", {"credentials": secret(juju, "right", object_store.keys)})
    juju.wait(settled)
    assert get(api, f"{root}/kept") == b"kept"

    # They are in secrets and one private file, and nowhere else.
    shown = juju.cli("show-unit", "metadata/0", "integrator/0") + juju.cli("config", "metadata")
    shown += juju.cli("debug-log", "--limit", "5000") + json.dumps(
        juju.cli("status", "--format", "json")
    )
    shown += juju.cli("ssh", "--container", "metadata", "metadata/0", "/charm/bin/pebble", "plan")
    shown += juju.cli(
        "ssh", "--container", "metadata", "metadata/0", "/charm/bin/pebble", "logs", "-n", "all"
    )
    assert f"s3://{BUCKET}/team" in shown
    for keys in (object_store.keys, wrong):
        assert keys["secret-key"] not in shown
    mode = juju.cli(
        "ssh", "--container", "metadata", "metadata/0", "stat", "-c", "%a",
        "/etc/toolkit/artifact-store",
    )  # fmt: skip
    assert mode.strip() == "600"

    # Without the relation the storage has what comes, and what is in the store is named.
    juju.remove_relation("metadata:s3", "integrator")
    juju.wait(lambda status: not status.apps["metadata"].relations.get("s3") and settled(status))
    answer = api.get(f"{ARTIFACTS}/{root}/kept")
    assert answer.status_code == 400
    assert f"s3://{BUCKET}/team, which is not set" in answer.json()["message"]
    assert get(api, f"{before}/old") == b"old"
    _, after = run(api)
    put(api, f"{after}/x")

    # And with it again all is there.
    juju.integrate("metadata:s3", "integrator")
    juju.wait(lambda status: "s3" in status.apps["metadata"].relations and settled(status))
    assert get(api, f"{root}/kept") == b"kept"
    assert get(api, f"{after}/x") == b"x"
    assert names(api, run_id) == {"kept": 4}
