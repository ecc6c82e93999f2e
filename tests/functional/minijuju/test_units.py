"""Units in a real tinykube: what `kubectl` and charms see of them, and what patches do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jubilant
import lightkube
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.apps_v1 import StatefulSetSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec, ResourceRequirements
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import Pod, Service
from lightkube.types import PatchType

from sandbox import isolation

ANY = Path(__file__).parents[2] / "charms" / "any"
DELAY = 0.2
"""Seconds between two looks, where the condition holds only after what is waited for."""
ONCE: Any = {"delay": DELAY, "successes": 1}
"""And where it then goes on to hold: one look is enough."""
PATIENCE = 180
NAME = "app.kubernetes.io/name"


def run(program: str, *argv: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", program, *argv],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tinykube and a controller that has it; all that they run ends with the module."""
    cluster, data = tmp_path_factory.mktemp("tinykube"), tmp_path_factory.mktemp("minijuju")
    cluster.chmod(0o700)
    (cluster / "config.yaml").write_text("port: 0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYKUBE_DATA", str(cluster))
        patch.setenv("MINIJUJU_DATA", str(data))
        patch.delenv("JUJU_MODEL", raising=False)
        run("tinykube", "start")
        try:
            patch.setenv("MINIJUJU_KUBECONFIG", str(cluster / "kubeconfig"))
            patch.setenv("PATH", run("minijuju", "shim-path").strip(), prepend=os.pathsep)
            yield cluster / "kubeconfig"
        finally:
            run("minijuju", "shutdown")
            run("tinykube", "stop", "--pods")


@pytest.fixture(scope="module")
def juju(kubeconfig: Path) -> Iterator[jubilant.Juju]:
    with jubilant.temp_model() as juju:
        juju.wait_timeout = PATIENCE
        juju.deploy(ANY, "app", num_units=2, trust=True)
        juju.wait(settled, error=jubilant.any_error)
        yield juju


@pytest.fixture(scope="module")
def client(kubeconfig: Path) -> Iterator[lightkube.Client]:
    client = lightkube.Client(lightkube.KubeConfig.from_file(kubeconfig))
    yield client
    client.close()


def settled(status: jubilant.Status) -> bool:
    return jubilant.all_active(status) and jubilant.all_agents_idle(status)


def hooks(juju: jubilant.Juju) -> list[str]:
    """What the charm of the first unit wrote down of its hooks."""
    return juju.ssh("app/0", "cat /var/lib/any/hooks").split()


def ready(client: lightkube.Client, model: str, name: str) -> bool:
    try:
        pod = client.get(Pod, name, namespace=model)
    except ApiError:
        return False
    conditions = (pod.status and pod.status.conditions) or []
    return any(one.type == "Ready" and one.status == "True" for one in conditions)


