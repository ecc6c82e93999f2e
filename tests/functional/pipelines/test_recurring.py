"""Recurring runs with real steps, a real clock and an unmodified `kfp.Client`."""

import datetime
import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kfp's own imports, and its notes on default images
    import kfp
    import kfp_server_api
    from kfp import compiler, dsl

from ..waiting import wait
from .stack import Service

# kfp warns of its own age and of its own future at every turn.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:kfp", "ignore::DeprecationWarning")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def note(day: str, due: str, seconds: float) -> str:
    import time

    time.sleep(seconds)
    return f"{day} {due}"


@dsl.pipeline(name="noting")
def noting(day: str = "", seconds: float = 0.0) -> str:
    return note(
        day=day, due=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER, seconds=seconds
    ).output


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "noting.yaml"
    compiler.Compiler().compile(noting, str(path))
    return path


Make = Callable[..., Any]


@pytest.fixture
def make(service: Service, package: Path) -> Iterator[Make]:
    """Give a function that makes a recurring run, which goes with the test."""
    client = service.client()
    experiment = client.create_experiment("schedules").experiment_id
    made: list[str] = []

    def create(name: str, **arguments: Any) -> Any:
        if "pipeline_id" not in arguments:
            arguments["pipeline_package_path"] = str(package)
        found = client.create_recurring_run(experiment, name, **arguments)
        made.append(found.recurring_run_id)
        return found

    yield create
    for each in client.list_recurring_runs(experiment_id=experiment).recurring_runs or []:
        if each.recurring_run_id in made:
            client.delete_recurring_run(each.recurring_run_id)


def runs_of(client: kfp.Client, recurring_run_id: str) -> list[Any]:
    """The runs of a schedule in the order in which they were due."""
    predicate = {
        "operation": "EQUALS",
        "key": "recurring_run_id",
        "stringValue": recurring_run_id,
    }
    listed = client.list_runs(
        page_size=100,
        sort_by="scheduled_at",
        filter=json.dumps({"predicates": [predicate]}),
    )
    return listed.runs or []


def seconds(moment: datetime.datetime) -> int:
    return int(moment.timestamp())


def shown(service: Service, recurring_run_id: str) -> dict[str, Any]:
    """The schedule with what KFP's client passes over."""
    with service.http() as client:
        found: dict[str, Any] = client.get(
            f"/apis/v2beta1/recurringruns/{recurring_run_id}"
        ).json()
    return found


def test_a_short_interval(service: Service, make: Make) -> None:
    client = service.client()
    made = make(
        "every two seconds",
        interval_second=2,
        max_concurrency=3,
        params={"day": "[[ScheduledTime.2006-01-02]]/[[Index]]"},
        description="text",
        enabled=False,
    )
    key = made.recurring_run_id
    assert (made.status, made.max_concurrency, made.description) == ("DISABLED", "3", "text")
    assert runs_of(client, key) == []
    client.enable_recurring_run(key)
    wait(lambda: len(runs_of(client, key)) >= 4, "it has fired four times")
    client.disable_recurring_run(key)
    assert client.get_recurring_run(key).status == "DISABLED"
    runs = runs_of(client, key)
    start = seconds(client.get_recurring_run(key).created_at)
    # Each instant once and in its order, none left out.
    due = [seconds(run.scheduled_at) for run in runs]
    assert due == [start + 2 * number for number in range(1, len(runs) + 1)]
    assert [run.display_name for run in runs] == [
        f"every two seconds-{number}" for number in range(1, len(runs) + 1)
    ]
    first = client.wait_for_run_completion(runs[0].run_id, timeout=120, sleep_duration=1)
    assert first.state == "SUCCEEDED", service.evidence(first.run_id)
    assert first.recurring_run_id == key
    (result,) = service.root.glob(f"noting/{first.run_id}/note/*/result.json")
    day, moment = json.loads(result.read_text())["parameters"]["Output"].split()
    assert day == f"{first.scheduled_at:%Y-%m-%d}/1"
    assert datetime.datetime.fromisoformat(moment) == first.scheduled_at
    found = shown(service, key)
    assert found["run_count"] == len(runs)
    assert found["last_run_id"] == runs[-1].run_id
    # It is deleted, and its runs stay.
    client.delete_recurring_run(key)
    with pytest.raises(kfp_server_api.ApiException) as caught:
        client.get_recurring_run(key)
    assert caught.value.status == 404
    assert len(runs_of(client, key)) == len(runs)
    for run in runs:
        client.wait_for_run_completion(run.run_id, timeout=120, sleep_duration=1)


def test_a_service_that_was_killed_makes_up_for_what_it_missed(
    service: Service, make: Make
) -> None:
    client = service.client()
    keys = {
        no_catchup: make(
            f"every second, {no_catchup}",
            cron_expression="* * * * * ?",
            max_concurrency=1,
            no_catchup=no_catchup,
            params={"seconds": 0.5},
        ).recurring_run_id
        for no_catchup in (False, True)
    }
    wait(lambda: all(runs_of(client, key) for key in keys.values()), "both have fired")
    service.kill()
    service.start()
    client = service.client()
    counts = {key: len(runs_of(client, key)) for key in keys.values()}
    wait(
        lambda: all(len(runs_of(client, key)) >= counts[key] + 2 for key in keys.values()),
        "both fire again",
    )
    for key in keys.values():
        client.disable_recurring_run(key)
    every = [seconds(run.scheduled_at) for run in runs_of(client, keys[False])]
    assert every == list(range(every[0], every[0] + len(every)))
    last = [seconds(run.scheduled_at) for run in runs_of(client, keys[True])]
    assert last == sorted(set(last))
    for key in keys.values():
        # With one at a time, each began when the one before had ended.
        runs = runs_of(client, key)
        for run in runs:
            client.wait_for_run_completion(run.run_id, timeout=120, sleep_duration=1)
        runs = runs_of(client, key)
        for one, following in itertools.pairwise(runs):
            assert one.finished_at <= following.created_at


def test_the_newest_version_and_lists(service: Service, make: Make, package: Path) -> None:
    client = service.client()
    pipeline = client.upload_pipeline(str(package), pipeline_name="noting scheduled")
    (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    pinned = make(
        "pinned",
        pipeline_id=pipeline.pipeline_id,
        version_id=version.pipeline_version_id,
        cron_expression="@yearly",
    )
    assert pinned.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
    # No further instant comes while this test runs, but for one day in ten years.
    other = make(
        "other", interval_second=315_360_000, start_time="2015-01-01T00:00:00Z", no_catchup=True
    )
    listed = client.list_recurring_runs(
        sort_by="name", page_size=1, experiment_id=pinned.experiment_id
    )
    assert [each.display_name for each in listed.recurring_runs] == ["other"]
    assert listed.total_size == 2
    following = client.list_recurring_runs(
        page_token=listed.next_page_token, page_size=1, experiment_id=pinned.experiment_id
    )
    assert [each.display_name for each in following.recurring_runs] == ["pinned"]
    # What the interval missed since then is one run.
    wait(lambda: len(runs_of(client, other.recurring_run_id)) == 1, "it has made up")
    for wrong in ({"cron_expression": "often"}, {"interval_second": 5, "max_concurrency": 11}):
        with pytest.raises(kfp_server_api.ApiException) as caught:
            make("wrong", **wrong)
        assert caught.value.status == 400
    assert (
        client.get_recurring_run(pinned.recurring_run_id).trigger.cron_schedule.cron == "@yearly"
    )
    (run,) = runs_of(client, other.recurring_run_id)
    client.wait_for_run_completion(run.run_id, timeout=120, sleep_duration=1)
