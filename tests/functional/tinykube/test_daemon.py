from __future__ import annotations

import contextlib
import json
import socket

import httpx2
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.core_v1 import (
    Container,
    HostPathVolumeSource,
    PodSpec,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node, Pod, Secret


def pod(name, *command, **spec):
    main = Container(name="main", image="busybox", command=list(command))
    return Pod(
        metadata=ObjectMeta(name=name),
        spec=PodSpec(restartPolicy="Never", containers=[main], **spec),
    )


def running(client, name):
    found = client.get(Pod, name)
    return found.status.phase == "Running" and found


def ended(client, name):
    found = client.get(Pod, name)
    return found.status.phase in ("Succeeded", "Failed") and found


def test_start_status_and_stop(tinykube):
    tinykube.start()
    shown = json.loads(tinykube.run("status", "--json").stdout)
    assert shown["running"]
    assert shown["pid"] == tinykube.pid
    again = tinykube.run("start")
    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert tinykube.run("stop").returncode == 0
    assert tinykube.run("status").returncode == 3
    assert tinykube.run("stop").returncode == 0


def test_two_daemons_do_not_share_a_folder(tinykube):
    tinykube.start()
    second = tinykube.run("serve")
    assert second.returncode == 1
    assert "already runs" in second.stderr


def test_a_port_in_use(tinykube):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (tinykube.data / "config.yaml").write_text(f"port: {port}\n")
        done = tinykube.run("start")
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use by " in done.stderr
    (tinykube.data / "config.yaml").write_text("port: 0\n")
    tinykube.start()


def test_a_damaged_database(tinykube):
    (tinykube.data / "state.db").write_bytes(b"garbage" * 1000)
    done = tinykube.run("start")
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert "move it" in done.stderr
    assert (tinykube.data / "state.db").read_bytes() == b"garbage" * 1000


def test_a_damaged_database_is_put_back_from_its_copy(tinykube):
    tinykube.start()
    tinykube.client().create(
        Secret(metadata=ObjectMeta(name="kept"), stringData={"key": "value"}), namespace="default"
    )
    assert tinykube.run("restore").returncode == 1  # not under a running daemon
    assert tinykube.run("backup").returncode == 0
    tinykube.client().create(pod("newer", "sleep", "60"), namespace="default")
    client = tinykube.client()
    tinykube.wait(lambda: running(client, "newer"))
    tinykube.kill()
    for path in tinykube.data.glob("state.db*"):
        path.write_bytes(b"garbage" * 1000)
    done = tinykube.run("start")
    assert done.returncode == 1
    assert "`tinykube restore`" in done.stderr
    assert "(the copy is of 20" in done.stderr
    done = tinykube.run("restore")
    assert done.returncode == 0, done.stderr
    assert len(list(tinykube.data.glob("state.db.damaged-*Z"))) == 1
    tinykube.start()
    client = tinykube.client()
    assert client.get(Secret, "kept").data == {"key": "dmFsdWU="}
    # Made after the copy: the API does not know it, so that its processes end.
    assert [found.metadata.name for found in client.list(Pod)] == []
    tinykube.wait(lambda: not list((tinykube.data / "node" / "pods").glob("*")))


def test_a_clean_end_leaves_a_copy(tinykube):
    tinykube.start()
    assert tinykube.run("stop").returncode == 0
    assert (tinykube.data / "state.backup.db").stat().st_mode & 0o777 == 0o600


def test_a_wrong_config(tinykube):
    (tinykube.data / "config.yaml").write_text("prot: 1\n")
    done = tinykube.run("start")
    assert (done.returncode, "unknown key 'prot'" in done.stderr) == (1, True)


def test_pods_outlive_a_killed_daemon(tinykube, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    tinykube.start()
    client = tinykube.client()
    script = "echo begun; until test -e /outside/go; do sleep 0.05; done; echo done; exit 7"
    volume = Volume(name="outside", hostPath=HostPathVolumeSource(path=str(outside)))
    long = pod("long", "sh", "-c", script, volumes=[volume])
    long.spec.containers[0].volumeMounts = [VolumeMount(name="outside", mountPath="/outside")]
    client.create(long)
    client.create(Secret(metadata=ObjectMeta(name="kept")))
    before = tinykube.wait(lambda: running(client, "long"))
    tinykube.kill()
    tinykube.start()
    client = tinykube.client()
    assert client.get(Secret, "kept")
    (outside / "go").touch()
    after = tinykube.wait(lambda: ended(client, "long"))
    state = after.status.containerStatuses[0].state.terminated
    assert state.exitCode == 7
    assert after.status.containerStatuses[0].restartCount == 0
    # Adopted: the same container went on, it was not started anew.
    assert state.startedAt == before.status.containerStatuses[0].state.running.startedAt
    assert "".join(client.log("long")) == "begun\ndone\n"


def test_every_acknowledged_write_outlives_a_kill(tinykube):
    tinykube.start()
    client = tinykube.client()
    for number in range(100):
        client.create(Secret(metadata=ObjectMeta(name=f"s{number}")))
    tinykube.kill()
    tinykube.start()
    names = {item.metadata.name for item in tinykube.client().list(Secret)}
    assert names >= {f"s{number}" for number in range(100)}


def test_stop_leaves_pods_and_stop_pods_ends_them(tinykube):
    tinykube.start()
    client = tinykube.client()
    client.create(pod("long", "sleep", "600"))
    tinykube.wait(lambda: running(client, "long"))
    assert tinykube.run("stop").returncode == 0
    done = tinykube.run("stop", "--pods")
    assert "ended 1 container" in done.stdout
    tinykube.start()
    client = tinykube.client()
    after = tinykube.wait(lambda: ended(client, "long"))
    assert after.status.containerStatuses[0].state.terminated.reason == "NodeShutdown"


def test_a_pod_waits_for_room(tinykube):
    (tinykube.data / "config.yaml").write_text("port: 0\ncapacity: {cpu: 1, memory: 1Gi}\n")
    tinykube.start()
    client = tinykube.client()
    tinykube.wait(lambda: list(client.list(Node)))
    large = pod("large", "true")
    large.spec.containers[0].resources = {"requests": {"memory": "2Gi"}}
    client.create(large)

    def told():
        conditions = client.get(Pod, "large").status.conditions or []
        return conditions and conditions[0].message

    assert tinykube.wait(told).startswith("0/1 nodes are available: 1 Insufficient memory. ")
    (tinykube.data / "config.yaml").write_text("port: 0\ncapacity: {cpu: 1, memory: 4Gi}\n")
    assert tinykube.wait(lambda: ended(client, "large")).status.phase == "Succeeded"


def test_the_token_in_a_pod_opens_the_api(tinykube):
    tinykube.start()
    client = tinykube.client()
    script = (
        "import json, os, ssl, urllib.request as u;"
        "d='/var/run/secrets/kubernetes.io/serviceaccount';"
        "c=ssl.create_default_context(cafile=d+'/ca.crt');"
        "h=os.environ['KUBERNETES_SERVICE_HOST']+':'+os.environ['KUBERNETES_SERVICE_PORT'];"
        "r=u.Request(f'https://{h}/apis');"
        "r.add_header('Authorization','Bearer '+open(d+'/token').read());"
        "print(json.load(u.urlopen(r,context=c))['kind'], open(d+'/namespace').read())"
    )
    asker = pod("asker", "python3", "-c", script)
    client.create(asker)
    tinykube.wait(lambda: ended(client, "asker"))
    assert "".join(client.log("asker")) == "APIGroupList default\n"


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer nothing"}])
def test_nothing_answers_without_a_token(tinykube, header):
    tinykube.start()
    server = json.loads(tinykube.run("status", "--json").stdout)["server"]
    import ssl

    trust = ssl.create_default_context(cafile=str(tinykube.data / "pki" / "ca.crt"))
    with httpx2.Client(base_url=server, verify=trust, headers=header) as http:
        assert http.get("/api/v1/secrets").status_code == 401
        assert http.get("/version").status_code == 200


def test_others_cannot_read_the_state(tinykube):
    tinykube.start()
    assert tinykube.data.stat().st_mode & 0o077 == 0
    for path in tinykube.data.rglob("*"):
        # One that is just being replaced may be gone when it is looked at.
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.name != "config.yaml":
                assert path.stat().st_mode & 0o077 == 0, path


def test_a_deleted_pod_ends(tinykube):
    tinykube.start()
    client = tinykube.client()
    client.create(pod("long", "sleep", "600", terminationGracePeriodSeconds=1))
    tinykube.wait(lambda: running(client, "long"))
    client.delete(Pod, "long")

    def gone():
        try:
            client.get(Pod, "long")
        except ApiError as error:
            return error.status.code == 404
        return False

    tinykube.wait(gone)
    assert "ended 0 containers" in tinykube.run("stop", "--pods").stdout
