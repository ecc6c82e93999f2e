"""A data folder on a full disk: writes are refused, nothing is lost, and it goes on after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightkube
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Event, Node, Pod

from .. import disk
from ..disk import Ballast
from .conftest import Tinykube

SIZE = 48 << 20
SPACE = "default"


def test_a_full_disk(tmp_path: Path) -> None:
    """Run the test below in a mount namespace where the data folder is a small tmpfs."""
    disk.run(f"{__file__}::test_on_a_small_disk", tmp_path, SIZE, 900)


@disk.inside
def test_on_a_small_disk(tmp_path: Path) -> None:
    data = disk.folder() / "k"
    data.mkdir(mode=0o700)
    (data / "config.yaml").write_text("port: 0\n")
    tinykube = Tinykube(data)
    try:
        tinykube.start()
        judge(tinykube, Ballast(disk.folder()), tmp_path)
    finally:
        for client in tinykube.clients:
            client.close()
        tinykube.run("stop", "--pods")


def template(script: str, outside: Path, **more: Any) -> dict[str, Any]:
    """A pod's spec; /outside is a folder on another disk."""
    main = {
        "name": "main",
        "image": "busybox",
        "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "outside", "mountPath": "/outside"}],
    }
    return {
        "terminationGracePeriodSeconds": 1,
        "containers": [main],
        "volumes": [{"name": "outside", "hostPath": {"path": str(outside)}}],
        **more,
    }


