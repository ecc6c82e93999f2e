"""GPUs by charm config, on a machine that has none: what steps ask for, and what they wait for."""

import json
from pathlib import Path

import pytest
import yaml

from ..deployment import MODEL, ROOT
from ..waiting import wait
from .pipelines import counting

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

OVERLAY = ROOT / "bundle" / "overlays" / "gpu.yaml"
OPTIONS = yaml.safe_load(OVERLAY.read_text())["applications"]["pipelines"]["options"]


@pytest.fixture(scope="module")
def gpus(bundle):
    """The deployment with the overlay; as it was afterwards."""
    bundle.toolkit("up", "--overlay", str(OVERLAY), "--json")
    yield bundle
    bundle.juju("config", "-m", MODEL, "pipelines", "--reset", ",".join(OPTIONS))
    wait(bundle.active, "the deployment is as it was")


def status_of(bundle):
    units = bundle.status()["applications"]["pipelines"]["units"]
    return units["pipelines/0"]["workload-status"]


def run_action(bundle, *arguments):
    done = bundle.juju(
        "run", "-m", MODEL, "pipelines/0", "show-pod-template", *arguments, "--format", "json"
    )
    return yaml.safe_load(json.loads(done.stdout)["pipelines/0"]["results"]["template"])


def test_the_overlay_is_for_the_bundle():
    declared = yaml.safe_load(Path(ROOT / "charms/pipelines/charmcraft.yaml").read_text())
    assert OPTIONS.keys() <= declared["config"]["options"].keys()


def test_the_charm_shows_what_a_step_would_get(gpus):
    pod = run_action(gpus)
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert pod["spec"]["tolerations"] == yaml.safe_load(OPTIONS["tolerations"])
    assert pod["spec"]["serviceAccountName"] == "pipelines-steps"
    (container,) = run_action(gpus, "gpu-count=0", "memory=1Gi")["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "1Gi"}


def test_steps_have_an_account_without_rights(gpus):
    account = gpus.kube("GET", f"/api/v1/namespaces/{MODEL}/serviceaccounts/pipelines-steps")
    assert account.json()["automountServiceAccountToken"] is False


def test_a_step_waits_for_a_gpu_and_the_run_and_the_charm_say_so(gpus):
    run_id = gpus.start(counting, seconds=0.0)
    words = "1 Insufficient nvidia.com/gpu"

    def told():
        run = gpus.call("GET", f"/runs/{run_id}").json()
        details = run.get("run_details", {}).get("task_details", [])
        return any(words in (task.get("error") or {}).get("message", "") for task in details)

    wait(told, "the run says what its step waits for")
    # Any event lets the charm look.
    gpus.juju("config", "-m", MODEL, "pipelines", "parallelism=15")
    wait(lambda: words in status_of(gpus).get("message", ""), "the charm says it too")
    assert status_of(gpus)["current"] == "active"
    assert status_of(gpus)["message"].startswith("1 step waits: ")
    gpus.juju("config", "-m", MODEL, "pipelines", "gpu-count=0", "parallelism=16")
    wait(lambda: "nvidia.com/gpu" not in str(run_action(gpus)["spec"]["containers"]), "no GPU")
    wait(gpus.active, "the service has the new options")
    # The step that waits was asked for with a GPU; a new run asks for none.
    gpus.call("POST", f"/runs/{run_id}:terminate")
    assert gpus.finish(gpus.start(counting, seconds=0.0))["state"] == "SUCCEEDED"
