"""tinykube's node agent as a node of a real control plane."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import time

import httpx2
import pytest
from lightkube.codecs import from_dict
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import ConfigMap, Event, Node, Pod, Secret

from .cluster.nodes import ProcessNode

SECONDS = 60.0


@pytest.fixture(scope="module")
def node(plane):
    made = ProcessNode(
        plane,
        "worker",
        options=["--labels=disk=ssd", "--taints=dedicated=tests:NoSchedule"],
        config="capacity: {cpu: 4, memory: 4Gi, example.com/thing: 2}\n",
    )
    yield made
    made.stop()


@pytest.fixture(scope="module")
def client(plane, node):
    made = plane.client()
    wait(lambda: ready(made, "worker"))
    yield made
    made.close()


@pytest.fixture
def run(client):
    """Make a pod that runs a shell script on the node; it is gone after the test."""
    made = []

    def create(name, script, **spec):
        container = {
            "name": "main",
            "image": "busybox",
            "command": ["sh", "-c", script],
            **spec.pop("container", {}),
        }
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "nodeSelector": {"kubernetes.io/hostname": "worker"},
                "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                "containers": [container],
                **spec,
            },
        }
        made.append(name)
        return client.create(from_dict(body))

    yield create
    for name in made:
        with contextlib.suppress(ApiError):
            client.delete(Pod, name, namespace="default")
    wait(lambda: not [p for p in client.list(Pod) if p.metadata.name in made])


def wait(until, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not (found := until()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.1)
    return found


def ready(client, name):
    try:
        found = client.get(Node, name)
    except ApiError:
        return False
    conditions = (found.status and found.status.conditions) or ()
    return any(item.type == "Ready" and item.status == "True" for item in conditions)


def phase(client, name):
    return client.get(Pod, name, namespace="default").status.phase


def logs(plane, *arguments):
    done = subprocess.run(
        plane.kubectl("logs", *arguments), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_node_registers_with_what_it_has(client):
    found = client.get(Node, "worker")
    assert found.metadata.labels["disk"] == "ssd"
    assert found.status.allocatable["example.com/thing"] == "2"
    assert ("dedicated", "NoSchedule") in [(t.key, t.effect) for t in found.spec.taints]
    assert found.status.daemonEndpoints.kubeletEndpoint.Port > 0
    lease = client.get(Lease, "worker", namespace="kube-node-lease")
    assert lease.spec.holderIdentity == "worker"


def test_a_pod_runs_to_its_end_and_its_log_is_served(client, run, plane):
    run("hello", "echo hello; echo again; exit 3")
    wait(lambda: phase(client, "hello") == "Failed")
    (status,) = client.get(Pod, "hello", namespace="default").status.containerStatuses
    assert status.state.terminated.exitCode == 3
    assert logs(plane, "hello") == "hello\nagain\n"
    assert logs(plane, "hello", "--tail=1") == "again\n"
    reasons = {
        event.reason
        for event in client.list(Event, namespace="default")
        if event.involvedObject.name == "hello"
    }
    assert {"Scheduled", "Started"} <= reasons


def test_secrets_config_maps_and_tokens_reach_the_pod(client, run, plane):
    client.create(
        Secret(metadata=ObjectMeta(name="s", namespace="default"), stringData={"word": "secret"})
    )
    client.create(
        ConfigMap(metadata=ObjectMeta(name="c", namespace="default"), data={"file": "mapped"})
    )
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    run(
        "inputs",
        f"echo $WORD; cat /c/file; echo; cat {token}/namespace; echo; wc -c < {token}/token; "
        f"grep -c BEGIN {token}/ca.crt",
        container={
            "env": [{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "word"}}}],
            "volumeMounts": [{"name": "c", "mountPath": "/c"}],
        },
        volumes=[{"name": "c", "configMap": {"name": "c"}}],
    )
    wait(lambda: phase(client, "inputs") == "Succeeded")
    word, mapped, namespace, size, authorities = logs(plane, "inputs").split()
    assert (word, mapped, namespace, authorities) == ("secret", "mapped", "default", "1")
    assert int(size) > 500


def test_a_killed_agent_takes_up_its_pods_again(client, run, node, plane):
    run("long", "echo $$-$(date +%s%N); while [ ! -e /tmp/never ]; do sleep 0.1; done")
    wait(lambda: phase(client, "long") == "Running")
    before = wait(lambda: logs(plane, "long"))
    node.kill()
    node.start()
    wait(lambda: node.process.running() and ready(client, "worker"))
    run("after", "echo here")
    wait(lambda: phase(client, "after") == "Succeeded")
    found = client.get(Pod, "long", namespace="default").status
    assert (found.phase, found.containerStatuses[0].restartCount) == ("Running", 0)
    assert wait(lambda: logs(plane, "long")) == before


def test_a_pod_that_is_deleted_ends(client, run):
    run("doomed", "sleep 1000")
    wait(lambda: phase(client, "doomed") == "Running")
    client.delete(Pod, "doomed", namespace="default")

    def gone():
        try:
            client.get(Pod, "doomed", namespace="default")
        except ApiError as error:
            return error.status.code == 404
        return False

    wait(gone)


def test_what_the_machine_owns_is_not_lent(client, run):
    run(
        "curious",
        "ls /host",
        container={"volumeMounts": [{"name": "h", "mountPath": "/host"}]},
        volumes=[{"name": "h", "hostPath": {"path": "/etc"}}],
    )
    wait(
        lambda: [
            event
            for event in client.list(Event, namespace="default")
            if event.involvedObject.name == "curious"
            and "in none of the folders" in (event.message or "")
        ]
    )
    assert phase(client, "curious") == "Pending"


def test_commands_in_a_pod_are_refused_clearly(client, run, plane):
    run("closed", "sleep 1000")
    wait(lambda: phase(client, "closed") == "Running")
    done = subprocess.run(
        plane.kubectl("exec", "closed", "--", "true"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "lets nobody into them" in done.stderr


def test_the_server_asks_who_comes(client, node, plane):
    port = client.get(Node, "worker").status.daemonEndpoints.kubeletEndpoint.Port
    url = f"https://127.0.0.1:{port}"
    context = ssl.create_default_context(cafile=str(plane.authority))
    with httpx2.Client(verify=context, trust_env=False) as nobody:
        assert nobody.get(f"{url}/healthz").text == "ok"
        assert nobody.get(f"{url}/containerLogs/default/x/main").status_code == 401
    plane.user("stranger")
    pki = plane.authority.parent
    context.load_cert_chain(pki / "stranger.crt", pki / "stranger.key")
    with httpx2.Client(verify=context, trust_env=False) as stranger:
        answer = stranger.get(f"{url}/containerLogs/default/x/main")
        assert answer.status_code == 403
        assert "user=stranger, verb=get, resource=nodes" in answer.text
