from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from sandbox.images import ImageStore
from tinykube.node import images
from tinykube.node.images import ImageMap, PullError

REFERENCE = f"process.local/step@sha256:{'a' * 64}"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    made = ImageStore(tmp_path / "store")
    place = made.root / "images/step" / ("a" * 64)
    (place / "env").mkdir(parents=True)
    data = {"prefix": "/opt/venv", "env": {}, "preload": []}
    (place / "image.json").write_text(json.dumps(data))
    return made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(
        "port: 1\nimages:\n"
        f'- {{match: "python:3.*", image: "{REFERENCE}"}}\n'
        '- {match: "python:3.9", image: "machine"}\n'
        '- {match: "docker.io/library/redis:*", image: "machine"}\n'
        f'- {{match: "ghost:*", image: "process.local/ghost@sha256:{"b" * 64}"}}\n'
    )
    return path


@pytest.mark.parametrize(
    "name", ["python:3.9", "docker.io/python:3.12-slim", "library/python:3.11"]
)
def test_the_first_match_wins(store: ImageStore, config: Path, name: str) -> None:
    found = ImageMap(config, store).resolve(name)

    assert found.id == REFERENCE
    assert found.image is not None


@pytest.mark.parametrize("name", ["redis", "redis:7", "docker.io/library/redis"])
def test_the_machine_itself(store: ImageStore, config: Path, name: str) -> None:
    found = ImageMap(config, store).resolve(name)

    assert found.image is None
    assert "/usr/bin" in found.env["PATH"]


@pytest.mark.parametrize(
    "name", ["busybox", "alpine:3.20", "python", f"python:{VERSION}", f"python:{VERSION}-slim"]
)
def test_what_every_machine_has(store: ImageStore, tmp_path: Path, name: str) -> None:
    assert ImageMap(tmp_path / "none.yaml", store).resolve(name).image is None


def test_process_images_need_no_table(store: ImageStore, tmp_path: Path) -> None:
    found = ImageMap(tmp_path / "none.yaml", store).resolve(REFERENCE)

    assert found.image == store.get(REFERENCE)


@pytest.mark.parametrize("name", ["python:2.7", "nginx:latest", "quay.io/python:3.11"])
def test_one_that_cannot_be_had_is_named_with_the_remedy(
    store: ImageStore, tmp_path: Path, name: str
) -> None:
    with pytest.raises(PullError, match=f'image "{name}" is not on this machine.*none.yaml'):
        ImageMap(tmp_path / "none.yaml", store).resolve(name)


def test_one_that_is_not_built_is_named(store: ImageStore, config: Path) -> None:
    with pytest.raises(PullError, match=r'process\.local/ghost.*maps "ghost:1" to.*not built'):
        ImageMap(config, store).resolve("ghost:1")


def test_an_image_that_went_or_was_built_again_is_not_taken_for_the_old_one(
    store: ImageStore, config: Path
) -> None:
    known = ImageMap(config, store)
    first = known.resolve(REFERENCE)
    assert known.resolve("python:3.11") is first
    description = store.root / "images/step" / ("a" * 64) / "image.json"

    description.rename(description.with_suffix(".old"))
    with pytest.raises(PullError, match="not built"):
        known.resolve(REFERENCE)

    data = {"prefix": "/opt/other", "env": {}, "preload": []}
    description.write_text(json.dumps(data))
    found = known.resolve(REFERENCE).image
    assert found is not None
    assert found.prefix == "/opt/other"


def test_the_table_is_read_again_when_it_changes(store: ImageStore, config: Path) -> None:
    table = ImageMap(config, store)
    table.resolve("redis:7")

    config.write_text(f'images: [{{match: "nginx*", image: "{REFERENCE}"}}]\n')
    os.utime(config, ns=(1, 1))

    assert table.resolve("nginx").id == REFERENCE
    with pytest.raises(PullError):
        table.resolve("redis:7")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images: {a: b}", "images is not a list"),
        ("images: [{match: x}]", r"images\[0\] is not {match: PATTERN, image: REFERENCE}"),
        ("images: [{match: x, image: 1}]", r"images\[0\] holds something that is not a text"),
        ("- a", "is not a table of options"),
        ("images: [", "config.yaml"),
    ],
)
def test_a_broken_table_is_told(store: ImageStore, config: Path, text: str, message: str) -> None:
    config.write_text(text)

    with pytest.raises(PullError, match=message):
        ImageMap(config, store).resolve("redis:7")


def test_short_names() -> None:
    assert images.normalise("docker.io/library/python:3.11") == "python:3.11"
    assert images.normalise("docker.io/bitnami/x") == "bitnami/x"
    assert images.normalise("quay.io/library/x") == "quay.io/library/x"
