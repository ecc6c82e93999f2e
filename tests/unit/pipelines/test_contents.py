"""Contents on the volume; `functional/pipelines/test_stored_steps.py` has those in a store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from toolkit_pipelines import manifest
from toolkit_pipelines.contents import AbsentError, Contents, ElsewhereError, Listing
from toolkit_pipelines.manifest import Entry
from toolkit_pipelines.root import DEFAULT_URI, PipelineRoot

HOME = "p/run/train/0123456789abcdef"


@pytest.fixture
def root(tmp_path: Path) -> PipelineRoot:
    (tmp_path / HOME / "model" / "sub").mkdir(parents=True)
    (tmp_path / HOME / "model" / "sub" / "w").write_bytes(b"www")
    (tmp_path / HOME / "data").write_bytes(b"12345")
    return PipelineRoot(tmp_path, "s3://bucket/a")


def test_what_is_on_the_volume(root: PipelineRoot) -> None:
    contents = Contents(root)
    for uri in (root.uri, DEFAULT_URI):
        with contents.opened(f"{uri}/{HOME}/data") as content:
            assert not content.folder
            assert b"".join(content.chunks()) == b"12345"
        with contents.opened(f"{uri}/{HOME}/model") as content:
            assert content.folder
            (file,) = content.files()
            assert (file.path, file.size) == ("sub/w", 3)
    assert contents.listed(f"{HOME}/model") == Listing(
        "volume",
        [
            Entry(f"{HOME}/model", folder=True),
            Entry(f"{HOME}/model/sub", folder=True),
            Entry(f"{HOME}/model/sub/w", 3),
        ],
    )
    assert contents.listed(f"{HOME}/none") == Listing("volume", [])


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        (f"s3://bucket/a/{HOME}/none", AbsentError),
        (f"s3://bucket/a/{HOME}/data/x", AbsentError),
        ("s3://bucket/a", ElsewhereError),
        (f"s3://bucket/b/{HOME}/data", ElsewhereError),
        ("s3://bucket/a/../../etc/passwd", ElsewhereError),
        ("s3://bucket/a//etc/passwd", ElsewhereError),
        ("/etc/passwd", ElsewhereError),
        ("file:///etc/passwd", ElsewhereError),
    ],
)
def test_what_cannot_be_read(root: PipelineRoot, uri: str, error: type[Exception]) -> None:
    with pytest.raises(error), Contents(root).opened(uri):
        pass


def test_what_is_in_a_store_that_is_not_set_says_where(root: PipelineRoot) -> None:
    sent = [
        Entry("big", folder=True),
        Entry("big/a", 7, "0" * 64),
        Entry("bigger", 8, "0" * 64),
    ]
    listed = manifest.dump(sent, "s3://bucket/a")
    (root.folder / f"{HOME}.files.json").write_text(listed)
    assert json.loads(listed)["store"] == "s3://bucket/a"
    contents = Contents(root)
    assert contents.listed(f"{HOME}/big") == Listing(
        "s3://bucket/a", [Entry(f"{HOME}/big", folder=True), Entry(f"{HOME}/big/a", 7, "0" * 64)]
    )
    with (
        pytest.raises(ElsewhereError, match="s3://bucket/a, which this service is not set"),
        contents.opened(f"{root.uri}/{HOME}/big"),
    ):
        pass
    with pytest.raises(AbsentError), contents.opened(f"{root.uri}/{HOME}/none"):
        pass


def test_digests_are_of_content(root: PipelineRoot) -> None:
    contents = Contents(root)
    assert contents.digest(f"{root.uri}/{HOME}/data") == "", "nobody has computed one"
    assert contents.digest("gs://elsewhere/data") == ""
    other = "p/run/train/fedcba9876543210"
    for home, digest in ((HOME, "a"), (other, "a")):
        sent = [
            Entry("data", 5, digest * 64),
            Entry("data-2", 5, "c" * 64),
            Entry("model", folder=True),
            Entry("model/w", 7, "b" * 64),
        ]
        (root.folder / f"{home}.files.json").write_text(manifest.dump(sent, "volume"))
    found = {
        name: contents.digest(f"{root.uri}/{HOME}/{name}") for name in ("data", "data-2", "model")
    }
    assert len(set(found.values()) - {""}) == 3
    for name, digest in found.items():
        assert contents.digest(f"{root.uri}/{other}/{name}") == digest
    assert contents.digest(f"{root.uri}/{HOME}/none") == ""


def test_what_was_removed_is_not_present(root: PipelineRoot) -> None:
    contents = Contents(root)
    data, none = f"{root.uri}/{HOME}/data", f"{root.uri}/{HOME}/none"
    assert contents.present(data)
    assert contents.present(none), "an artifact may have no content"
    assert contents.present("gs://elsewhere/data"), "nobody knows"
    listed = manifest.dump([Entry("data", 5, "a" * 64)], "volume")
    (root.folder / f"{HOME}.files.json").write_text(listed)
    (root.folder / HOME / "data").unlink()
    assert not contents.present(data)
    assert contents.present(none)
    shutil.rmtree(root.folder / HOME)
    assert not contents.present(none)
