"""Two more nodes on a tinykube daemon: agents of their own that join by HTTPS."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from lightkube.codecs import from_dict
from lightkube.core.exceptions import ApiError
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Node, Pod, Secret

from tinykube import ending
from tinykube.node import connection

from ..waiting import PATIENCE


class Worker:
    """`tinykube node` with the credentials of a daemon."""

    def __init__(self, tinykube, name: str, *options: str) -> None:
        self.name = name
        self.files = tinykube.data.parent / f"{name}-files"
        self.folder = tinykube.data.parent / name
        done = tinykube.run("node-credentials", name, f"--out={self.files}")
        assert done.returncode == 0, done.stderr
        self._arguments = [
            *(sys.executable, "-m", "tinykube", "node", f"--name={name}", "--port=0"),
            f"--kubeconfig={self.files}/kubeconfig",
            f"--data={self.folder}",
            f"--client-ca-file={self.files}/ca.crt",
            f"--tls-cert-file={self.files}/serving.crt",
            f"--tls-private-key-file={self.files}/serving.key",
            *options,
        ]
        self.log = Path(f"{self.folder}.log")
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._arguments, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
        ending.end_all(self.folder)


@pytest.fixture
def join(tinykube):
    """Have a node join the daemon; it ends with the test."""
    tinykube.start()
    workers = []

    def make(name: str, *options: str) -> Worker:
        workers.append(Worker(tinykube, name, *options))
        return workers[-1]

    yield make
    for worker in workers:
        worker.end()


def ready(client, name):
    with contextlib.suppress(ApiError):
        status = client.get(Node, name).status
        conditions = (status and status.conditions) or ()
        return any(item.type == "Ready" and item.status == "True" for item in conditions)
    return False


def pod(name, script, node=None, **spec):
    selector = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script]}
    return from_dict(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "containers": [container],
                **selector,
                **spec,
            },
        }
    )


def phase(client, name):
    return client.get(Pod, name).status.phase


def log(client, name):
    # Not started yet, or its node is just coming back.
    with contextlib.suppress(ApiError):
        return "".join(client.log(name))
    return ""


def test_pods_run_on_the_node_they_ask_for(tinykube, join):
    join("one")
    join("two", "--taints=dedicated=tests:NoSchedule", "--labels=disk=ssd")
    client = tinykube.client()
    tinykube.wait(lambda: ready(client, "one") and ready(client, "two"))
    client.create(pod("a", "echo a on $(hostname)", "one"))
    client.create(pod("c", "echo c", "two"))
    tolerant = {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}
    client.create(pod("b", "echo b", nodeSelector={"disk": "ssd"}, **tolerant))
    tinykube.wait(lambda: phase(client, "a") == phase(client, "b") == "Succeeded")
    assert client.get(Pod, "b").spec.nodeName == "two"
    assert log(client, "a") == "a on a\n"
    assert log(client, "b") == "b\n"
    (condition,) = client.get(Pod, "c").status.conditions
    assert condition.message.startswith(
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), "
        "2 node(s) didn't match Pod's node affinity/selector. "
    )


def test_a_killed_node_and_a_killed_daemon_lose_no_pod(tinykube, join):
    worker = join("one")
    client = tinykube.client()
    tinykube.wait(lambda: ready(client, "one"))
    client.create(pod("long", "echo $$-$(date +%s%N); sleep 1000", "one"))
    first = tinykube.wait(lambda: log(client, "long"))
    worker.kill()
    tinykube.kill()
    # The node knows the control plane by its port.
    port = connection.read(worker.files / "kubeconfig", worker.files / "test").port
    (tinykube.data / "config.yaml").write_text(f"port: {port}\n")
    tinykube.start()
    worker.start()
    client = tinykube.client()
    client.create(pod("after", "echo here", "one"))
    tinykube.wait(lambda: phase(client, "after") == "Succeeded")
    tinykube.wait(lambda: phase(client, "long") == "Running")
    assert client.get(Pod, "long").status.containerStatuses[0].restartCount == 0
    assert tinykube.wait(lambda: log(client, "long")) == first
    client.delete(Pod, "long")
    tinykube.wait(lambda: "long" not in [item.metadata.name for item in client.list(Pod)])


@pytest.mark.parametrize("away", [0.0, 2.0])
def test_a_node_goes_on_while_its_control_plane_is_away(tinykube, join, tmp_path, away):
    """The agent lives all the time; what its pods did meanwhile is caught up, and nothing more."""
    outside = tmp_path / "outside"
    outside.mkdir()
    config = tmp_path / "worker.yaml"
    config.write_text(f"hostPaths: [{outside}]\n")
    worker = join("one", f"--config={config}")
    client = tinykube.client()
    tinykube.wait(lambda: ready(client, "one"))
    port = connection.read(worker.files / "kubeconfig", worker.files / "test").port

    def noting(name, script, **spec):
        """A pod that notes each of its runs, and what it waits for."""
        script = f"echo run >> /outside/{name}; {script}"
        made = pod(name, script, "one", **spec).to_dict()
        mount = {"name": "outside", "mountPath": "/outside"}
        made["spec"]["containers"][0]["volumeMounts"] = [mount]
        made["spec"]["volumes"] = [{"name": "outside", "hostPath": {"path": str(outside)}}]
        return made

    gone = "until test -e /outside/gone; do sleep 0.02; done"
    back = "until test -e /outside/back; do sleep 0.02; done"
    made = [
        noting("long", f"i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done & {back}"),
        noting("ends", f"{gone}; echo done"),
        noting("fails", f"{gone}; exit 3"),
        # Its next run begins and ends while nobody can be told.
        noting(
            "again",
            f"{gone}; test $(wc -l < /outside/again) -ge 2",
            restartPolicy="OnFailure",
        ),
    ]
    template = noting("twice", gone)
    job = {"completions": 2, "parallelism": 1, "template": {"spec": template["spec"]}}
    meta = {"name": "twice", "namespace": "default"}
    work = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job}
    for item in (*made, work):
        client.create(from_dict(item))
    names = ("long", "ends", "fails", "again", "twice")
    tinykube.wait(lambda: all((outside / name).exists() for name in names))
    # Made, and not yet seen by the node.
    client.create(from_dict(noting("late", "true")))

    tinykube.kill()
    (outside / "gone").touch()
    (tinykube.data / "config.yaml").write_text(f"port: {port}\n")
    time.sleep(away)
    tinykube.start()
    client = tinykube.client()

    tinykube.wait(lambda: phase(client, "ends") == phase(client, "again") == "Succeeded")
    tinykube.wait(lambda: phase(client, "fails") == "Failed")
    tinykube.wait(lambda: phase(client, "late") == "Succeeded")
    tinykube.wait(lambda: client.get(Job, "twice", namespace="default").status.succeeded == 2)
    # The watch works again, in both directions.
    tinykube.wait(lambda: ready(client, "one"))
    client.create(from_dict(noting("after", "true")))
    tinykube.wait(lambda: phase(client, "after") == "Succeeded")
    assert phase(client, "long") == "Running"
    (outside / "back").touch()
    tinykube.wait(lambda: phase(client, "long") == "Succeeded")
    runs = {name: (outside / name).read_text().count("run") for name in (*names, "late", "after")}
    once = dict.fromkeys(("long", "ends", "fails", "late", "after"), 1)
    assert runs == {**once, "again": 2, "twice": 2}
    (fails,) = client.get(Pod, "fails").status.containerStatuses
    assert (fails.restartCount, fails.state.terminated.exitCode) == (0, 3)
    assert client.get(Pod, "again").status.containerStatuses[0].restartCount == 1
    assert log(client, "ends") == "done\n"
    numbers = [int(line) for line in log(client, "long").split()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_node_has_what_its_pods_name_and_nothing_else(tinykube, join):
    worker = join("one")
    client = tinykube.client()
    tinykube.wait(lambda: ready(client, "one"))
    for name in ("mine", "others"):
        client.create(
            from_dict(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": name, "namespace": "default"},
                    "stringData": {"a": "b"},
                }
            )
        )
    source = {"secret": {"secretName": "mine"}}
    client.create(pod("p", "sleep 1000", "one", volumes=[{"name": "v", **source}]))
    tinykube.wait(lambda: phase(client, "p") == "Running")
    reached = connection.read(worker.files / "kubeconfig", worker.files / "test")
    with httpx2.Client(base_url=reached.server, verify=reached.tls(), trust_env=False) as node:
        space = "/api/v1/namespaces/default"
        assert node.get(f"{space}/secrets/mine").status_code == 200
        assert node.get(f"{space}/secrets/others").status_code == 403
        assert node.get(f"{space}/secrets").status_code == 403
        assert node.get("/api/v1/nodes/one").status_code == 200
        assert node.get("/api/v1/pods").status_code == 403
        mine = {"fieldSelector": "spec.nodeName=one"}
        assert len(node.get("/api/v1/pods", params=mine).json()["items"]) == 1
        own = client.get(Node, "one").metadata.name
        assert own == "one"
        other = next(item.metadata.name for item in client.list(Node) if item.metadata.name != own)
        assert node.delete(f"/api/v1/nodes/{other}").status_code == 403
        assert node.post(f"{space}/pods", json={}).status_code == 403
    assert client.get(Secret, "others").data


def test_two_nodes_on_one_folder_are_refused(tinykube, join):
    worker = join("one")
    client = tinykube.client()
    tinykube.wait(lambda: ready(client, "one"))
    done = subprocess.run(
        worker._arguments,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 1
    assert "another node runs on" in done.stderr
