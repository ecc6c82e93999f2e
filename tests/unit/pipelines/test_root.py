"""Where files of runs lie, what URIs mean, and what of a step's record is believed."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import Artifact as KfpArtifact

from toolkit_pipelines.events import Artifact, Values
from toolkit_pipelines.root import DEFAULT_URI, OutputError, PipelineRoot
from toolkit_pipelines.spec.model import (
    ArtifactOutput,
    ArtifactType,
    Component,
    Container,
    Inputs,
    Outputs,
    ParameterType,
)

RUN = str(uuid.UUID(int=5))
COMPONENT = Component(
    "comp",
    Inputs(),
    Outputs(
        {"n": ParameterType.INTEGER, "s": ParameterType.STRING},
        {"model": ArtifactOutput(ArtifactType("system.Model"), metadata={"a": 1})},
    ),
    Container("image", ("true",)),
)


@pytest.fixture
def root(tmp_path: Path) -> PipelineRoot:
    return PipelineRoot(tmp_path)


@pytest.mark.parametrize("uri", ["minio://b/p/x", "gs://b/x", "s3://b/x", "/plain/x"])
def test_paths_are_those_of_kfps_own_artifacts(uri: str) -> None:
    assert PipelineRoot.local(uri) == KfpArtifact(uri=uri).path


@pytest.mark.parametrize("uri", ["minio://b/", "file:///x", "x", ""])
def test_a_root_that_the_sdk_does_not_map_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ValueError, match="must start with"):
        PipelineRoot(tmp_path, uri)


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ("", ""),
        ("minio://mlpipeline/v2/artifacts", ""),
        ("minio://mlpipeline/v2/artifacts/team/a", "team/a"),
        ("minio://mlpipeline/v2/artifacts/", ""),
        ("dummy_root", "dummy_root"),
    ],
)
def test_places_below_the_root(root: PipelineRoot, asked: str, place: str) -> None:
    assert root.place(asked) == place


@pytest.mark.parametrize(
    "asked",
    [
        "gs://b",
        "s3://b/x",
        "/etc",
        "../x",
        "a/../../b",
        "a\0b",
        "minio://mlpipeline/v2/artifacts/..",
    ],
)
def test_places_elsewhere_are_refused(root: PipelineRoot, asked: str) -> None:
    with pytest.raises(ValueError, match="is not below"):
        root.place(asked)


def test_the_executor_input_is_kfps(root: PipelineRoot) -> None:
    attempt = root.attempt("", "My Pipeline", RUN, "outer/train it", 0)
    given = Values({"x": 1}, {})
    found = root.executor_input(attempt, COMPONENT, given)
    home = f"/minio/mlpipeline/v2/artifacts/{attempt.folder}"
    assert attempt.folder.startswith(f"my-pipeline/{RUN}/train-it/")
    assert found["inputs"] == {"parameterValues": {"x": 1}, "artifacts": {}}
    assert found["outputs"]["parameters"]["n"] == {"outputFile": f"{home}/n"}
    assert found["outputs"]["outputFile"] == f"{home}/executor_output.json"
    (model,) = found["outputs"]["artifacts"]["model"]["artifacts"]
    assert model["type"] == {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"}
    assert KfpArtifact(uri=model["uri"]).path == f"{home}/model"
    assert model["metadata"] == {"a": 1}


def test_attempts_have_folders_of_their_own(root: PipelineRoot) -> None:
    folders = {
        root.attempt("", "p", RUN, path, attempt).folder
        for path in ("a", "a/a", "b/a")
        for attempt in (0, 1)
    }
    assert len(folders) == 6


def record(root: PipelineRoot, **fields: Any) -> Any:
    attempt = root.attempt("", "p", RUN, "t", 0)
    folder = root.folder / attempt.folder
    folder.mkdir(parents=True, exist_ok=True)
    data = {"exit_code": 0, "message": "", "parameters": {}, "artifacts": {}, **fields}
    (folder / "result.json").write_text(json.dumps(data))
    return root.result(attempt, COMPONENT)


def artifact(uri: str, **metadata: Any) -> dict[str, Any]:
    return {"model": [{"name": "model", "uri": uri, "metadata": metadata}]}


def test_a_record_is_read(root: PipelineRoot) -> None:
    uri = f"{root.uri}/p/{RUN}/t/x/model"
    found = record(root, parameters={"n": 3.0, "s": "x"}, artifacts=artifact(uri, loss=1.5))
    assert found.outputs.parameters == {"n": 3, "s": "x"}
    assert type(found.outputs.parameters["n"]) is int
    expected = Artifact("model", "system.Model", uri, {"loss": 1.5})
    assert found.outputs.artifacts == {"model": (expected,)}
    assert found.packages == ()


@pytest.mark.parametrize("digest", ["none", f"sha256:{'a' * 64}", f"tree-sha256:{'0' * 64}"])
def test_a_record_tells_what_artifacts_hold_and_what_was_installed(
    root: PipelineRoot, digest: str
) -> None:
    (listed,) = artifact("s3://bucket/model")["model"]
    found = record(root, artifacts={"model": [{**listed, "digest": digest}]}, packages=["a==1"])
    assert found.outputs.artifacts["model"][0].digest == digest
    assert found.packages == ("a==1",)


@pytest.mark.parametrize(
    "fields",
    [
        {"parameters": {"n": "3"}},
        {"parameters": {"other": 3}},
        {"parameters": []},
        {"exit_code": "x"},
        {"exit_code": None},
        {"artifacts": {"other": []}},
        {"artifacts": {"model": [{}]}},
        {"artifacts": {"model": "x"}},
        {"artifacts": {"model": [{"name": "m", "uri": "s3://b/m", "metadata": {}, "digest": 1}]}},
        {"artifacts": {"model": [{"name": "m", "uri": "x", "metadata": {}, "digest": "md5:1"}]}},
        {"packages": "numpy"},
        {"artifacts": artifact("a\nb")},
        {"artifacts": artifact("x" * 5000)},
        {"artifacts": artifact(f"minio://mlpipeline/v2/artifacts/p/{uuid.UUID(int=6)}/t/x/m")},
        {"artifacts": artifact(f"minio://mlpipeline/v2/artifacts/p/{RUN}/../x")},
    ],
)
def test_a_record_that_is_not_as_declared_is_refused(
    root: PipelineRoot, fields: dict[str, Any]
) -> None:
    with pytest.raises(OutputError):
        record(root, **fields)


def test_uris_elsewhere_are_the_components_own_business(root: PipelineRoot) -> None:
    found = record(root, artifacts=artifact("s3://bucket/model"))
    assert found.outputs.artifacts["model"][0].uri == "s3://bucket/model"


def test_no_record_is_no_result(root: PipelineRoot) -> None:
    attempt = root.attempt("", "p", RUN, "t", 0)
    assert root.result(attempt, COMPONENT) is None
    folder = root.folder / attempt.folder
    folder.mkdir(parents=True)
    (folder / "result.json").touch()
    assert root.result(attempt, COMPONENT) is None


def test_forget_deletes_one_run_and_follows_no_link(root: PipelineRoot, tmp_path: Path) -> None:
    other = str(uuid.UUID(int=6))
    for place, run in (("", RUN), ("team/a", RUN), ("", other)):
        (root.folder / root.attempt(place, "p", run, "t", 0).folder).mkdir(parents=True)
    outside = tmp_path.parent / f"outside-{tmp_path.name}"
    outside.mkdir()
    (outside / "kept").touch()
    (root.folder / root.attempt("", "p", RUN, "t", 0).folder / "link").symlink_to(outside)
    root.forget(root.run_folders()[RUN])
    assert not list(root.folder.rglob(RUN))
    assert list(root.folder.rglob(other))
    assert (outside / "kept").exists()


def _disturbed(monkeypatch: pytest.MonkeyPatch, disturb: Callable[[Path], None]) -> None:
    """Have something happen in a folder whenever the first of its files has been deleted."""
    unlink = os.unlink

    def disturbed(path: str, **options: Any) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{options['dir_fd']}"))
        unlink(path, **options)
        disturb(place)

    monkeypatch.setattr("os.unlink", disturbed)


def _logged(root: PipelineRoot) -> Path:
    attempt = root.attempt("", "p", RUN, "t", 0)
    (root.folder / attempt.folder).mkdir(parents=True)
    for name in (".started", "result.json"):
        (root.folder / attempt.folder / name).touch()
    draft = root.folder / f"{attempt.log}.new"
    draft.touch()
    return draft


def test_forget_leaves_nothing_though_a_log_is_just_being_saved(
    root: PipelineRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = _logged(root)
    written = draft.with_name("another.log")

    def save(place: Path) -> None:
        # One that was listed already has another name, and one comes that was not.
        if draft.exists():
            draft.rename(draft.with_suffix(""))
            written.touch()

    _disturbed(monkeypatch, save)
    root.forget(root.run_folders()[RUN])

    assert not list(root.folder.rglob(RUN))


def test_forget_gives_up_on_a_folder_that_is_always_filled_again(
    root: PipelineRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    _logged(root)
    _disturbed(monkeypatch, lambda place: (place / str(uuid.uuid4())).touch())

    with pytest.raises(OSError, match="not empty"):
        root.forget(root.run_folders()[RUN])


def test_a_root_in_an_object_store_still_has_kfps_name(tmp_path: Path) -> None:
    root = PipelineRoot(tmp_path, "s3://bucket/a")
    assert root.mount == "/s3/bucket/a"
    assert root.place("s3://bucket/a/b") == root.place("minio://mlpipeline/v2/artifacts/b") == "b"
    assert root.below("s3://bucket/a/x/y") == root.below(f"{DEFAULT_URI}/x/y") == "x/y"
    for uri in ("s3://bucket/ab/x", "s3://bucket/a", "s3://bucket/a/../x", "s3://bucket/a/x//y"):
        assert root.below(uri) is None
    with pytest.raises(ValueError, match="is not below s3://bucket/a"):
        root.place("s3://bucket/b")
