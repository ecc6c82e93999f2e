from __future__ import annotations

import pytest

from toolkit_pipelines.imagemap import ImageMap, ImageMapError

MAP = {
    "python:3.11": "registry.example.com/mirror/python:3.11",
    "docker.io/*": "mirror.example.com/*",
    "docker.io/library/*": "mirror.example.com/official/*-slim",
    "docker.io/library/python:3.9": "python:3.11",
    "old/*": "new/one:1",
}


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("python:3.11", "registry.example.com/mirror/python:3.11"),
        ("python:3.12", "python:3.12"),
        ("docker.io/a/b:1", "mirror.example.com/a/b:1"),
        ("docker.io/", "mirror.example.com/"),
        ("docker.io", "docker.io"),
        ("a/docker.io/b", "a/docker.io/b"),
        # The longest pattern, and before it the name itself; each once.
        ("docker.io/library/node:1", "mirror.example.com/official/node:1-slim"),
        ("docker.io/library/python:3.9", "python:3.11"),
        ("old/x:2", "new/one:1"),
    ],
)
def test_what_a_step_has(image: str, found: str) -> None:
    assert ImageMap.read(MAP).of(image) == found


def test_a_star_alone_stands_for_all() -> None:
    assert ImageMap.read({"*": "mirror/*", "a": "b"}).of("x:1") == "mirror/x:1"
    assert ImageMap.read({"*": "mirror/*", "a": "b"}).of("a") == "b"


def test_without_a_map_images_are_what_they_are() -> None:
    assert ImageMap().of("a*") == ImageMap.read({}).of("a*") == "a*"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "a map of images"),
        ("a", "a map of images"),
        ({"a**": "b"}, r"'a\*\*': 'b': only one \*"),
        ({"a*b*": "b"}, r"only one \*"),
        ({"a/*": "b*c*"}, r"only one \*"),
        ({"a*b": "c"}, r"'a\*b': 'c': \* only at the end"),
        ({"*a": "c"}, "only at the end"),
        ({"a": "b*"}, r"'a': 'b\*': there is nothing"),
        ({"": "b"}, "'': 'b': write the names"),
        ({"a": ""}, "'a': '': write the names"),
        ({"a": None}, "'a': 'None': write the names"),
        ({3.11: "a"}, "'3.11': 'a': write the names"),
        ({"a b": "c"}, "'a b': 'c': the name of an image has no blanks"),
        ({"a": " c"}, "no blanks"),
        ({"a": "c\n"}, "no blanks"),
        ({"a\t": "c"}, "no blanks"),
    ],
)
def test_wrong_maps_are_refused(given: object, said: str) -> None:
    with pytest.raises(ImageMapError, match=said):
        ImageMap.read(given)
