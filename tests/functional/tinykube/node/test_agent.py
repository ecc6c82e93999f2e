from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tinykube import objects
from tinykube.node import recipe
from tinykube.node.client import JSON, LogOptions, LogsError

from ...waiting import PATIENCE
from .conftest import DATA, GATE, VOLUMES, Api, Node, appears, shell


def terminated(pod: JSON, index: int = 0, group: str = "containerStatuses") -> Any:
    return pod["status"][group][index]["state"]["terminated"]


async def test_the_node_registers(api: Api, node: Node) -> None:
    await api.finished(await api.create("p", shell("true")))

    assert api.node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-1"
    assert api.node["status"]["allocatable"]["pods"] == "20"
    assert api.lease == ("node-1", 40)


async def test_a_pod_runs_to_its_end(api: Api, node: Node) -> None:
    pod = await api.create("p", shell("echo out; echo err >&2; echo bye > /dev/termination-log"))

    assert await api.finished(pod) == "Succeeded"
    assert terminated(pod)["exitCode"] == 0
    assert terminated(pod)["reason"] == "Completed"
    assert terminated(pod)["message"] == "bye\n"
    assert await node.logs(pod) == b"out\nerr\n"
    assert await node.logs(pod, tail_lines=1) == b"err\n"
    assert api.phases["p"][-1] == "Succeeded"
    assert ("p", "Started", "Started container main") in api.events


async def test_a_failure_and_its_last_words(api: Api, node: Node) -> None:
    pod = await api.create(
        "p", shell("echo broken; exit 7", terminationMessagePolicy="FallbackToLogsOnError")
    )

    assert await api.finished(pod) == "Failed"
    assert terminated(pod)["exitCode"] == 7
    assert terminated(pod)["message"] == "broken\n"


async def test_init_containers_run_in_order(api: Api, node: Node) -> None:
    volume = {"name": "v", "emptyDir": {}}
    mounts = [{"name": "v", "mountPath": "/data"}]
    pod = await api.create(
        "p",
        shell("cat /data/x", volumeMounts=mounts),
        initContainers=[
            shell("echo 1 >> /data/x", "one", volumeMounts=mounts),
            shell("echo 2 >> /data/x", "two", volumeMounts=mounts),
        ],
        volumes=[volume],
    )

    assert await api.finished(pod) == "Succeeded"
    assert await node.logs(pod) == b"1\n2\n"
    assert terminated(pod, 1, "initContainerStatuses")["exitCode"] == 0


async def test_a_failed_init_container_fails_the_pod(api: Api, node: Node) -> None:
    pod = await api.create("p", shell("true"), initContainers=[shell("exit 3", "one")])

    assert await api.finished(pod) == "Failed"
    assert terminated(pod, 0, "initContainerStatuses")["exitCode"] == 3
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    with pytest.raises(LogsError, match='"main" in pod "p" is waiting to start: PodInitializing'):
        await node.logs(pod)


async def test_environment_and_volumes(api: Api, node: Node) -> None:
    api.objects["Secret", "s"] = {"data": {"key": "czNjcmV0"}}
    pod = await api.create(
        "p",
        {
            "name": "main",
            "image": "busybox",
            "command": ["sh", "-c", "echo $0 $TOKEN; cat /secret/key; pwd", "$(NAME)"],
            "workingDir": "/srv",
            "env": [
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
            ],
            "volumeMounts": [{"name": "s", "mountPath": "/secret"}],
        },
        volumes=[{"name": "s", "secret": {"secretName": "s"}}],
    )

    assert await api.finished(pod) == "Succeeded"
    assert await node.logs(pod) == b"p s3cret\ns3cret/srv\n"


