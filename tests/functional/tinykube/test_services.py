"""Services of a daemon: their addresses answer, their names resolve inside pods."""

from __future__ import annotations

import json
import signal
import socket

from lightkube.models.core_v1 import (
    Container,
    ContainerPort,
    EnvVar,
    EnvVarSource,
    HTTPGetAction,
    ObjectFieldSelector,
    PodSpec,
    Probe,
    ServicePort,
    ServiceSpec,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod, Service

from sandbox.proxy import Proxy

from ...ports import free_ports

ADDRESS = EnvVar(
    "POD_IP", valueFrom=EnvVarSource(fieldRef=ObjectFieldSelector(fieldPath="status.podIP"))
)
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["HOSTNAME"].encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], PORT), Handler).serve_forever()
"""


def server(name, port, **spec):
    main = Container(
        name="main",
        image="python:3",
        command=["python3", "-c", SERVER.replace("PORT", str(port))],
        env=[ADDRESS],
        ports=[ContainerPort(containerPort=port, name="web")],
        readinessProbe=Probe(
            httpGet=HTTPGetAction(port="web"), periodSeconds=1, timeoutSeconds=60
        ),
    )
    meta = ObjectMeta(name=name, labels={"app": "web"})
    return Pod(metadata=meta, spec=PodSpec(containers=[main], **spec))


def service(name, **spec):
    spec = {"selector": {"app": "web"}, **spec}
    return Service(metadata=ObjectMeta(name=name), spec=ServiceSpec(**spec))


def ask(host, port):
    try:
        with socket.create_connection((host, port), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
            return answer.rpartition(b"\r\n\r\n")[2].decode()
    except OSError:
        return ""


def test_an_address_that_is_balanced_and_outlives_the_daemon(tinykube):
    tinykube.start()
    client = tinykube.client()
    # The same port twice: each pod has an address of its own.
    port, inner = free_ports(2)
    made = client.create(service("web", ports=[ServicePort(port=port, targetPort="web")]))
    for name in ("one", "two"):
        client.create(server(name, inner))
    address = made.spec.clusterIP
    seen: set[str] = set()

    def both():
        seen.add(ask(address, port))
        return {"one", "two"} <= seen

    tinykube.wait(both)
    balancer = Proxy(tinykube.data / "proxy").identity
    balancer.signal(signal.SIGKILL)
    # Nothing changes in the cluster meanwhile.
    tinykube.wait(lambda: not balancer.alive() and ask(address, port) in ("one", "two"))
    tinykube.kill()
    assert ask(address, port) in ("one", "two")
    tinykube.start()
    client = tinykube.client()
    client.delete(Pod, "one", grace_period=0)
    tinykube.wait(lambda: {ask(address, port) for _ in range(6)} == {"two"})
    assert tinykube.run("stop", "--pods").returncode == 0
    assert ask(address, port) == ""


def test_names_and_variables_inside_pods(tinykube):
    tinykube.start()
    client = tinykube.client()
    (port,) = free_ports()
    web = client.create(service("web", ports=[ServicePort(port=port, targetPort=port)]))
    client.create(service("peers", clusterIP="None"))
    script = (
        "import json, os, socket, sys, time\n"
        "def find(name):\n"
        "    try:\n"
        "        return socket.gethostbyname(name)\n"
        "    except OSError:\n"
        "        return ''\n"
        "names = ['web', 'web.default', 'web.default.svc', 'web.default.svc.cluster.local',"
        " 'kubernetes.default.svc', os.environ['HOSTNAME']]\n"
        "print(json.dumps([find(name) for name in names]), flush=True)\n"
        "print(os.environ['WEB_SERVICE_HOST'], os.environ['POD_IP'], flush=True)\n"
        "while not find('one.peers.default.svc.cluster.local'):\n"
        "    time.sleep(0.05)\n"
        "print(find('one.peers'), find('later.default'), flush=True)\n"
    )
    main = Container(
        name="main", image="python:3", command=["python3", "-c", script], env=[ADDRESS]
    )
    spec = PodSpec(restartPolicy="Never", containers=[main])
    client.create(Pod(metadata=ObjectMeta(name="asker"), spec=spec))
    tinykube.wait(lambda: client.get(Pod, "asker").status.phase == "Running")
    # Told while it runs.
    client.create(service("later", ports=[ServicePort(port=free_ports()[0])]))
    client.create(server("one", port, hostname="one", subdomain="peers"))
    tinykube.wait(lambda: client.get(Pod, "asker").status.phase == "Succeeded")
    first, second, third = "".join(client.log("asker")).splitlines()
    asker, one = client.get(Pod, "asker"), client.get(Pod, "one")
    assert json.loads(first) == [*[web.spec.clusterIP] * 4, "127.0.0.1", asker.status.podIP]
    assert second == f"{web.spec.clusterIP} {asker.status.podIP}"
    later = client.get(Service, "later")
    assert third == f"{one.status.podIP} {later.spec.clusterIP}"
    assert asker.status.podIP != one.status.podIP
    assert asker.status.hostIP == "127.0.0.1"
