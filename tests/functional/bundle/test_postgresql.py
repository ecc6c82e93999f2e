"""The deployment with its database in a real PostgreSQL, offered by a charm of its own."""

import contextlib
import json

import httpx2
import pytest

from ..deployment import MODEL, ROOT, Bundle
from ..processes import processes
from ..waiting import wait
from .pipelines import holding, resting

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

APPLICATIONS = ("pipelines", "metadata", "postgresql")
# The storage that has an application's data, what SQLite's file is called, where the login is.
DATABASES = {
    "pipelines": ("state", "pipelines.db", "/etc/toolkit-pipelines/database"),
    "metadata": ("data", "mlflow.db", "/etc/toolkit/database"),
}
CHARM = ROOT / "tests" / "charms" / "postgresql"


def status(bundle, name="pipelines"):
    """What an application's unit says."""
    units = bundle.status()["applications"][name]["units"]
    found = units[f"{name}/0"]["workload-status"]
    return found["current"], found.get("message", "")


def state(bundle, run_id):
    """The state of a run, "" while nobody answers."""
    try:
        answer = bundle.call("GET", f"/runs/{run_id}")
    except httpx2.TransportError:
        return ""
    return answer.json().get("state", "") if answer.status_code == 200 else ""


def folder(bundle, name="pipelines"):
    """The storage that has an application's state."""
    storage, file, _ = DATABASES[name]
    names = (file, f"{file}.moved")
    places = bundle.minijuju.glob(f"storage/*/{storage}-*")
    (found,) = (each for each in places if any((each / name).exists() for name in names))
    return found


def login(bundle, name):
    """What an application logs in by."""
    path = DATABASES[name][2]
    return json.loads(in_container(bundle, f"{name}/0", name, "cat", path))


def relate(bundle, verb):
    for name in DATABASES:
        bundle.juju(verb, "-m", MODEL, f"{name}:database", "postgresql:database")


def related(bundle):
    """Whether a relation with the database is there, or on its way out."""
    return "database" in bundle.status()["applications"]["postgresql"]["relations"]


@pytest.fixture
def postgresql(bundle):
    """The charm, deployed; afterwards the others are on SQLite again, with what they had."""
    image = f"postgresql-image={CHARM / 'image'}"
    bundle.juju("deploy", "-m", MODEL, str(CHARM), "postgresql", "--resource", image)
    try:
        yield
    finally:
        # Whoever has lost the relation finds its file, and no note that says where the data are.
        for name, (_, file, _) in DATABASES.items():
            place = folder(bundle, name)
            (place / "postgresql.json").unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (place / f"{file}.moved").rename(place / file)
        bundle.juju("remove-application", "-m", MODEL, "postgresql", "--no-prompt", "--force")
        wait(lambda: "postgresql" not in bundle.status()["applications"], "it has gone", 120)
        wait(bundle.active, "the databases are on the storage again", 180)


def in_container(bundle, unit, container, *command):
    return bundle.juju("ssh", "-m", MODEL, "--container", container, unit, *command).stdout


def test_by_relation(bundle: Bundle, postgresql: None) -> None:
    before = bundle.finish(bundle.start(resting))
    assert before["state"] == "SUCCEEDED", before
    wait(lambda: bundle.told(before["run_id"], 3), "MLflow has it")
    relate(bundle, "integrate")
    for name in DATABASES:
        note = folder(bundle, name) / "postgresql.json"
        wait(note.exists, f"the data of {name} are in PostgreSQL", 300)
    for name in DATABASES:
        wait(lambda name=name: status(bundle, name)[0] == "active", f"{name} is active", 180)
    wait(lambda: state(bundle, before["run_id"]) == "SUCCEEDED", "the run came along")
    wait(lambda: bundle.told(before["run_id"], 3), "what MLflow had of it did too")
    logins = {name: login(bundle, name) for name in DATABASES}
    for name in DATABASES:
        assert logins[name]["database"] == f"{MODEL}_{name}"

    # The server dies under a run, and Pebble starts it again.
    run_id = bundle.start(holding)
    wait(lambda: bundle.inside(run_id), "the run has begun")
    kill = ("/charm/bin/pebble", "signal", "KILL", "postgresql")
    in_container(bundle, "postgresql/0", "postgresql", *kill)
    bundle.release(run_id)
    run = bundle.finish(run_id, patience=300)
    assert run["state"] == "SUCCEEDED", run
    wait(lambda: bundle.told(run_id, 6), "MLflow has all of it")

    shown = [bundle.juju("show-unit", "-m", MODEL, f"{name}/0").stdout for name in APPLICATIONS]
    shown += [bundle.juju("status", "-m", MODEL, "--format", "json").stdout, *processes().values()]
    shown += [content.decode(errors="replace") for _, content in bundle.files("*.log")]
    for each in logins.values():
        assert not any(each["password"] in text for text in shown)

    relate(bundle, "remove-relation")
    for name in DATABASES:
        wait(lambda name=name: status(bundle, name)[0] == "blocked", f"{name} is blocked", 180)
        assert (
            f"the data are in PostgreSQL: run `juju integrate {name}:database"
            in status(bundle, name)[1]
        )
        assert not (folder(bundle, name) / DATABASES[name][1]).exists()
    # Its last hooks may run still, and until they have it cannot be made anew.
    wait(lambda: not related(bundle), "the relations are gone")
    relate(bundle, "integrate")
    for name in DATABASES:
        wait(lambda name=name: status(bundle, name)[0] == "active", f"{name} is active", 180)
    wait(lambda: state(bundle, run_id) == "SUCCEEDED", "the run is there")
    wait(lambda: bundle.told(run_id, 6), "what MLflow had of it is too")
