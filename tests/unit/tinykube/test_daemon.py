import asyncio
import socket
import stat

import httpx2
import pytest

from tinykube import config, daemon
from tinykube.config import Folder
from tinykube.daemon import Daemon, StartError


class NoNode:
    """A node that runs nothing."""

    async def run(self):
        await asyncio.Event().wait()

    async def logs(self, pod, container, options):
        yield b"nothing\n"

    def rename(self, names):
        pass


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "data")
    made.make()
    return made


@pytest.fixture
async def running(folder, monkeypatch):
    monkeypatch.setattr(Daemon, "make_node", lambda *_: NoNode())
    listener = daemon.bind(0)
    made = Daemon(folder, config.Config(port=0, capacity={"cpu": "1"}), listener)
    ready = asyncio.Event()
    task = asyncio.create_task(made.run(ready))
    async with asyncio.timeout(20):
        await ready.wait()
        yield made
        made.stop()
        await task
    listener.close()


def client(folder):
    import ssl

    import yaml

    found = yaml.safe_load(folder.kubeconfig.read_text())
    token = found["users"][0]["user"]["token"]
    return httpx2.AsyncClient(
        base_url=found["clusters"][0]["cluster"]["server"],
        verify=ssl.create_default_context(cafile=str(folder.keys / "ca.crt")),
        headers={"Authorization": f"Bearer {token}"},
    )


async def test_it_serves_over_tls_with_its_kubeconfig(running, folder):
    assert stat.S_IMODE(folder.kubeconfig.stat().st_mode) == 0o600
    async with client(folder) as http:
        answer = await http.get("/api/v1/namespaces")
        names = [item["metadata"]["name"] for item in answer.json()["items"]]
        assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
        made = await http.post(
            "/api/v1/namespaces/default/persistentvolumeclaims",
            json={
                "metadata": {"name": "x"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            },
        )
        assert made.status_code == 201
        params = {"watch": "1", "fieldSelector": "metadata.name=x"}
        async with http.stream(
            "GET", "/api/v1/namespaces/default/persistentvolumeclaims", params=params
        ) as watch:
            async for line in watch.aiter_lines():
                if '"phase":"Bound"' in line:
                    break


async def test_a_stop_ends_watches_at_once(running, folder):
    async with (
        client(folder) as http,
        http.stream("GET", "/api/v1/pods", params={"watch": "1"}) as watch,
    ):
        running.stop()
        assert [line async for line in watch.aiter_lines()] == []


async def test_what_was_made_is_there_after_a_restart(folder, monkeypatch):
    monkeypatch.setattr(Daemon, "make_node", lambda *_: NoNode())
    for turn in range(2):
        listener = daemon.bind(0)
        made = Daemon(folder, config.Config(port=0), listener)
        ready = asyncio.Event()
        task = asyncio.create_task(made.run(ready))
        async with asyncio.timeout(20):
            await ready.wait()
            async with client(folder) as http:
                if turn == 0:
                    body = {"metadata": {"name": "new"}}
                    assert (await http.post("/api/v1/namespaces", json=body)).status_code == 201
                else:
                    assert (await http.get("/api/v1/namespaces/new")).status_code == 200
            made.stop()
            await task
        listener.close()


async def test_a_task_that_fails_ends_the_daemon(folder, monkeypatch):
    class Broken(NoNode):
        async def run(self):
            raise ValueError("broken")

    monkeypatch.setattr(Daemon, "make_node", lambda *_: Broken())
    with daemon.bind(0) as listener:
        made = Daemon(folder, config.Config(port=0), listener)
        async with asyncio.timeout(20):
            with pytest.raises(ValueError, match="broken"):
                await made.run()


def test_a_port_in_use_names_who_has_it():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError) as caught:
            daemon.bind(port)
    assert f"port {port} of 127.0.0.1 is in use by " in str(caught.value)
    assert "config.yaml" in str(caught.value)


def test_one_daemon_a_folder(folder):
    with (
        daemon.locked(folder),
        pytest.raises(StartError, match="already runs on"),
        daemon.locked(folder),
    ):
        pass
    with daemon.locked(folder):
        pass


async def test_a_damaged_database_is_told_and_kept(folder, monkeypatch):
    monkeypatch.setattr(config, "DEFAULT_PORT", 0)
    folder.config.write_text("port: 0\n")
    folder.database.write_bytes(b"garbage" * 1000)
    with pytest.raises(StartError, match="is damaged"):
        await daemon.serve(folder)
    assert folder.database.read_bytes() == b"garbage" * 1000


async def test_a_wrong_config_is_told(folder):
    folder.config.write_text("port: x\n")
    with pytest.raises(StartError, match="port is 'x'"):
        await daemon.serve(folder)


@pytest.mark.parametrize(
    ("host", "name"),
    [("My_Laptop.local", "my-laptop.local"), ("-", "localhost"), ("a" * 80, "a" * 63)],
)
def test_the_nodes_name_is_a_name(monkeypatch, host, name):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert daemon.node_name() == name