def pod(name: str, spec: dict[str, Any]) -> Pod:
    meta = {"name": name, "namespace": SPACE}
    return Pod.from_dict({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def refused(error: pytest.ExceptionInfo[ApiError]) -> bool:
    """True for the Status of a write that the disk has no room for."""
    status = error.value.status
    return (status.code, status.reason) == (500, "InternalError") and "full" in status.message


def judge(tinykube: Tinykube, ballast: Ballast, outside: Path) -> None:
    client = tinykube.client()
    # One that ends in the middle of it, and must not be taken for lost: it would run again.
    ends = template(
        "echo run >> /outside/ends; until test -e /outside/full; do sleep 0.02; done; "
        "echo ended; echo end >> /outside/ends",
        outside,
        restartPolicy="OnFailure",
    )
    client.create(pod("ends", ends))
    # One that fails in the middle of it: its next run has to wait for room.
    again = template(
        "echo run >> /outside/again; until test -e /outside/full; do sleep 0.02; done; "
        "test $(wc -l < /outside/again) -ge 2",
        outside,
        restartPolicy="OnFailure",
    )
    client.create(pod("again", again))
    # One whose main container has to be started in the middle of it: now, or when there is room.
    init = template("until test -e /outside/full; do sleep 0.02; done", outside)
    first = {**init["containers"][0], "name": "first"}
    begins = template("echo run >> /outside/begins", outside, restartPolicy="Never")
    client.create(pod("begins", {**begins, "initContainers": [first]}))
    # One that writes on through it all; a cut line begins with its number nevertheless. Twenty
    # lines are more than a page, so that a full disk has no room for them.
    talks = template(
        "say() { i=$((i+1)); printf 'line %07d %0500d\\n' $i 0; echo $i > /outside/said; }; "
        "echo run >> /outside/talks; i=0; until test -e /outside/last; do say; sleep 0.005; done; "
        "say",
        outside,
        restartPolicy="Never",
    )
    client.create(pod("talks", talks))
    # A Job whose second pod can only be made when there is room again.
    work = template(
        "echo run >> /outside/job; until test -e /outside/full; do sleep 0.02; done",
        outside,
        restartPolicy="Never",
    )
    meta = {"name": "twice", "namespace": SPACE}
    job = {"completions": 2, "parallelism": 1, "template": {"spec": work}}
    client.create(
        Job.from_dict({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job})
    )
    for name in ("ends", "again", "talks", "job"):
        tinykube.wait((outside / name).exists)
    tinykube.wait(lambda: (outside / "said").exists() and number(outside) > 20)

    # Acknowledged is what is kept; the first that is not, is refused with the reason.
    kept = []

    def until_full() -> None:
        while len(kept) < 5000:
            name = f"kept-{len(kept)}"
            wanted = ConfigMap(metadata=ObjectMeta(name=name), data={"a": "x" * 4096})
            client.create(wanted, namespace=SPACE)
            kept.append(name)

    ballast.fill()
    with pytest.raises(ApiError) as error:
        until_full()
    assert refused(error)
    with pytest.raises(ApiError) as error:
        client.create(pod("late", template("true", outside)))
    assert refused(error)
    with pytest.raises(ApiError) as error:
        client.delete(Pod, "talks", namespace=SPACE)
    assert refused(error)
    said = number(outside)
    (outside / "full").touch()

    # What only looks, works; and what ran, runs.
    assert client.get(Pod, "talks", namespace=SPACE).status.phase == "Running"
    assert json.loads(tinykube.run("status", "--json").stdout)["running"]
    tinykube.wait(lambda: "end" in (outside / "ends").read_text())
    tinykube.wait(lambda: number(outside) > said + 20)

    # Killed, it says why it cannot come back; what ran, runs.
    tinykube.kill()
    ballast.fill()
    done = tinykube.run("start")
    assert done.returncode == 1
    assert "full" in done.stderr or "No space" in done.stderr
    assert "Traceback" not in done.stderr
    said = number(outside)
    tinykube.wait(lambda: number(outside) > said + 20)

    # With some room it starts, sees that there was too little, and goes on when there is more.
    ballast.remove()
    leave(ballast, 4 << 20)
    tinykube.start()
    client = tinykube.client()
    tinykube.wait(lambda: condition(client) == "True")
    assert {item.metadata.name for item in client.list(ConfigMap, namespace=SPACE)} >= set(kept)
    client.create(pod("late", template("true", outside, restartPolicy="Never")))

    ballast.fill()
    said = number(outside)
    # Five hundred lines take more than two seconds: the node has looked at its disk meanwhile.
    tinykube.wait(lambda: number(outside) > said + 500)
    assert phase(client, "late") == "Pending"
    ballast.remove()
    tinykube.wait(lambda: condition(client) == "False")
    tinykube.wait(lambda: phase(client, "late") == "Succeeded")
    (outside / "last").touch()
    for name in ("ends", "again", "begins", "talks"):
        tinykube.wait(lambda name=name: phase(client, name) == "Succeeded")
    tinykube.wait(lambda: client.get(Job, "twice", namespace=SPACE).status.succeeded == 2)
    assert (outside / "ends").read_text() == "run\nend\n"
    assert (outside / "talks").read_text() == "run\n"
    assert (outside / "begins").read_text() == "run\n"
    assert (outside / "again").read_text() == "run\nrun\n"
    assert (outside / "job").read_text() == "run\nrun\n"
    assert restarts(client, "ends") == 0
    assert restarts(client, "again") == 1
    assert "".join(client.log("late", namespace=SPACE)) == ""

    # The log lacks what there was no room for, and nothing else; and that is told.
    lines = "".join(client.log("talks", namespace=SPACE)).splitlines()
    numbers = [int(line[5:12]) for line in lines if len(line) == 513]
    # A line is cut where the room ends; the daemon gives a page back now and then.
    assert len(lines) - len(numbers) <= 20, "lines were cut where there was room"
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == number(outside)
    assert set(range(1, 20)) <= set(numbers)
    assert len(numbers) < numbers[-1]
    tinykube.wait(lambda: told(client, "talks"))
    assert not told(client, "late")


def leave(ballast: Ballast, room: int) -> None:
    """Take all but so many bytes."""
    ballast.fill()
    with ballast.path.open("r+b") as file:
        file.truncate(ballast.path.stat().st_size - room)


def number(outside: Path) -> int:
    """The last line that the pod `talks` has said, or tried to say."""
    # The shell empties the file before it writes.
    return int(Tinykube.wait((outside / "said").read_text))


def phase(client: lightkube.Client, name: str) -> str:
    return str(client.get(Pod, name, namespace=SPACE).status.phase)


def restarts(client: lightkube.Client, name: str) -> int:
    (container,) = client.get(Pod, name, namespace=SPACE).status.containerStatuses
    return int(container.restartCount)


def condition(client: lightkube.Client) -> str:
    """The only node's DiskPressure."""
    (node,) = client.list(Node)
    conditions = (node.status and node.status.conditions) or ()
    return next((item.status for item in conditions if item.type == "DiskPressure"), "")


def told(client: lightkube.Client, name: str) -> bool:
    return any(
        event.reason == "DiskFull" and event.involvedObject.name == name
        for event in client.list(Event, namespace=SPACE)
    )
