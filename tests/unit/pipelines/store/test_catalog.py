from __future__ import annotations

import uuid

import pytest

from toolkit_pipelines import paging
from toolkit_pipelines.filters import Field, Kind
from toolkit_pipelines.store import Store
from toolkit_pipelines.store.interface import (
    AlreadyExistsError,
    Experiment,
    InUseError,
    NotFoundError,
    Pipeline,
    Storage,
    Version,
)

FIELDS = {"created_at": Field("created", Kind.TIME), "name": Field("name")}
QUERY = paging.Pager(b"k").query("x", paging.Request(), FIELDS, {})


def pipeline(name: str = "p") -> Pipeline:
    return Pipeline(pipeline_id=str(uuid.uuid4()), name=name, display_name=name, created=1.0)


def version(of: Pipeline, name: str = "v1", created: float = 1.0) -> Version:
    return Version(
        pipeline_version_id=str(uuid.uuid4()),
        pipeline_id=of.pipeline_id,
        name=name,
        display_name=name,
        created=created,
        spec="",
        tags={"a": "b"},
    )


def test_experiments(store: Store, experiment: Experiment) -> None:
    assert store.catalog.experiment(experiment.experiment_id) == experiment
    assert store.catalog.experiment_named("Default") == experiment
    assert store.catalog.experiment_named("default") is None
    again = Experiment(experiment_id="other", display_name="Default", created=2.0)
    with pytest.raises(AlreadyExistsError, match="Default"):
        store.catalog.create_experiment(again)
    assert store.catalog.ensure_experiment(again) == experiment
    found, total, following = store.catalog.experiments(QUERY)
    assert (found, total, following) == ([experiment], 1, None)
    store.catalog.store_experiment(experiment.experiment_id, Storage.ARCHIVED, 20.0)
    assert store.catalog.experiment(experiment.experiment_id).storage is Storage.ARCHIVED
    store.catalog.delete_experiment(experiment.experiment_id)
    for call in (
        lambda: store.catalog.experiment(experiment.experiment_id),
        lambda: store.catalog.delete_experiment(experiment.experiment_id),
        lambda: store.catalog.store_experiment(experiment.experiment_id, Storage.ARCHIVED, 20.0),
    ):
        with pytest.raises(NotFoundError):
            call()


def test_pipelines(store: Store) -> None:
    made = pipeline()
    store.catalog.create_pipeline(made)
    assert store.catalog.pipeline(made.pipeline_id) == made
    assert store.catalog.pipeline_named("p") == made
    with pytest.raises(AlreadyExistsError):
        store.catalog.create_pipeline(pipeline())
    with pytest.raises(NotFoundError):
        store.catalog.pipeline_named("q")
    with pytest.raises(NotFoundError):
        store.catalog.latest_version(made.pipeline_id)
    changed = store.catalog.update_pipeline(made.pipeline_id, {"tags": {"x": "y"}})
    assert changed.tags == {"x": "y"}
    assert store.catalog.update_pipeline(made.pipeline_id, {}) == changed
    assert store.catalog.pipelines(QUERY)[0] == [changed]
    store.catalog.delete_pipeline(made.pipeline_id, cascade=False)
    with pytest.raises(NotFoundError):
        store.catalog.pipeline(made.pipeline_id)


def test_a_taken_name_leaves_no_version_behind(store: Store) -> None:
    first, second = pipeline(), pipeline()
    store.catalog.create_pipeline_and_version(first, version(first), b"{}")
    with pytest.raises(AlreadyExistsError):
        store.catalog.create_pipeline_and_version(second, version(second), b"[]")
    with pytest.raises(NotFoundError):
        store.catalog.pipeline(second.pipeline_id)


def test_versions(store: Store) -> None:
    made = pipeline()
    one, two = version(made), version(made, "v2", 2.0)
    store.catalog.create_pipeline_and_version(made, one, b"{}")
    store.catalog.create_version(two, b"{}")
    with pytest.raises(AlreadyExistsError, match="v2"):
        store.catalog.create_version(version(made, "v2"), b"{}")
    kept = store.catalog.version(made.pipeline_id, two.pipeline_version_id)
    assert kept.tags == {"a": "b"}
    assert store.runs.spec(kept.spec) == b"{}"
    assert store.catalog.specs({kept.spec, "x"}) == {kept.spec: b"{}"}
    assert store.catalog.latest_version(made.pipeline_id) == kept
    renamed = store.catalog.update_version(
        made.pipeline_id, two.pipeline_version_id, {"display_name": "second"}
    )
    assert renamed.display_name == "second"
    with pytest.raises(InUseError, match="cascade"):
        store.catalog.delete_pipeline(made.pipeline_id, cascade=False)
    store.catalog.delete_version(made.pipeline_id, one.pipeline_version_id)
    assert store.runs.spec(kept.spec) == b"{}"
    store.catalog.delete_pipeline(made.pipeline_id, cascade=True)
    with pytest.raises(NotFoundError):
        store.runs.spec(kept.spec)


def test_a_version_is_found_under_its_own_pipeline_only(store: Store) -> None:
    mine, other = pipeline("mine"), pipeline("other")
    store.catalog.create_pipeline_and_version(mine, version(mine), b"{}")
    store.catalog.create_pipeline(other)
    (found,) = store.catalog.versions(
        paging.Pager(b"k").query("x", paging.Request(), FIELDS, {"pipeline_id": mine.pipeline_id})
    )[0]
    for call in (store.catalog.version, store.catalog.delete_version):
        with pytest.raises(NotFoundError):
            call(other.pipeline_id, found.pipeline_version_id)
    with pytest.raises(NotFoundError):
        store.catalog.create_version(version(pipeline("missing")), b"{}")


def test_a_run_keeps_the_spec_of_a_deleted_version(store: Store, new_run: object) -> None:
    run = new_run()  # type: ignore[operator]
    made = pipeline()
    one = version(made)
    store.catalog.create_pipeline_and_version(made, one, store.runs.spec(run.spec))
    store.catalog.delete_version(made.pipeline_id, one.pipeline_version_id)
    assert store.runs.spec(run.spec)
