"""Two units of the pipelines on PostgreSQL and an object store: status, hand-over, and back."""

import contextlib

import httpx2
import pytest

from ..deployment import MODEL, Bundle, kfp, tasks
from ..objectstore import StoreServer
from ..pipelines.stack import Gate
from ..waiting import wait
from .pipelines import IMAGE
from .test_postgresql import DATABASES, folder, in_container, postgresql, state

dsl = kfp.dsl

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

__all__ = ["postgresql"]  # a fixture
PEBBLE = "/charm/bin/pebble"
STANDS_BY = ("active", "stand-by: another unit leads the engine")
LEADS = ("active", "")


@dsl.component(base_image=IMAGE)
def wait_at(gate: int, before: int, page: dsl.Output[dsl.HTML]) -> int:
    import socket
    import time

    with socket.socket() as probe:
        while gate and probe.connect_ex(("127.0.0.1", gate)):
            time.sleep(0.05)
    with open(page.path, "w") as file:
        file.write(f"<p>{before}")
    print("let through")
    return before + 1


@dsl.pipeline(name="waiting-at-a-gate")
def waiting_at_a_gate(gate: int) -> int:
    first = wait_at(gate=0, before=0)
    second = wait_at(gate=gate, before=first.outputs["Output"])
    return wait_at(gate=gate, before=second.outputs["Output"]).outputs["Output"]


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.close()


@pytest.fixture
def stored(bundle, object_store, tmp_path):
    """The options that name an object store; unset at the end."""
    bucket = object_store.bucket("scale")
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(object_store.keys["secret-key"])
    access = f"access-key={object_store.keys['access-key']}"
    made = bundle.juju("add-secret", "-m", MODEL, "scale", access, f"secret-key#file={file}")
    bundle.juju("grant-secret", "-m", MODEL, "scale", "pipelines")
    yield (
        f"artifact-store=s3://{bucket}/a?endpoint={object_store.url}&region=us-east-1",
        f"artifact-store-credentials={made.stdout.strip()}",
    )
    names = "artifact-store,artifact-store-credentials"
    bundle.juju("config", "-m", MODEL, "pipelines", "--reset", names)
    bundle.juju("remove-secret", "-m", MODEL, "scale")


@pytest.fixture
def scaled(bundle, postgresql):
    """Two units; one again at the end."""
    bundle.juju("scale-application", "-m", MODEL, "pipelines", "2")
    yield
    scale_down(bundle)


def scale_down(bundle):
    bundle.juju("scale-application", "-m", MODEL, "pipelines", "1")
    wait(lambda: list(statuses(bundle)) == ["pipelines/0"], "the second unit has gone", 180)


def statuses(bundle):
    """What each unit of the pipelines says."""
    units = bundle.status()["applications"]["pipelines"]["units"]
    found = {name: unit["workload-status"] for name, unit in units.items()}
    return {name: (each["current"], each.get("message", "")) for name, each in found.items()}


def role(bundle, first, second):
    """Wait until the two units say this."""
    wanted = {"pipelines/0": first, "pipelines/1": second}
    wait(lambda: statuses(bundle) == wanted, f"the units say {wanted}", 300)


def told(bundle, unit, *words):
    """What an action of a unit gives."""
    return bundle.juju("run", "-m", MODEL, unit, *words).stdout


def running(bundle, run_id):
    """The tasks of a run that run."""
    run = bundle.call("GET", f"/runs/{run_id}").json()
    return [task["display_name"] for task in tasks(run) if task["state"] == "RUNNING"]


def check(bundle, run_id):
    """See that a run's record, log and artifacts are to be had at the application's address."""
    run = bundle.call("GET", f"/runs/{run_id}").json()
    assert run["state"] == "SUCCEEDED", run
    assert [task["state"] for task in tasks(run)] == ["SUCCEEDED"] * 3
    assert "let through" in bundle.log(run, "wait-at-3")
    found = bundle.call("GET", "/artifacts", params={"run_id": run_id}).json()["artifacts"]
    path = "/artifacts/{}:download"
    pages = [bundle.call("GET", path.format(each["artifact_id"])).text for each in found]
    assert sorted(pages) == ["<p>0", "<p>1", "<p>2"], pages


def test_scale(
    bundle: Bundle, object_store: StoreServer, scaled: None, stored: tuple[str, str], gate: Gate
) -> None:
    wait(
        lambda: statuses(bundle).get("pipelines/1", ("", ""))[0] == "blocked", "it is blocked", 180
    )
    assert statuses(bundle)["pipelines/1"][1].startswith(
        "a further unit needs `juju integrate pipelines:database POSTGRESQL` and "
    )
    bundle.juju("integrate", "-m", MODEL, "pipelines:database", "postgresql:database")
    bundle.juju("config", "-m", MODEL, "pipelines", *stored)
    # The first one moves what it has; the other one waits for that.
    role(bundle, LEADS, STANDS_BY)
    assert (folder(bundle) / f"{DATABASES['pipelines'][1]}.moved").exists()

    run_id = bundle.start(waiting_at_a_gate, gate=gate.port)
    wait(lambda: running(bundle, run_id) == ["wait-at-2"], "the step that waits runs", 180)
    for unit in ("pipelines/0", "pipelines/1"):
        assert run_id in told(bundle, unit, "list-runs")
    # The workload of the one that leads is killed, and started again: either may lead then.
    in_container(bundle, "pipelines/0", "pipelines", PEBBLE, "signal", "KILL", "pipelines")
    wait(lambda: state(bundle, run_id) == "RUNNING", "the application's address answers", 180)
    # It ends for longer: the other one leads, and this one stands by once it is back.
    with contextlib.suppress(httpx2.TransportError):
        in_container(bundle, "pipelines/0", "pipelines", PEBBLE, "stop", "pipelines")
    role(bundle, STANDS_BY, LEADS)
    wait(lambda: state(bundle, run_id) == "RUNNING", "the application's address answers", 180)
    gate.open()
    assert bundle.finish(run_id, patience=300)["state"] == "SUCCEEDED"
    for _ in range(2):
        # The address leads to one and to the other.
        check(bundle, run_id)

    scale_down(bundle)
    wait(lambda: statuses(bundle)["pipelines/0"] == LEADS, "the first one leads again", 300)
    check(bundle, run_id)
    wait(lambda: bundle.told(run_id, 4), "MLflow has all of it")
