from __future__ import annotations

import base64
from typing import Any

import pytest

from toolkit_pipelines import manifest
from toolkit_pipelines.manifest import Entry, ManifestError

MD5 = base64.b64encode(bytes(16)).decode()


def file(path: Any, **changes: Any) -> dict[str, Any]:
    return {"path": path, "size": 1, "sha256": "a" * 64, "md5": MD5, **changes}


def test_what_is_declared_is_kept_as_it_is() -> None:
    entries = manifest.parse(
        {"files": [file("model/a b.bin"), {"path": "model", "folder": True}, file("x/é")]}
    )
    assert entries[:2] == (Entry("model/a b.bin", 1, "a" * 64, MD5), Entry("model", folder=True))
    assert manifest.load(manifest.dump(entries, "volume")) == ("volume", entries)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a\0", "x" * 256, "\udc80"),
        *(7, None, "result.json", ".started", ".error", ".started/x"),
    ],
)
def test_a_path_stays_in_the_attempts_folder(path: Any) -> None:
    with pytest.raises(ManifestError):
        manifest.parse({"files": [file(path)]})


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": "1"},
        {"size": True},
        {"size": 1 << 60},
        {"size": None},
        {"sha256": "A" * 64},
        {"sha256": "a"},
        {"sha256": None},
        {"md5": "no"},
        {"md5": "not base64!"},
        {"md5": None},
    ],
)
def test_a_file_has_a_size_and_digests(change: dict[str, Any]) -> None:
    with pytest.raises(ManifestError):
        manifest.parse({"files": [file("x", **change)]})


@pytest.mark.parametrize("data", [None, [], {}, {"files": {}}, {"files": ["x"]}])
def test_other_shapes_are_refused(data: Any) -> None:
    with pytest.raises(ManifestError):
        manifest.parse(data)


def test_a_path_is_one_thing() -> None:
    with pytest.raises(ManifestError, match="twice"):
        manifest.parse({"files": [file("x"), file("x")]})
    with pytest.raises(ManifestError, match="a file and a folder"):
        manifest.parse({"files": [file("x/y/z"), file("x")]})


def test_the_number_of_files_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MAX_FILES", 1)
    with pytest.raises(ManifestError, match="archive"):
        manifest.parse({"files": [file("x"), file("y")]})


def test_a_large_file_has_the_digests_of_its_parts() -> None:
    large = {"size": 25, "parts": [MD5] * 3, "md5": ""}
    found = manifest.parse(
        {"files": [file("x", **large), file("y")]}, lambda size: size // 25 * 10
    )
    assert found == (Entry("x", 25, "a" * 64, parts=(MD5,) * 3), Entry("y", 1, "a" * 64, MD5))
    assert manifest.load(manifest.dump(found, "s3://b"))[1] == found
    for parts in (None, [], [MD5] * 2, [MD5] * 4, [MD5, MD5, "no"], [MD5, MD5, 1]):
        with pytest.raises(ManifestError):
            manifest.parse({"files": [file("x", **{**large, "parts": parts})]}, lambda size: 10)
