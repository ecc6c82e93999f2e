"""Steps in sandboxes: what a pipeline's author and an operator rely on."""

import errno
import json
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    import kfp
    import kfp_server_api
    from kfp import compiler, dsl, kubernetes

from ..waiting import wait
from .stack import Service

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE)
def double(x: int) -> int:
    return 2 * x


@dsl.pipeline(name="doubling")
def doubling(x: int = 1) -> int:
    first = double(x=x)
    return double(x=first.output).output


def finish(client: kfp.Client, run_id: str, timeout: int = 120) -> Any:
    return client.wait_for_run_completion(run_id, timeout=timeout, sleep_duration=1)


def test_a_pipeline_runs(service: Service) -> None:
    client = service.client()
    result = client.create_run_from_pipeline_func(
        doubling, arguments={"x": 5}, enable_caching=False
    )
    run = finish(client, result.run_id)
    assert run.state == "SUCCEEDED", run
    names = sorted(task.display_name for task in run.run_details.task_details)
    assert names[:2] == ["double", "double-2"]
    wait(lambda: not service.cluster.pods(), "the step's pods are gone")


def submit(service: Service, pipeline: Any, **arguments: Any) -> str:
    made = service.client().create_run_from_pipeline_func(
        pipeline, arguments=arguments, enable_caching=False
    )
    run_id: str = made.run_id
    return run_id


def error_of(run: Any, task: str) -> str:
    return next(str(t.error) for t in run.run_details.task_details if t.display_name == task)


def test_a_step_sees_its_own_run_and_writes_its_own_folder_alone(service: Service) -> None:
    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def look(out: dsl.Output[dsl.Artifact], other: str) -> str:
        import json
        import os
        import pathlib

        home = pathlib.Path(out.path).parent
        run = home.parent.parent
        found = {"mine": [], "denied": []}
        for path in (home / "x", run / "x", home.parent / "y.log", run / "look" / "z"):
            try:
                path.write_text("x")
                found["mine"].append(str(path.relative_to(run)).split("/")[0])
            except OSError as error:
                found["denied"].append(error.errno)
        found["others"] = os.path.exists(f"{run.parent}/{other}")
        found["runs"] = sorted(os.listdir(run.parent))
        found["home"] = os.path.exists("/root/.bashrc") or bool(os.listdir("/home"))
        found["account"] = os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount")
        found["state"] = [p for p in ("/state", "/pipeline-root") if os.path.exists(p)]
        return json.dumps(found)

    @dsl.pipeline(name="looking")
    def looking(other: str) -> str:
        return look(other=other).outputs["Output"]

    client = service.client()
    first = submit(service, looking, other="none")
    assert finish(client, first).state == "SUCCEEDED", service.evidence(first)
    second = submit(service, looking, other=first)
    assert finish(client, second).state == "SUCCEEDED", service.evidence(second)
    (result,) = service.root.glob(f"looking/{second}/look/*/result.json")
    found = json.loads(json.loads(result.read_text())["parameters"]["Output"])
    assert found["mine"] == ["look"]
    assert found["denied"] == [errno.EROFS] * 3
    assert found["runs"] == [second]
    assert not found["others"]
    assert not found["home"]
    assert not found["account"]
    assert found["state"] == []


def test_init_containers_run_before_a_step_and_a_failed_one_is_its_error(
    service: Service, tmp_path: Path
) -> None:
    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def use() -> str:
        with open("/data/made") as file:
            return file.read()

    @dsl.pipeline(name="initialised")
    def initialised() -> str:
        task = use()
        kubernetes.empty_dir_mount(task, "scratch", "/data")
        return task.output

    path = tmp_path / "initialised.yaml"
    compiler.Compiler().compile(initialised, str(path))
    document, platform = yaml.safe_load_all(path.read_text())
    executor = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-use"]

    def run(script: str) -> Any:
        # The locked SDK has no function for it.
        executor["initContainers"] = [
            {
                "name": "make",
                "image": IMAGE,
                "command": ["sh", "-c"],
                "args": [script],
                "env": [{"name": "WORD", "value": "made"}],
                "volumeMounts": [{"volumeName": "scratch", "mountPath": "/out"}],
            }
        ]
        path.write_text(yaml.safe_dump_all([document, platform]))
        client = service.client()
        made = client.create_run_from_pipeline_package(str(path), enable_caching=False)
        return finish(client, made.run_id)

    done = run('printf "$WORD" > /out/made; ls /minio /toolkit && exit 1; true')
    assert done.state == "SUCCEEDED", service.evidence(done.run_id)
    (result,) = service.root.glob(f"initialised/{done.run_id}/use/*/result.json")
    assert json.loads(result.read_text())["parameters"] == {"Output": "made"}

    failed = run("echo no data today; exit 3")
    assert failed.state == "FAILED"
    (task,) = (t for t in failed.run_details.task_details if t.display_name == "use")
    assert task.error.message == (
        "InitContainerFailed: the init container 'make' ended with exit code 3: no data today"
    )


