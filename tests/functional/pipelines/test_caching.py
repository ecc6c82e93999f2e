"""Caching with real steps and an unmodified `kfp.Client`: what runs, and what does not."""

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    import kfp
    import kfp_server_api
    from kfp import dsl

from ..objectstore import StoreServer
from .stack import Cluster, Service

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")

IMAGE = "python:3.11"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare(rows: int, data: dsl.Output[dsl.Dataset]) -> int:
    with open(data.path, "w") as file:
        file.write("row\n" * rows)
    data.metadata["rows"] = rows
    return rows // 2


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(data: dsl.Input[dsl.Dataset], depth: int, model: dsl.Output[dsl.Model]):
    with open(data.path) as file, open(model.path, "w") as out:
        out.write(f"{len(file.readlines())} rows, depth {depth}")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def read(model: dsl.Input[dsl.Model]) -> str:
    try:
        open(model.path, "a").close()
    except OSError as error:
        how = error.strerror
    else:
        how = "writable"
    with open(model.path) as file:
        return f"{file.read()} ({how})"


@dsl.pipeline(name="cached-training")
def prepared_anew(rows: int = 8, depths: list[int] = [1, 2]):  # noqa: B006 - KFP's way
    prepared = prepare(rows=rows).set_caching_options(False)
    with dsl.ParallelFor(depths) as depth:
        train(data=prepared.outputs["data"], depth=depth)


@dsl.pipeline(name="cached-training")
def training(rows: int = 8, depths: list[int] = [1, 2], again: str = ""):  # noqa: B006 - KFP's way
    prepared = prepare(rows=rows)
    with dsl.ParallelFor(depths) as depth:
        trained = train(data=prepared.outputs["data"], depth=depth)
        with dsl.If(again == "read"):
            read(model=trained.outputs["model"])


def finished(service: Service, run_id: str) -> dict[str, Any]:
    """The run as it is after it has succeeded, with all that KFP's client passes over."""
    run = service.client().wait_for_run_completion(run_id, timeout=120, sleep_duration=1)
    assert run.state == "SUCCEEDED", service.evidence(run_id)
    with service.http() as client:
        found: dict[str, Any] = client.get(f"/apis/v2beta1/runs/{run_id}").json()
    return found