@pytest.mark.parametrize(
    ("container", "volumes", "reason", "message"),
    [
        (
            shell(
                "true",
                env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            ),
            [],
            "CreateContainerConfigError",
            'secret "s" not found',
        ),
        ({**shell("true"), "image": "nginx:1"}, [], "ErrImagePull", '"nginx:1" is not on this'),
    ],
)
async def test_what_is_missing_is_waited_for(
    api: Api,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    container: JSON,
    volumes: list[JSON],
    reason: str,
    message: str,
) -> None:
    # Or both reasons may be told as one, on a machine that has much to do.
    monkeypatch.setattr(recipe, "_RETRY", 60.0)
    pod = await api.create("p", container, volumes=volumes)

    def told() -> list[str]:
        """The reasons that were told with the message: another one may follow."""
        return [found["reason"] for found in api.waiting["p"] if message in found["message"]]

    await api.until(told)
    assert told()[0] == reason
    assert pod["status"]["phase"] == "Pending"
    api.objects["Secret", "s"] = {"data": {"k": ""}}
    (node.folder / "config.yaml").write_text('images: [{match: "nginx*", image: machine}]')

    assert await api.finished(pod) == "Succeeded"


async def test_a_pod_takes_the_folder_that_was_made_in_advance(api: Api, node: Node) -> None:
    await api.finished(await api.create("first", shell("true")))
    spare = node.folder / "spare"
    await appears(spare / "next/output.times")
    inode, taken, tries = spare.stat().st_ino, 0, 0
    while taken != inode and tries < 100:
        # One that comes before the agent has heard of it makes its own, and leaves it.
        tries += 1
        pod = await api.create(f"p{tries}", shell("echo out", image="nginx"))
        await api.until(lambda name=f"p{tries}": api.waiting[name])
        taken = (node.folder / "pods" / objects.uid(pod)).stat().st_ino

    assert taken == inode
    # It has not begun, whatever lies in its folder.
    with pytest.raises(LogsError, match="is waiting to start"):
        await node.logs(pod)
    (node.folder / "config.yaml").write_text('images: [{match: "nginx*", image: machine}]')
    assert await api.finished(pod) == "Succeeded"
    assert await node.logs(pod) == b"out\n"


async def test_a_command_that_is_not_there(api: Api, node: Node) -> None:
    pod = await api.create("p", {"name": "main", "image": "busybox", "command": ["/no/such"]})

    assert await api.finished(pod) == "Failed"
    assert terminated(pod)["reason"] == "StartError"
    assert "/no/such" in terminated(pod)["message"]


async def test_arguments_alone_are_the_command(api: Api, node: Node) -> None:
    pod = await api.create("p", {"name": "main", "image": "busybox", "args": ["echo", "out"]})

    assert await api.finished(pod) == "Succeeded"
    assert await node.logs(pod) == b"out\n"


async def test_on_failure_starts_it_again(api: Api, node: Node) -> None:
    mounts = [{"name": "v", "mountPath": "/data"}]
    script = "echo x >> /data/runs; test $(wc -l < /data/runs) -ge 3"
    pod = await api.create(
        "p",
        shell(script, volumeMounts=mounts),
        volumes=[{"name": "v", "emptyDir": {}}],
        restartPolicy="OnFailure",
    )

    def waits() -> bool:
        statuses = (pod.get("status") or {}).get("containerStatuses") or [{"state": {}}]
        return bool(statuses[0]["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff")

    await api.until(waits)
    assert pod["status"]["phase"] == "Running"
    assert await api.finished(pod) == "Succeeded"
    status = pod["status"]["containerStatuses"][0]
    assert status["restartCount"] == 2
    assert status["lastState"]["terminated"]["exitCode"] == 1


async def test_the_deadline(api: Api, node: Node) -> None:
    pod = await api.create(
        "p",
        shell("trap 'exit 5' TERM; while :; do sleep 0.01; done"),
        activeDeadlineSeconds=1,
    )

    assert await api.finished(pod) == "Failed"
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert "longer than the specified deadline" in pod["status"]["message"]
    assert terminated(pod)["exitCode"] == 5


async def test_memory(api: Api, node: Node) -> None:
    code = "import time; x = b'x' * (200 << 20); time.sleep(1000)"
    pod = await api.create(
        "p",
        {
            "name": "main",
            "image": "busybox",
            "command": ["/usr/bin/env", "python3", "-c", code],
            "resources": {"limits": {"memory": "64Mi"}},
        },
    )

    assert await api.finished(pod) == "Failed"
    assert terminated(pod)["reason"] == "OOMKilled"
    assert terminated(pod)["exitCode"] == 137


async def test_processes(api: Api, node: Node) -> None:
    script = "(for each in $(seq 200); do sleep 1000 & done); sleep 1000"
    pod = await api.create("p", shell(script))

    assert await api.finished(pod) == "Failed"
    assert terminated(pod)["reason"] == "TooManyProcesses"
    assert terminated(pod)["exitCode"] == 137


async def test_deletion_gives_time_and_then_kills(api: Api, node: Node) -> None:
    forever = "echo ready; while :; do sleep 0.01; done"
    polite = await api.create("a", shell(f"trap 'exit 0' TERM; {forever}"))
    deaf = await api.create("b", shell(f"trap '' TERM; {forever}"))
    for pod in (polite, deaf):
        await api.running(pod)
        async with asyncio.timeout(PATIENCE):
            while await node.logs(pod) != b"ready\n":  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)

    await api.delete(polite, 30)
    await api.delete(deaf, 1)
    await api.until(lambda: not api.pods)

    assert terminated(polite)["exitCode"] == 0
    assert terminated(deaf)["exitCode"] == 137
    await node.emptied()


