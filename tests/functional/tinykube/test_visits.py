"""exec, attach and port-forward by the `kubernetes` client, on a daemon of their own."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

from ..waiting import PATIENCE
from .conftest import Tinykube

SERVER = """\
import socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
while True:
    link = listener.accept()[0]
    with link:
        link.sendall(b"you said " + link.recv(100))
"""


# The client leaves its sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def tinykube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tinykube]:
    data = tmp_path_factory.mktemp("visits") / "k"
    data.mkdir(mode=0o700)
    (data / "config.yaml").write_text("port: 0\n")
    made = Tinykube(data)
    made.start()
    yield made
    done = made.run("stop", "--pods")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def core(tinykube) -> Iterator[Any]:
    api = kubernetes.config.new_client_from_config(str(tinykube.data / "kubeconfig"))
    yield kubernetes.client.CoreV1Api(api)
    api.close()
    gc.collect()


@pytest.fixture(scope="module")
def pod(core, tinykube) -> str:
    container = {
        "name": "main",
        "image": "busybox",
        "command": ["/usr/bin/env", "python3", "-c", SERVER],
    }
    core.create_namespaced_pod(
        "default",
        {
            "metadata": {"name": "p"},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        },
    )
    printed(core, tinykube, "p")
    return "p"


def printed(core, tinykube, name: str) -> str:
    """What a pod has printed, once it has printed something."""
    tinykube.wait(lambda: core.read_namespaced_pod(name, "default").status.phase == "Running")
    text: str = tinykube.wait(lambda: core.read_namespaced_pod_log(name, "default"))
    return text


def execute(core, name: str, *command: str, **options: Any) -> Any:
    return stream(
        core.connect_get_namespaced_pod_exec,
        name,
        "default",
        command=list(command),
        **{"stdin": False, "stdout": True, "stderr": True, "tty": False, **options},
    )


def test_a_command(core, pod: str) -> None:
    assert execute(core, pod, "sh", "-c", "echo out; echo err >&2").split() == ["out", "err"]


def test_its_exit_code_and_streams(core, pod: str) -> None:
    link = execute(core, pod, "sh", "-c", "cat; exit 7", stdin=True, _preload_content=False)
    link.write_stdin("hello\n")
    assert link.readline_stdout(timeout=PATIENCE) == "hello"
    # Version 4 cannot close an input: the command is ended by its end.
    link.close()


def test_an_exit_code(core, pod: str) -> None:
    link = execute(core, pod, "sh", "-c", "echo why >&2; exit 7", _preload_content=False)
    link.run_forever(timeout=PATIENCE)

    assert link.returncode == 7
    assert link.read_stderr() == "why\n"


def test_a_terminal(core, pod: str) -> None:
    link = execute(
        core,
        pod,
        "sh",
        "-c",
        "tty; read x; echo got $x",
        stdin=True,
        tty=True,
        _preload_content=False,
    )
    link.write_stdin("this\n")
    link.run_forever(timeout=PATIENCE)

    said = link.read_stdout()
    assert "/dev/pts/0" in said
    assert "got this" in said


def test_a_command_that_is_not_there(core, pod: str) -> None:
    link = execute(core, pod, "no-such", _preload_content=False)
    link.run_forever(timeout=PATIENCE)

    told = json.loads(link.read_channel(3))
    assert told["reason"] == "InternalError"
    assert 'exec: "no-such": executable file not found in $PATH' in told["message"]


def test_a_container_that_has_ended(core, pod: str, tinykube) -> None:
    container = {"name": "main", "image": "busybox", "command": ["true"]}
    spec = {"containers": [container], "restartPolicy": "Never"}
    core.create_namespaced_pod("default", {"metadata": {"name": "done"}, "spec": spec})
    tinykube.wait(lambda: core.read_namespaced_pod("done", "default").status.phase == "Succeeded")

    link = execute(core, "done", "true", _preload_content=False)
    link.run_forever(timeout=PATIENCE)

    assert 'container not found (\\"main\\")' in link.read_channel(3)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"command": ["true"], "stdout": False, "stderr": False}, 400),
        ({"container": "other"}, 400),
        ({"name": "missing"}, 404),
    ],
)
def test_what_is_refused(core, pod: str, options: dict[str, Any], code: int) -> None:
    name = options.pop("name", pod)
    options.pop("command", None)
    with pytest.raises(ApiException, match=str(code)):
        execute(core, name, "true", **options)


def test_without_a_websocket(core, pod: str) -> None:
    with pytest.raises(ApiException, match="Upgrade request required") as caught:
        core.connect_post_namespaced_pod_exec(pod, "default", command=["true"], stdout=True)

    assert caught.value.status == 400


def test_roles_decide(core, pod: str, tinykube) -> None:
    core.create_namespaced_service_account("default", {"metadata": {"name": "weak"}})
    answer = core.create_namespaced_service_account_token(
        "weak", "default", {"spec": {}}, _preload_content=False
    )
    token = json.loads(answer.data)["status"]["token"]
    configuration = core.api_client.configuration
    weak = kubernetes.client.Configuration(host=configuration.host)
    weak.ssl_ca_cert = configuration.ssl_ca_cert
    weak.api_key = {"authorization": f"Bearer {token}"}
    with kubernetes.client.ApiClient(weak) as api, pytest.raises(ApiException, match="403"):
        execute(kubernetes.client.CoreV1Api(api), pod, "true")


def test_attach(core, pod: str, tinykube) -> None:
    script = "read x < /dev/null; while :; do echo tick; sleep 0.05; done"
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    core.create_namespaced_pod("default", {"metadata": {"name": "t"}, "spec": spec})
    printed(core, tinykube, "t")

    link = stream(core.connect_get_namespaced_pod_attach, "t", "default", _preload_content=False)
    assert link.readline_stdout(timeout=PATIENCE) == "tick"
    link.close()


def test_a_port(core, pod: str) -> None:
    port = int(core.read_namespaced_pod_log(pod, "default"))
    forwarding = portforward(
        core.connect_get_namespaced_pod_portforward, pod, "default", ports=str(port)
    )
    link = forwarding.socket(port)
    link.settimeout(PATIENCE)
    link.sendall(b"hello")
    assert link.recv(100) == b"you said hello"
    link.close()
    assert not forwarding.error(port)


def test_a_port_of_somebody_else(core, pod: str, tinykube) -> None:
    """The API server's own port is not the pod's, though both are on one machine."""
    port = int(core.api_client.configuration.host.rpartition(":")[2])
    forwarding = portforward(
        core.connect_get_namespaced_pod_portforward, pod, "default", ports=str(port)
    )
    limit = time.monotonic() + PATIENCE
    while not forwarding.error(port):
        assert time.monotonic() < limit
        time.sleep(0.02)

    assert "no process of the pod listens on it" in forwarding.error(port)
    forwarding.socket(port).close()
