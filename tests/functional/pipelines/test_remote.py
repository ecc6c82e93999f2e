"""Steps that mount no volume: everything comes and goes through the service's own endpoint."""

import hashlib
import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    from kfp import dsl

from ..waiting import wait
from . import stack
from .stack import NAMESPACE, Cluster, Gate, Service
from .test_steps import IMAGE, doubling, error_of, finish, submit

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def remote(
    cluster: Cluster, step_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with stack.remote(tmp_path_factory.mktemp("remote"), cluster, step_image, "remote") as made:
        yield made


def secrets(service: Service) -> list[Any]:
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    label = "labelSelector=toolkit.canonical.com/pipelines%3Dremote"
    found: list[Any] = service.cluster.call("GET", f"{path}?{label}").get("items")
    return found or []


def test_parameters_and_logs_come_back(remote: Service) -> None:
    client = remote.client()
    run_id = submit(remote, doubling, x=5)
    assert finish(client, run_id).state == "SUCCEEDED", remote.evidence(run_id)
    (result,) = remote.root.glob(f"doubling/{run_id}/double-2/*/result.json")
    assert json.loads(result.read_text())["parameters"] == {"Output": 20}
    wait(lambda: not remote.cluster.pods(), "the step's pods are gone")
    wait(lambda: not secrets(remote), "and their secrets")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def produce(file: dsl.Output[dsl.Dataset], folder: dsl.Output[dsl.Model], size: int) -> str:
    import hashlib
    import os
    import pathlib

    digest = hashlib.sha256()
    with open(file.path, "wb") as target:
        for number in range(size):
            block = bytes([number % 251]) * 1024 * 1024
            digest.update(block)
            target.write(block)
    file.metadata["rows"] = 7
    home = pathlib.Path(folder.path)
    (home / "deep" / "er").mkdir(parents=True)
    (home / "empty").mkdir()
    (home / "deep" / "er" / "weights é.bin").write_bytes(b"w" * 10)
    (home / "nothing").touch()
    os.symlink("deep/er", home / "latest")
    print("produced")
    return digest.hexdigest()


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def consume(file: dsl.Input[dsl.Dataset], folder: dsl.Input[dsl.Model], expected: str) -> str:
    import hashlib
    import json
    import os
    import pathlib

    digest = hashlib.sha256()
    with open(file.path, "rb") as source:
        while block := source.read(1024 * 1024):
            digest.update(block)
    assert digest.hexdigest() == expected
    home = pathlib.Path(folder.path)
    found = sorted(str(path.relative_to(home)) for path in home.rglob("*"))
    names = [name for name in os.environ if "TOOLKIT" in name]
    pathlib.Path("/minio/mlpipeline/v2/artifacts")
    return json.dumps(
        {"rows": file.metadata["rows"], "found": found, "names": names, "uri": file.uri}
    )


@dsl.pipeline(name="moving")
def moving(size: int = 64) -> str:
    first = produce(size=size)
    return consume(
        file=first.outputs["file"],
        folder=first.outputs["folder"],
        expected=first.outputs["Output"],
    ).output


def test_artifacts_travel_whole(remote: Service) -> None:
    client = remote.client()
    run_id = submit(remote, moving, size=64)
    assert finish(client, run_id).state == "SUCCEEDED", remote.evidence(run_id)
    (result,) = remote.root.glob(f"moving/{run_id}/consume/*/result.json")
    found = json.loads(json.loads(result.read_text())["parameters"]["Output"])
    assert found["rows"] == 7
    names = ["deep", "deep/er", "deep/er/weights é.bin", "empty", "latest"]
    assert found["found"] == [*names, "latest/weights é.bin", "nothing"]
    # The user's code neither sees the token nor where the service is.
    assert found["names"] == []
    assert found["uri"].startswith(f"minio://mlpipeline/v2/artifacts/moving/{run_id}/produce/")
    # The service has them as if the step had mounted its volume, and nothing else.
    (file,) = remote.root.glob(f"moving/{run_id}/produce/*/file")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (record,) = remote.root.glob(f"moving/{run_id}/produce/*/result.json")
    assert json.loads(record.read_text())["parameters"]["Output"] == digest
    assert not list(remote.root.glob(f"moving/{run_id}/*/*.part"))
    wait(lambda: "produced" in remote.logs(run_id), "what it printed is kept")


def test_a_step_that_fails_leaves_its_message_and_no_files(remote: Service) -> None:
    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def breaks(out: dsl.Output[dsl.Artifact]):
        with open(out.path, "w") as file:
            file.write("half")
        raise ValueError("this is why")

    @dsl.pipeline(name="breaking")
    def breaking():
        breaks()

    run_id = submit(remote, breaking)
    run = finish(remote.client(), run_id)
    assert run.state == "FAILED"
    assert "this is why" in error_of(run, "breaks")
    (folder,) = (path.parent for path in remote.root.glob(f"breaking/{run_id}/*/*/result.json"))
    assert sorted(each.name for each in folder.iterdir()) == [".started", "result.json"]


def test_a_service_killed_meanwhile_is_waited_for(remote: Service, gate: Gate) -> None:
    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def slow(gate: int, out: dsl.Output[dsl.Artifact]) -> int:
        import socket
        import time

        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", gate)):
                time.sleep(0.05)
        with open(out.path, "w") as file:
            file.write("done")
        return 1

    @dsl.pipeline(name="patient")
    def patient(gate: int) -> int:
        return slow(gate=gate).outputs["Output"]

    run_id = submit(remote, patient, gate=gate.port)
    wait(lambda: bool(list(remote.root.glob(f"patient/{run_id}/*/*/.started"))), "it has begun")
    remote.kill()
    gate.open()
    # Until the step has ended and finds nobody.
    wait(lambda: remote.cluster.printed("slow", "trying again"), "the launcher tries again")
    remote.start()
    assert finish(remote.client(), run_id).state == "SUCCEEDED", remote.evidence(run_id)
    (file,) = remote.root.glob(f"patient/{run_id}/slow/*/out")
    assert file.read_text() == "done"


def test_packages_are_installed_by_the_step_itself(remote: Service) -> None:
    @dsl.component(base_image=IMAGE, packages_to_install=["toolkit-no-such-package==99"])
    def wants():
        pass

    @dsl.pipeline(name="wanting")
    def wanting():
        wants()

    run = finish(remote.client(), submit(remote, wanting))
    assert run.state == "FAILED"
    assert "toolkit-no-such-package" in error_of(run, "wants")


def test_an_installed_package_is_used(remote: Service) -> None:
    @dsl.component(base_image=IMAGE, packages_to_install=["humanize==4.11.0"])
    def formats() -> str:
        import humanize

        return f"{humanize.__version__} {humanize.intcomma(1234567)}"

    @dsl.pipeline(name="formatting")
    def formatting() -> str:
        return formats().output

    run_id = submit(remote, formatting)
    assert finish(remote.client(), run_id).state == "SUCCEEDED", remote.evidence(run_id)
    (result,) = remote.root.glob(f"formatting/{run_id}/*/*/result.json")
    assert json.loads(result.read_text())["parameters"] == {"Output": "4.11.0 1,234,567"}
