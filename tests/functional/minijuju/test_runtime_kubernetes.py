"""Models and their applications in a real tinykube, and what their containers see of it."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace

import lightkube
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import (
    Namespace,
    PersistentVolume,
    PersistentVolumeClaim,
    Secret,
    ServiceAccount,
)

from minijuju import archive, kubernetes, runtime
from minijuju.charm import Charm

PATIENCE = 60
UUID = "0d9a4f8e-aaaa-4bbb-8ccc-123456789abc"
# What lightkube and the kubernetes package do in a pod, by the standard library alone.
ASK = """#!/usr/bin/env python3
import json, os, pathlib, ssl, urllib.error, urllib.request
folder = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
namespace = (folder / "namespace").read_text()
request = urllib.request.Request(
    f"https://{host}:{port}/api/v1/namespaces/{namespace}/secrets",
    headers={"Authorization": "Bearer " + (folder / "token").read_text()},
)
context = ssl.create_default_context(cafile=folder / "ca.crt")
try:
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        print(sorted(item["metadata"]["name"] for item in json.load(answer)["items"]))
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory):
    """The administrator's kubeconfig of a daemon that ends with the module."""
    data = tmp_path_factory.mktemp("tinykube")
    data.chmod(0o700)
    (data / "config.yaml").write_text("port: 0\n")
    env = {**os.environ, "TINYKUBE_DATA": str(data)}

    def run(*arguments):
        subprocess.run(
            [sys.executable, "-m", "tinykube", *arguments], env=env, timeout=PATIENCE, check=True
        )

    run("start")
    try:
        yield data / "kubeconfig"
    finally:
        run("stop", "--pods")


@pytest.fixture
def admin(kubeconfig):
    client = lightkube.Client(lightkube.KubeConfig.from_file(kubeconfig))
    yield client
    client.close()


@pytest.fixture
async def cluster(kubeconfig):
    made = kubernetes.Cluster.from_file(kubeconfig)
    yield made
    for model in ("ml", "other"):
        await made.remove_namespace(model, UUID)
    await made.close()


async def test_a_model_from_its_birth_to_its_end(cluster, admin, tmp_path):
    for _ in range(2):
        await cluster.ensure_namespace("ml", UUID)
        await cluster.ensure_service_account("ml", UUID, "db")
        await cluster.set_trust("ml", UUID, "db", trusted=True)
        name = await cluster.ensure_claim("ml", UUID, "db", "data", "db/0", tmp_path)
    assert (
        admin.get(ServiceAccount, "db", namespace="ml").metadata.labels[kubernetes.MODEL] == "ml"
    )
    claim = admin.get(PersistentVolumeClaim, name, namespace="ml")
    async with asyncio.timeout(PATIENCE):
        while not claim.status or claim.status.phase != "Bound":
            await asyncio.sleep(0.05)
            claim = admin.get(PersistentVolumeClaim, name, namespace="ml")
    volume = admin.get(PersistentVolume, claim.spec.volumeName)
    assert volume.spec.hostPath.path == str(tmp_path)
    await cluster.remove_namespace("ml", UUID)
    for kind, place in ((Namespace, "ml"), (PersistentVolume, volume.metadata.name)):
        with pytest.raises(ApiError, match="not found"):
            admin.get(kind, place)
    assert tmp_path.is_dir()


async def test_a_foreign_namespace_is_refused(cluster, admin):
    admin.create(Namespace(metadata=ObjectMeta(name="theirs")))
    with pytest.raises(kubernetes.ClusterError, match="not this model's"):
        await cluster.ensure_namespace("theirs", UUID)
    await cluster.remove_namespace("theirs", UUID)
    admin.delete(Namespace, "theirs")


@pytest.fixture
def spec(tmp_path, request):
    worker = getattr(request.config, "workerinput", {}).get("workerid", "gw0")
    source = tmp_path / "asker"
    source.mkdir()
    (source / "metadata.yaml").write_text("name: asker\ncontainers:\n  web: {}\n")
    (source / "dispatch").write_text(ASK)
    (source / "dispatch").chmod(0o755)
    unpacked = archive.CharmStore(tmp_path / "store").add(source)
    return runtime.UnitSpec(
        model="ml",
        model_uuid=UUID,
        application="db",
        unit="db/0",
        charm_path=unpacked.path,
        charm=Charm.load(unpacked.path, accepted=True),
        images={},
        storages=(),
        trusted=False,
        address=f"127.243.{int(worker.removeprefix('gw'))}.1",
        service_address="127.243.128.1",
    )


async def test_containers_have_the_identity_of_their_application(
    cluster, admin, spec, tmp_path, pebble_binary
):
    await cluster.ensure_namespace("ml", UUID)
    await cluster.ensure_service_account("ml", UUID, "db")
    await cluster.write_identity(tmp_path / "identity", "ml", "db")
    admin.create(Secret(metadata=ObjectMeta(name="seen", namespace="ml"), stringData={"a": "b"}))
    access = runtime.ClusterAccess(cluster.host, cluster.port, tmp_path / "identity")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    pod = runtime.UnitRuntime(
        tmp_path / "unit", replace(spec, cluster=access), binary=pebble_binary
    )
    await pod.start()
    try:
        await asyncio.wait_for(pod.workload_events().get(), PATIENCE)

        async def ask():
            lines = []
            await pod.dispatch(
                {}, socket_folder=hooks, on_output=lambda _, line: lines.append(line)
            )
            return lines

        assert await ask() == ["403"]
        await cluster.set_trust("ml", UUID, "db", trusted=True)
        assert await ask() == ["['seen']"]
        argv, env = pod.ssh_argv("web", ["python3", "-c", ASK])
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert output == b"['seen']\n"
        # A renewed token is seen by what runs; the old one ends with its account.
        await cluster.remove_service_account("ml", "db")
        assert await ask() == ["401"]
        await cluster.ensure_service_account("ml", UUID, "db")
        await cluster.write_identity(tmp_path / "identity", "ml", "db")
        assert await ask() == ["403"]
    finally:
        await pod.remove()
