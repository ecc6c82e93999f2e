"""Probes, hooks, side-cars, restarts and identities of real containers."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import NoSpaceError
from sandbox.spec import Spec
from sandbox.starting import Starting
from tinykube import objects
from tinykube.node import care, workload
from tinykube.node.client import JSON

from ...waiting import PATIENCE
from .conftest import DATA, VOLUMES, Api, Node, appears, shell
from .test_agent import terminated

FOREVER = "while :; do sleep 0.05; done"
# Probes come thirty times as fast as they are asked for, and a command may be slow to begin.
OFTEN = {"periodSeconds": 1, "timeoutSeconds": 60}


def command(script: str) -> JSON:
    return {"exec": {"command": ["sh", "-c", script]}}


def container(pod: JSON, index: int = 0, group: str = "containerStatuses") -> Any:
    return ((pod.get("status") or {}).get(group) or [{}] * (index + 1))[index]


def messages(api: Api, reason: str) -> list[str]:
    return [message for _, found, message in api.events if found == reason]


async def test_liveness_restarts(api: Api, node: Node) -> None:
    # It is well until it can be told to end.
    sick = "! test -e /data/up || { echo sick; test -e /data/well; }"
    probe = {**command(sick), **OFTEN, "failureThreshold": 2}
    script = f"trap 'touch /data/well; exit 3' TERM; touch /data/up; {FOREVER}"
    pod = await api.create(
        "p",
        shell(script, livenessProbe=probe, **DATA),
        volumes=VOLUMES,
        restartPolicy="Always",
    )

    await api.until(lambda: container(pod).get("restartCount") == 1)
    await api.until(lambda: "running" in container(pod)["state"])

    assert container(pod)["lastState"]["terminated"]["exitCode"] == 3
    assert messages(api, "Unhealthy") == ["Liveness probe failed: sick\n"] * 2
    assert "Container main failed liveness probe, will be restarted" in messages(api, "Killing")


async def test_liveness_kills_for_good_where_nothing_restarts(api: Api, node: Node) -> None:
    probe = {**command("false"), "periodSeconds": 1, "failureThreshold": 1}
    probe["terminationGracePeriodSeconds"] = 1
    pod = await api.create("p", shell(f"trap '' TERM; {FOREVER}", livenessProbe=probe))

    assert await api.finished(pod) == "Failed"
    assert terminated(pod)["exitCode"] == 137
    assert "Container main failed liveness probe" in messages(api, "Killing")


async def test_readiness_is_told(api: Api, node: Node) -> None:
    probe = {**command("test -e /data/ready"), **OFTEN}
    pod = await api.create("p", shell(FOREVER, readinessProbe=probe, **DATA), volumes=VOLUMES)

    await api.until(lambda: container(pod).get("started"))
    assert not container(pod)["ready"]
    (node.volume(pod) / "ready").touch()

    await api.until(lambda: container(pod)["ready"])
    found = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
    assert found["Ready"] == found["ContainersReady"] == "True"


async def test_probes_over_the_network(api: Api, node: Node) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            asked = await reader.readuntil(b"\r\n\r\n")
            code = b"200 OK" if b"GET /healthz " in asked else b"500 No"
            writer.write(b"HTTP/1.1 " + code + b"\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    number = server.sockets[0].getsockname()[1]
    ports = [{"name": "web", "containerPort": number}]
    good = {"httpGet": {"path": "/healthz", "port": "web"}, **OFTEN}
    bad = {"httpGet": {"path": "/", "port": number}, **OFTEN}
    open_ = {"tcpSocket": {"port": number}, **OFTEN}
    pod = await api.create(
        "p",
        shell(FOREVER, "a", ports=ports, readinessProbe=good, startupProbe=open_),
        shell(FOREVER, "b", ports=ports, readinessProbe=bad),
    )

    said = "Readiness probe failed: HTTP probe failed with statuscode: 500"
    await api.until(lambda: container(pod).get("ready"))
    async with asyncio.timeout(PATIENCE):
        while said not in messages(api, "Unhealthy"):  # noqa: ASYNC110 - events have no watch here
            await asyncio.sleep(0.02)
    server.close()

    assert not container(pod, 1)["ready"]


async def test_hooks(api: Api, node: Node) -> None:
    lifecycle = {
        "postStart": command(
            "until test -e /data/up; do sleep 0.02; done; echo post >> /data/log"
        ),
        "preStop": command("echo pre >> /data/log"),
    }
    script = f"trap 'cat /data/log; exit 0' USR1; touch /data/up; {FOREVER}"
    pod = await api.create(
        "p",
        shell(script, lifecycle={**lifecycle, "stopSignal": "SIGUSR1"}, **DATA),
        volumes=VOLUMES,
    )
    await api.until(lambda: container(pod).get("ready"))

    log = node.folder / "pods" / objects.uid(pod) / "main.0/output.log"
    descriptor = log.open("rb")
    await api.delete(pod, 30)
    await api.until(lambda: not api.pods)

    assert terminated(pod)["exitCode"] == 0
    with descriptor:
        assert descriptor.read() == b"post\npre\n"


async def test_a_hook_that_fails(api: Api, node: Node) -> None:
    lifecycle = {"postStart": command("echo why; exit 4")}
    # It may be told to end before it has its trap, and heed that no sooner than it is killed.
    script = f"trap 'exit 5' TERM; {FOREVER}"
    pod = await api.create(
        "p", shell(script, lifecycle=lifecycle), terminationGracePeriodSeconds=1
    )

    assert await api.finished(pod) == "Failed"
    assert messages(api, "FailedPostStartHook") == ["PostStartHook failed: exit code 4: why"]


async def test_a_hook_takes_of_the_grace_period(
    api: Api, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is left for the end is two seconds, which may be too few here.
    monkeypatch.setattr(care, "_LEAST_GRACE", PATIENCE)
    lifecycle = {"preStop": command("sleep 1000")}
    script = f"trap 'exit 6' TERM; touch /data/up; {FOREVER}"
    pod = await api.create("p", shell(script, lifecycle=lifecycle, **DATA), volumes=VOLUMES)
    await api.until(lambda: container(pod).get("ready"))
    await appears(node.volume(pod) / "up")

    await api.delete(pod, 1)
    await api.until(lambda: not api.pods)

    assert terminated(pod)["exitCode"] == 6
    assert messages(api, "FailedPreStopHook")


async def test_a_sidecar(api: Api, node: Node) -> None:
    side = shell(
        f"trap 'echo down >> /data/log; exit 0' TERM; echo up >> /data/log; {FOREVER}",
        "side",
        restartPolicy="Always",
        startupProbe={**command("grep up /data/log"), **OFTEN, "failureThreshold": 10_000},
        **DATA,
    )
    pod = await api.create(
        "p",
        shell("echo main >> /data/log; sleep 0.2", **DATA),
        initContainers=[side, shell("echo init >> /data/log", "init", **DATA)],
        volumes=VOLUMES,
    )
    log = node.folder / "pods" / objects.uid(pod) / "volumes/v/log"

    assert await api.finished(pod) == "Succeeded"

    assert log.read_text().split() == ["up", "init", "main", "down"]
    assert terminated(pod, 0, "initContainerStatuses")["exitCode"] == 0
    assert "Running" in api.phases["p"]


async def test_a_sidecar_is_restarted(api: Api, node: Node) -> None:
    side = shell("echo x >> /data/log", "side", restartPolicy="Always", **DATA)
    main = shell("until test $(wc -l < /data/log) -ge 3; do sleep 0.02; done", **DATA)
    pod = await api.create("p", main, initContainers=[side], volumes=VOLUMES)

    assert await api.finished(pod) == "Succeeded"
    assert container(pod, 0, "initContainerStatuses")["restartCount"] >= 2


async def test_restart_rules(api: Api, node: Node) -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    script = "echo x >> /data/log; test $(wc -l < /data/log) -ge 2 || exit 42; exit 1"
    main = shell(script, restartPolicy="Never", restartPolicyRules=rules, **DATA)
    pod = await api.create("p", main, volumes=VOLUMES)

    assert await api.finished(pod) == "Failed"
    assert container(pod)["restartCount"] == 1
    assert terminated(pod)["exitCode"] == 1


async def test_counts_survive_the_nodes_restart(api: Api, node: Node) -> None:
    script = "echo x >> /data/log; test $(wc -l < /data/log) -lt 3 && exit 7; sleep 1000"
    pod = await api.create("p", shell(script, **DATA), volumes=VOLUMES, restartPolicy="OnFailure")
    await api.until(lambda: container(pod).get("restartCount") == 2 and container(pod)["ready"])
    before = objects.copy(container(pod))

    await node.stop()
    del pod["status"]["containerStatuses"][0]["lastState"]
    node.start()
    await api.until(lambda: container(pod).get("lastState"))

    assert container(pod) == before


async def test_another_user(api: Api, node: Node) -> None:
    pod = await api.create(
        "p",
        shell("id -u; id -g; id -un; touch /x; touch /data/x; stat -c %u /data/x", **DATA),
        volumes=VOLUMES,
        securityContext={"runAsUser": 1000, "runAsGroup": 100, "fsGroup": 5, "runAsNonRoot": True},
    )

    assert await api.finished(pod) == "Succeeded"
    assert (await node.logs(pod)).split() == [b"1000", b"100", b"user1000", b"1000"]


async def test_a_root_that_cannot_be_written_to(api: Api, node: Node) -> None:
    pod = await api.create(
        "p",
        shell(
            "touch /x /tmp/x 2>/dev/null || echo no; touch /data/x && echo yes",
            securityContext={"readOnlyRootFilesystem": True},
            **DATA,
        ),
        volumes=VOLUMES,
    )

    assert await api.finished(pod) == "Succeeded"
    assert await node.logs(pod) == b"no\nyes\n"


async def test_root_where_it_is_not_wanted(api: Api, node: Node) -> None:
    pod = await api.create("p", shell("true", securityContext={"runAsNonRoot": True}))

    await api.until(lambda: "waiting" in container(pod).get("state", {}))
    await api.until(
        lambda: "runAsNonRoot and image" in container(pod)["state"]["waiting"].get("message", "")
    )
    assert container(pod)["state"]["waiting"]["reason"] == "CreateContainerConfigError"


@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
async def test_what_cannot_be_started_is_tried_again(api: Api, node: Node, policy: str) -> None:
    broken = {"name": "main", "image": "busybox", "command": ["/no/such"]}
    pod = await api.create("p", broken, restartPolicy=policy)

    await api.until(lambda: container(pod).get("restartCount", 0) >= 2)

    assert container(pod)["lastState"]["terminated"]["reason"] == "StartError"


async def test_what_the_disk_has_no_room_for_waits(
    api: Api, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not run, so that it has not failed either."""
    tries = []

    def full(directory: Path, spec: Spec) -> Starting:
        tries.append(directory)
        if len(tries) < 3:
            raise NoSpaceError("cannot start: No space left on device")
        return Starting(directory, spec)

    monkeypatch.setattr(workload, "Starting", full)
    pod = await api.create("p", shell("true"))

    await api.until(lambda: "waiting" in container(pod).get("state", {}))
    await api.until(lambda: container(pod)["state"].get("waiting", {}).get("message"))
    assert container(pod)["state"]["waiting"] == {
        "reason": "CreateContainerError",
        "message": "cannot start: No space left on device",
    }
    assert await api.finished(pod) == "Succeeded"
    assert container(pod)["restartCount"] == 0
    assert tries == [tries[0]] * 3
    assert messages(api, "Failed") == ["Error: cannot start: No space left on device"]


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
async def test_the_clock_is_set(api: Api, node: Node, jump: float) -> None:
    """Neither waits nor grace periods grow or shrink by it, and nothing is killed for it."""
    probe = {**command("true"), **OFTEN, "initialDelaySeconds": 1}
    script = "echo x >> /data/runs; test $(wc -l < /data/runs) -ge 3"
    failing = await api.create(
        "failing", shell(script, **DATA), volumes=VOLUMES, restartPolicy="OnFailure"
    )
    steady = await api.create(
        "steady", shell(f"trap 'exit 9' TERM; {FOREVER}", livenessProbe=probe)
    )
    await api.running(steady)
    await api.until(lambda: container(failing).get("restartCount", 0) >= 1)

    node.clock.shift = jump

    assert await api.finished(failing) == "Succeeded"
    assert container(failing)["restartCount"] == 2
    assert "running" in container(steady)["state"]
    await api.delete(steady, 30)
    await api.until(lambda: objects.uid(steady) not in api.pods)
    assert terminated(steady)["exitCode"] == 9


async def test_usage(api: Api, node: Node) -> None:
    busy = await api.create("busy", shell("while :; do :; done"))
    idle = await api.create("idle", shell("sleep 1000"))
    done = await api.create("done", shell("true"))
    for pod in (busy, idle):
        await api.running(pod)
    await api.finished(done)

    found = await node.agent.usage([busy, idle, done])

    assert set(found) == {(objects.uid(busy), "main"), (objects.uid(idle), "main")}
    assert found[objects.uid(busy), "main"].cpu > found[objects.uid(idle), "main"].cpu
    assert found[objects.uid(idle), "main"].memory > 0
    assert set(await node.agent.machines()) == {"node-1"}