def served(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_units_are_pods_of_a_stateful_set(juju: jubilant.Juju, client: lightkube.Client) -> None:
    model = str(juju.model)

    def shown(_: jubilant.Status) -> bool:
        # What the set says of its pods is written after them.
        owner = client.get(StatefulSet, "app", namespace=model)
        service = client.get(Service, "app", namespace=model)
        counted = owner.spec.replicas == owner.status.readyReplicas == 2
        return counted and [port.port for port in service.spec.ports] == [8080]

    juju.wait(shown, **ONCE)
    assert all(ready(client, model, f"app-{number}") for number in (0, 1))
    owner = client.get(StatefulSet, "app", namespace=model)
    units = juju.status().apps["app"].units
    for pod in client.list(Pod, namespace=model, labels={NAME: "app"}):
        unit = pod.metadata.annotations["unit.juju.is/id"]
        assert pod.metadata.name == unit.replace("/", "-")
        assert pod.status.podIP == units[unit].address
        (reference,) = pod.metadata.ownerReferences
        assert (reference.kind, reference.uid) == ("StatefulSet", owner.metadata.uid)
        assert [one.name for one in pod.spec.containers] == ["charm", "web"]
    headless = client.get(Service, "app-endpoints", namespace=model)
    assert (headless.spec.clusterIP, headless.spec.selector) == ("None", {NAME: "app"})


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
def test_kubectl_shows_them(juju: jubilant.Juju, kubeconfig: Path) -> None:
    kubectl = ["kubectl", "--kubeconfig", str(kubeconfig), "-n", str(juju.model)]
    shown = subprocess.run(
        [*kubectl, "get", "pods,statefulsets,services"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout
    for name in ("pod/app-0", "pod/app-1", "statefulset.apps/app", "service/app-endpoints"):
        assert name in shown
    assert "2/2" in shown


def test_a_charm_patches_its_service(juju: jubilant.Juju, client: lightkube.Client) -> None:
    """What kubernetes_service_patch does: the ports that it wants stay, and lead to the units."""
    model = str(juju.model)
    port = {"name": "web", "port": 8888, "targetPort": 8080, "protocol": "TCP"}
    patch = {"spec": {"ports": [port]}}
    client.patch(Service, "app", patch, namespace=model, patch_type=PatchType.MERGE)
    juju.add_unit("app")
    juju.wait(settled)
    juju.wait(lambda status: ready(client, model, "app-2"), **ONCE)
    service = client.get(Service, "app", namespace=model)
    assert [one.port for one in service.spec.ports] == [8888]
    address = f"http://{service.spec.clusterIP}:8888/"
    juju.wait(lambda status: served(address), **ONCE)
    fetched = juju.exec(
        "python3",
        "-c",
        f"import urllib.request as u; print(u.urlopen('{address}').read())",
        unit="app/0",
    )
    assert "hello" in fetched.stdout
    juju.remove_unit("app", num_units=1)
    juju.wait(lambda status: len(status.apps["app"].units) == 2, **ONCE)
    juju.wait(lambda status: not ready(client, model, "app-2"), **ONCE)


WANTED = ResourceRequirements(limits={"memory": "256Mi"}, requests={"memory": "64Mi"})


def patch_resources(juju: jubilant.Juju, client: lightkube.Client) -> None:
    """Ask for memory as a charm would, unless it was asked for; waits until it is so."""
    model = str(juju.model)
    known = client.get(StatefulSet, "app", namespace=model)
    delta = StatefulSet(
        metadata=ObjectMeta(name="app", namespace=model),
        spec=StatefulSetSpec(
            selector=known.spec.selector,
            serviceName=known.spec.serviceName,
            template=PodTemplateSpec(
                spec=PodSpec(containers=[Container(name="web", resources=WANTED)])
            ),
        ),
    )
    client.patch(
        StatefulSet,
        "app",
        delta,
        namespace=model,
        patch_type=PatchType.APPLY,
        field_manager="ResourcePatcher",
    )

    def patched(status: jubilant.Status) -> bool:
        if not ready(client, model, "app-0") or not settled(status):
            return False
        pod = client.get(Pod, "app-0", namespace=model)
        return pod.spec.containers[1].resources == WANTED

    juju.wait(patched, **ONCE)


def test_a_charm_patches_its_resources(juju: jubilant.Juju, client: lightkube.Client) -> None:
    """What kubernetes_resource_patch does: every unit gets a pod with them, and is told."""
    juju.wait(settled)
    before = client.get(Pod, "app-0", namespace=str(juju.model)).metadata.uid
    patch_resources(juju, client)
    assert client.get(Pod, "app-0", namespace=str(juju.model)).metadata.uid != before
    juju.wait(lambda status: "upgrade_charm" in hooks(juju), **ONCE)


def test_a_container_that_takes_more_memory_is_ended_and_comes_back(
    juju: jubilant.Juju, client: lightkube.Client
) -> None:
    """What is over its limit is killed whole, as Kubernetes does."""
    patch_resources(juju, client)

    def starts() -> int:
        return hooks(juju).count("web_pebble_ready")

    before = starts()
    taking = "import time; taken = b'x' * (400 << 20); time.sleep(100)"
    with pytest.raises(jubilant.CLIError):
        juju.ssh("app/0", f'python3 -c "{taking}"', container="web")
    juju.wait(lambda status: settled(status) and starts() > before, delay=DELAY)
    less = "print(len(b'x' * (20 << 20)))"
    assert juju.ssh("app/0", f'python3 -c "{less}"', container="web").strip() == str(20 << 20)


def test_nobody_else_has_stateful_sets(juju: jubilant.Juju, client: lightkube.Client) -> None:
    known = client.get(StatefulSet, "app", namespace=str(juju.model))
    known.metadata = ObjectMeta(name="other", namespace=str(juju.model))
    known.status = None
    with pytest.raises(ApiError, match="tinykube makes no pods of stateful sets"):
        client.create(known)


def test_all_goes_with_the_application(juju: jubilant.Juju, client: lightkube.Client) -> None:
    model = str(juju.model)
    juju.remove_application("app", force=True)
    juju.wait(lambda status: not status.apps, **ONCE)

    def gone(status: jubilant.Status) -> bool:
        kinds = (Pod, StatefulSet, Service)
        return not any(list(client.list(kind, namespace=model)) for kind in kinds)

    juju.wait(gone, **ONCE)


ASK = """
import json, os, pathlib, ssl, urllib.request
folder = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
host, port = (os.environ[f"KUBERNETES_SERVICE_{name}"] for name in ("HOST", "PORT"))
request = urllib.request.Request(f"https://{host}:{port}/api")
request.add_header("Authorization", "Bearer " + (folder / "token").read_text())
context = ssl.create_default_context(cafile=folder / "ca.crt")
with urllib.request.urlopen(request, context=context, timeout=60) as answer:
    print(json.load(answer)["kind"])
"""


def test_an_isolated_unit_reaches_the_api(kubeconfig: Path) -> None:
    if not (found := isolation.check()).ok:
        pytest.skip(f"{found.found} {found.remedy}")
    with jubilant.temp_model(config={"unit-network": "isolated"}) as juju:
        juju.wait_timeout = PATIENCE
        juju.deploy(ANY, "app")
        juju.wait(settled, error=jubilant.any_error)
        assert juju.exec("python3", "-c", ASK, unit="app/0").stdout.strip() == "APIVersions"