def test_a_step_that_uses_too_much_memory_says_so(service: Service) -> None:
    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def eat():
        data = []
        while True:
            data.append(b"x" * 10_000_000)

    @dsl.pipeline(name="eating")
    def eating():
        eat().set_memory_limit("128Mi")

    run = finish(service.client(), submit(service, eating))
    assert run.state == "FAILED"
    assert "OOMKilled" in error_of(run, "eat")


def test_a_step_that_does_not_fit_waits_and_says_why(service: Service) -> None:
    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def big():
        pass

    @dsl.pipeline(name="big")
    def bigger():
        big().set_cpu_request("64").set_cpu_limit("64")

    client = service.client()
    run_id = submit(service, bigger)

    def told() -> bool:
        tasks = client.get_run(run_id).run_details.task_details or []
        return any("Insufficient cpu" in str(task.error) for task in tasks)

    wait(told, "the task says why it waits")
    client.terminate_run(run_id)
    wait(lambda: client.get_run(run_id).state == "CANCELED", "the run is canceled")
    wait(lambda: not service.cluster.pods(), "the pod is gone")


def test_terminating_kills_steps_and_their_children_at_once(service: Service) -> None:
    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def linger():
        import subprocess
        import time

        print("lingering", flush=True)
        subprocess.Popen(["sleep", "4242"], start_new_session=True)
        time.sleep(4242)

    @dsl.pipeline(name="lingering")
    def lingering():
        linger()

    client = service.client()
    run_id = submit(service, lingering)

    def sleeping() -> bool:
        done = subprocess.run(["pgrep", "-f", "sleep 4242"], capture_output=True, check=False)
        return done.returncode == 0

    wait(sleeping, "the step has a child")
    client.terminate_run(run_id)
    wait(lambda: client.get_run(run_id).state == "CANCELED", "the run is canceled")
    wait(lambda: not sleeping(), "the child is dead")
    wait(lambda: "lingering" in service.logs(run_id), "what it printed is kept")


def test_a_step_that_prints_100_mb_has_its_whole_log(service: Service) -> None:
    @dsl.container_component
    def loud():
        return dsl.ContainerSpec(
            image="alpine", command=["sh", "-c", "yes 0123456789abcde | head -c 100000000"]
        )

    @dsl.pipeline(name="loud")
    def louder():
        loud()

    run_id = submit(service, louder)
    assert finish(service.client(), run_id).state == "SUCCEEDED"

    def saved() -> bool:
        found = list(service.root.glob(f"loud/{run_id}/loud/*.log"))
        return bool(found) and found[0].stat().st_size == 100_000_000

    wait(saved, "the log is saved")


def test_tinykube_and_the_engine_killed_in_the_middle(service: Service) -> None:
    @dsl.component(base_image=IMAGE, install_kfp_package=False)
    def slow(x: int) -> int:
        import time

        time.sleep(3)
        return x + 1

    @dsl.pipeline(name="slow")
    def slower() -> int:
        first = slow(x=1)
        return slow(x=first.output).output

    client = service.client()
    run_id = submit(service, slower)
    wait(lambda: bool(list(service.root.glob(f"slow/{run_id}/*/*/.started"))), "it has begun")
    service.kill()
    service.cluster.kill()
    service.cluster.start()
    service.start()
    run = finish(client, run_id)
    assert run.state == "SUCCEEDED", service.evidence(run_id)
    assert len(list(service.root.glob(f"slow/{run_id}/*/*/.started"))) == 2


def test_a_package_that_does_not_exist_fails_with_the_installers_words(service: Service) -> None:
    @dsl.component(base_image=IMAGE, packages_to_install=["toolkit-no-such-package==99"])
    def wants():
        pass

    @dsl.pipeline(name="wanting")
    def wanting():
        wants()

    run = finish(service.client(), submit(service, wanting))
    assert run.state == "FAILED"
    assert "toolkit-no-such-package" in error_of(run, "wants")
    wait(lambda: not service.cluster.pods(), "the build's pod is gone")


def test_an_image_that_cannot_be_had_is_refused(service: Service) -> None:
    @dsl.container_component
    def exotic():
        return dsl.ContainerSpec(image="example.org/no/such:image", command=["true"])

    @dsl.pipeline(name="exotic")
    def more_exotic():
        exotic()

    with pytest.raises(kfp_server_api.ApiException) as refused:
        submit(service, more_exotic)
    said = json.loads(refused.value.body)["message"]
    assert "pipeline_spec.components.comp-exotic" in said
    assert 'image "example.org/no/such:image" is not on this machine' in said
    assert str(service.cluster.folder / "config.yaml") in said
