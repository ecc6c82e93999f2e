"""What a charm's own workload may take, by its option: set, held, given up."""

import pytest

from ..deployment import MODEL
from ..waiting import wait

MIB = 1024**2


def limits(bundle):
    """The limits of the workload's container, as the StatefulSet has them."""
    path = f"/apis/apps/v1/namespaces/{MODEL}/statefulsets/pipelines"
    containers = bundle.kube("GET", path).json()["spec"]["template"]["spec"]["containers"]
    (found,) = [one for one in containers if one["name"] == "pipelines"]
    return (found.get("resources") or {}).get("limits")


def take(bundle, mebibytes, seconds):
    """Hold memory in the workload's container; what was printed: the bytes that were had."""
    code = f"import time; x = b'x' * {mebibytes * MIB}; time.sleep({seconds}); print(len(x))"
    target = ["--container", "pipelines", "pipelines/0"]
    command = f'/opt/venv/bin/python -c "{code}"'
    return bundle.juju("ssh", "-m", MODEL, *target, command, check=False).stdout.strip()


@pytest.fixture
def bounded(bundle):
    """The deployment with a bound on its service's memory; as it was afterwards."""
    bundle.juju("config", "-m", MODEL, "pipelines", "memory=512Mi")
    wait(lambda: limits(bundle) == {"memory": "512Mi"}, "the limit is set")
    wait(bundle.active, "the unit has a new pod")
    yield bundle
    bundle.juju("config", "-m", MODEL, "pipelines", "--reset", "memory")
    wait(lambda: not limits(bundle), "the limit is given up")
    wait(bundle.active, "the deployment is as it was")


def test_the_service_may_take_as_much_and_no_more(bounded):
    assert take(bounded, 64, 1) == str(64 * MIB)
    # Whoever looks at what it takes may come late.
    assert take(bounded, 768, 120) == ""
    wait(bounded.active, "the service came back")
    assert bounded.call("GET", "/healthz").status_code == 200
