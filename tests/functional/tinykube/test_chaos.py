"""kill -9 of the daemon at seeded moments: no pod is lost, none runs twice, logs are whole."""

from __future__ import annotations

import random
import time

import pytest
from lightkube.resources.core_v1 import Pod

LINES = 40


def body(name, script, **more):
    """A pod that notes each of its runs in /data, which outlives it."""
    main = {
        "name": "main",
        "image": "busybox",
        "command": ["sh", "-c", f"echo run >> /data/{name}; {script}"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        **more.pop("container", {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [main],
            "volumes": [{"name": "data", "hostPath": {"path": more.pop("folder")}}],
            **more,
        },
    }


def command(script):
    return {"exec": {"command": ["sh", "-c", script]}}


def pods(folder):
    """Pods of every kind that may be in the middle of something."""
    lines = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); sleep 0.02; done"
    folder = str(folder)
    yield body("plain", lines, folder=folder), 0, 1
    yield body("failing", f"{lines}; exit 3", folder=folder), 3, 1
    probe = {**command("true"), "periodSeconds": 1, "timeoutSeconds": 60}
    probed = {"startupProbe": probe, "livenessProbe": probe, "readinessProbe": probe}
    yield body("probed", lines, folder=folder, container=probed), 0, 1
    hooks = {"postStart": command("echo post >> /data/hooks"), "preStop": command("true")}
    # It waits for its hook: one that was interrupted, or never begun, must run.
    hooked = f"until test -e /data/hooks; do sleep 0.02; done; {lines}"
    yield body("hooked", hooked, folder=folder, container={"lifecycle": hooks}), 0, 1
    side = {
        "name": "side",
        "image": "busybox",
        "restartPolicy": "Always",
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"],
    }
    yield body("beside", lines, folder=folder, initContainers=[side]), 0, 1
    # Its first run fails; the second is the only other one.
    again = f"{lines}; test $(wc -l < /data/again) -ge 2"
    yield body("again", again, folder=folder, restartPolicy="OnFailure"), 0, 2


@pytest.mark.parametrize("seed", [1, 3])
def test_killed_at_any_moment(tinykube, tmp_path, seed):
    chance = random.Random(seed)
    folder = tmp_path / "data"
    folder.mkdir()
    tinykube.start()
    client = tinykube.client()
    wanted = list(pods(folder))
    for item, _, _ in wanted:
        client.create(Pod.from_dict(item), namespace="default")

    for _ in range(4):
        time.sleep(chance.uniform(0.02, 0.7))
        tinykube.kill()
        time.sleep(chance.choice([0.0, 0.3]))
        tinykube.start()
    # Another port each time: another client.
    client = tinykube.client()

    def ended():
        found = {item.metadata.name: item for item in client.list(Pod, namespace="default")}
        done = [p for p in found.values() if p.status.phase in ("Succeeded", "Failed")]
        return len(done) == len(wanted) and found

    found = tinykube.wait(ended)
    for item, code, runs in wanted:
        name = item["metadata"]["name"]
        status = found[name].status.containerStatuses[0]
        assert status.state.terminated.exitCode == code, name
        assert status.restartCount == runs - 1, name
        assert (folder / name).read_text() == "run\n" * runs, name
        log = "".join(client.log(name, namespace="default"))
        assert log.splitlines() == [f"line {number}" for number in range(LINES)], name