async def test_logs_are_followed_to_the_end(api: Api, node: Node) -> None:
    pod = await api.create("p", shell(f"echo one; {GATE}; echo two", **DATA), volumes=VOLUMES)
    await api.running(pod)

    found = b""
    async with asyncio.timeout(PATIENCE):
        async for chunk in node.agent.logs(pod, "main", LogOptions(follow=True)):
            found += chunk
            if found == b"one\n":
                (node.volume(pod) / "go").touch()

    assert found == b"one\ntwo\n"


async def test_a_restarted_node_adopts_what_runs(api: Api, node: Node) -> None:
    script = f"echo x >> /data/runs; {GATE}; cat /data/runs"
    pod = await api.create("p", shell(script, **DATA), volumes=VOLUMES)
    await api.running(pod)
    before = objects.copy(pod["status"]["containerStatuses"])

    await node.stop()
    node.start()
    (node.volume(pod) / "go").touch()

    assert await api.finished(pod) == "Succeeded"
    assert await node.logs(pod) == b"x\n"
    assert pod["status"]["containerStatuses"][0]["containerID"] == before[0]["containerID"]
    assert terminated(pod)["startedAt"] == before[0]["state"]["running"]["startedAt"]


async def test_what_ended_while_the_node_was_down_is_reported(api: Api, node: Node) -> None:
    script = f"{GATE}; touch /data/gone; exit 4"
    pod = await api.create("p", shell(script, **DATA), volumes=VOLUMES)
    await api.running(pod)
    await node.stop()
    (node.volume(pod) / "go").touch()
    await appears(node.volume(pod) / "gone")

    node.start()

    assert await api.finished(pod) == "Failed"
    assert terminated(pod)["exitCode"] == 4


async def test_what_was_deleted_while_the_node_was_down_is_ended(api: Api, node: Node) -> None:
    pod = await api.create("p", shell("sleep 1000"))
    await api.running(pod)
    await node.stop()
    del api.pods[objects.uid(pod)]

    node.start()

    await node.emptied()


async def test_a_pod_whose_folder_is_gone_does_not_run_twice(
    api: Api, node: Node, tmp_path: Path
) -> None:
    pod = await api.create("p", shell("sleep 1000"))
    await api.running(pod)
    await node.stop()
    (node.folder / "pods" / objects.uid(pod)).rename(tmp_path / "lost")

    node.start()

    try:
        assert await api.finished(pod) == "Failed"
        assert terminated(pod)["reason"] == "ContainerStatusUnknown"
    finally:
        (tmp_path / "lost").rename(node.folder / "pods" / "lost")