def ran(
    service: Service,
    pipeline: Any = training,
    *,
    client: kfp.Client | None = None,
    enable_caching: bool | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    made = (client or service.client()).create_run_from_pipeline_func(
        pipeline, arguments=arguments, enable_caching=enable_caching
    )
    return finished(service, made.run_id)


def tasks(run: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = run["run_details"]["task_details"]
    return [task for task in found if task["display_name"] == name]


def states(run: dict[str, Any]) -> dict[str, Counter[str]]:
    return {
        name: Counter(task["state"] for task in tasks(run, name))
        for name in ("prepare", "train", "read")
    }


def own_attempts(service: Service, run: dict[str, Any]) -> int:
    return len(list(service.root.rglob(f"{run['run_id']}/*/*/.started")))


CACHED = {"prepare": Counter(CACHED=1), "train": Counter(CACHED=2), "read": Counter()}
RAN = {"prepare": Counter(SUCCEEDED=1), "train": Counter(SUCCEEDED=2), "read": Counter()}


@pytest.fixture(scope="module")
def first(service: Service) -> dict[str, Any]:
    """A run of which all others here may take what they need."""
    run = ran(service)
    assert states(run) == RAN
    return run


def test_a_second_run_takes_its_tasks_from_the_first(
    service: Service, first: dict[str, Any]
) -> None:
    made = service.client().create_run_from_pipeline_func(training)
    waited = service.client().wait_for_run_completion(made.run_id, timeout=120, sleep_duration=1)
    by_name = {task.display_name: task.state for task in waited.run_details.task_details}
    assert waited.state == "SUCCEEDED"
    assert (by_name["prepare"], by_name["train"]) == ("CACHED", "CACHED")
    run = finished(service, made.run_id)
    assert states(run) == CACHED
    assert own_attempts(service, run) == 0
    (task,), (origin,) = tasks(run, "prepare"), tasks(first, "prepare")
    assert task["cached_from"] == {
        "run_id": first["run_id"],
        "task_id": origin["task_id"],
        "task": "prepare",
    }
    assert task["output_parameters"] == origin["output_parameters"] == {"Output": 4}
    with service.http() as client:
        (number,) = task["outputs"]["data"]["artifact_ids"]
        content = client.get(f"/apis/v2beta1/artifacts/{number}:download")
    assert content.text == "row\n" * 8


def test_what_is_new_runs_with_what_was_there(service: Service, first: dict[str, Any]) -> None:
    run = ran(service, depths=[2, 3], again="read")
    assert states(run) == {
        "prepare": Counter(CACHED=1),
        "train": Counter(CACHED=1, SUCCEEDED=1),
        "read": Counter(SUCCEEDED=2),
    }
    said = sorted(task["output_parameters"]["Output"] for task in tasks(run, "read"))
    # A step sees what another run made, and cannot change it.
    assert said == [f"8 rows, depth {depth} (Read-only file system)" for depth in (2, 3)]


def test_a_client_that_wants_no_caching_gets_none(service: Service, first: dict[str, Any]) -> None:
    # It says so of the outermost tasks alone, of which the loop is one.
    run = ran(service, enable_caching=False)
    assert states(run) == RAN
    assert states(ran(service, enable_caching=True)) == CACHED


def test_a_client_may_force_a_run(service: Service, first: dict[str, Any]) -> None:
    client = service.client()
    client.runs.api_client.set_default_header("Toolkit-Caching", "force")
    run = ran(service, client=client)
    assert states(run) == RAN
    assert run["caching"] == "force"
    after = ran(service)
    assert states(after) == CACHED
    assert {task["cached_from"]["run_id"] for task in tasks(after, "train")} == {run["run_id"]}


def test_a_run_that_others_use_is_deleted_after_them(service: Service) -> None:
    client = service.client()
    maker = ran(service, rows=20)
    user = ran(service, rows=20)
    assert states(user) == CACHED
    with pytest.raises(kfp_server_api.ApiException, match=user["run_id"]):
        client.delete_run(maker["run_id"])
    client.delete_run(user["run_id"])
    client.delete_run(maker["run_id"])
    assert not list(service.root.rglob(maker["run_id"]))
    assert states(ran(service, rows=20)) == RAN


def test_a_service_that_is_killed_goes_on_with_the_cache(service: Service) -> None:
    assert states(ran(service, rows=30, depths=list(range(12))))["train"] == Counter(SUCCEEDED=12)
    made = service.client().create_run_from_pipeline_func(
        training, arguments={"rows": 30, "depths": list(range(12))}
    )
    service.kill()
    service.start()
    run = finished(service, made.run_id)
    assert states(run) == {**CACHED, "train": Counter(CACHED=12)}
    assert own_attempts(service, run) == 0


def test_caching_may_be_off(cluster: Cluster, step_image: str, tmp_path: Path) -> None:
    volumes = cluster.folder.parent
    service = Service(
        tmp_path,
        cluster,
        step_image,
        name="uncached",
        pipeline_root=str(volumes / "pipeline-root"),
        environments=str(volumes / "environments"),
        caching=False,
    )
    service.root = volumes / "pipeline-root"
    service.start()
    try:
        for _ in range(2):
            assert states(ran(service)) == RAN
    finally:
        service.stop()


@pytest.fixture
def stored(
    cluster: Cluster, step_image: str, object_store: StoreServer, tmp_path: Path
) -> Iterator[Service]:
    """A service whose artifacts are in an object store, where each file has a digest."""
    bucket = object_store.bucket("cached")
    keys = tmp_path / "keys"
    keys.touch(mode=0o600)
    keys.write_text(yaml.safe_dump(object_store.keys))
    made = Service(
        tmp_path,
        cluster,
        step_image,
        name="stored-cache",
        pipeline_root_claim="",
        environments_claim="",
        artifact_transfer="store",
        artifact_store=f"s3://{bucket}/a?endpoint={object_store.url}&region=us-east-1",
        artifact_store_credentials=str(keys),
    )
    (tmp_path / "pipeline-root").mkdir()
    (tmp_path / "environments").mkdir()
    made.settings["artifact_address"] = made.url
    made.start()
    yield made
    made.stop()


def test_inputs_of_the_same_content_are_the_same(
    stored: Service, object_store: StoreServer
) -> None:
    assert states(ran(stored)) == RAN
    # The data is made again, elsewhere, and is what it was.
    assert states(ran(stored, prepared_anew)) == {**CACHED, "prepare": Counter(SUCCEEDED=1)}
    client = object_store.client()
    for key in object_store.contents("cached"):
        if key.endswith("/model"):
            client.delete_object(Bucket="cached", Key=key)
    assert states(ran(stored)) == {**CACHED, "train": Counter(SUCCEEDED=2)}


def test_what_nobody_has_a_digest_of_is_known_by_its_place(
    service: Service, first: dict[str, Any]
) -> None:
    assert states(ran(service, prepared_anew)) == RAN