async def test_the_status_arrives_when_the_api_is_back(api: Api, node: Node) -> None:
    pod = await api.create("p", shell(f"{GATE}; exit 4", **DATA), volumes=VOLUMES)
    await api.running(pod)
    api.broken = True
    (node.volume(pod) / "go").touch()
    async with asyncio.timeout(PATIENCE):
        while not api.refused:  # noqa: ASYNC110 - nobody is told of what did not work
            await asyncio.sleep(0.01)
    assert pod["status"]["phase"] == "Running"

    api.broken = False

    assert await api.finished(pod) == "Failed"
    assert terminated(pod)["exitCode"] == 4


async def test_times_of_a_log(api: Api, node: Node) -> None:
    pod = await api.create("p", shell("echo one; sleep 0.4; echo two"))
    await api.finished(pod)

    lines = (await node.logs(pod, timestamps=True)).decode().splitlines()
    first, second = (objects.when(line.split()[0]).timestamp() for line in lines)

    assert [line.split()[1] for line in lines] == ["one", "two"]
    assert second - first > 0.2
    assert await node.logs(pod, since=second - 0.05) == b"two\n"


async def test_the_log_of_the_run_before(api: Api, node: Node) -> None:
    mounts = [{"name": "v", "mountPath": "/data"}]
    script = "echo x >> /data/runs; wc -l < /data/runs; test $(wc -l < /data/runs) -ge 3"
    pod = await api.create(
        "p",
        shell(script, volumeMounts=mounts),
        volumes=[{"name": "v", "emptyDir": {}}],
        restartPolicy="OnFailure",
    )
    await api.finished(pod)

    assert await node.logs(pod) == b"3\n"
    assert await node.logs(pod, previous=True) == b"2\n"
    # Of all runs before those two nothing is left.
    folder = node.folder / "pods" / objects.uid(pod)
    assert sorted(path.name for path in folder.glob("main.*")) == ["main.1", "main.2"]


async def test_there_was_no_run_before(api: Api, node: Node) -> None:
    pod = await api.create("p", shell("true"))
    await api.finished(pod)

    with pytest.raises(LogsError, match='previous terminated container "main" in pod "p" not'):
        await node.logs(pod, previous=True)


async def test_changes_reach_a_running_container(api: Api, node: Node) -> None:
    api.objects["ConfigMap", "c"] = {"data": {"key": "old"}}
    fields = {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}
    script = (
        "cat /c/key; until grep -q new /c/key && grep -q x /d/labels; do sleep 0.02; done;"
        " cat /c/key /d/labels"
    )
    pod = await api.create(
        "p",
        shell(
            script,
            volumeMounts=[{"name": "c", "mountPath": "/c"}, {"name": "d", "mountPath": "/d"}],
        ),
        volumes=[{"name": "c", "configMap": {"name": "c"}}, {"name": "d", "downwardAPI": fields}],
    )
    await api.running(pod)
    async with asyncio.timeout(PATIENCE):
        while await node.logs(pod) != b"old":  # noqa: ASYNC110 - a file, looked at
            await asyncio.sleep(0.02)

    api.objects["ConfigMap", "c"] = {"data": {"key": "new"}}
    pod["metadata"]["labels"] = {"x": "y"}
    await api._tell("MODIFIED", pod)

    assert await api.finished(pod) == "Succeeded"
    assert await node.logs(pod) == b'oldnewx="y"'


async def test_an_empty_dir_in_memory_is_bounded(api: Api, node: Node) -> None:
    pod = await api.create(
        "p",
        shell(
            "df -k /dev/shm | tail -1; head -c 3000000 /dev/zero > /dev/shm/x || echo full",
            volumeMounts=[{"name": "v", "mountPath": "/dev/shm"}],
        ),
        volumes=[{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
    )

    assert await api.finished(pod) == "Succeeded"
    words = (await node.logs(pod)).decode().split()
    assert (words[0], words[1], words[-1]) == ("tmpfs", "1024", "full")
