"""JSON patches as a real API server (1.37) applies them."""

import pytest

from tinykube import operations
from tinykube.operations import PatchError


def apply(*steps):
    document = {"data": {"k": "v", "nil": None}, "list": ["a", "b"], "n": 1, "a/b": {"~": 2}}
    return operations.apply(document, steps)


def step(op, path, **more):
    return {"op": op, "path": path, **more}


@pytest.mark.parametrize(
    ("operation", "part", "found"),
    [
        (step("add", "/data/z", value="w"), "data", {"k": "v", "nil": None, "z": "w"}),
        (step("add", "/data/z"), "data", {"k": "v", "nil": None, "z": None}),
        (step("add", "/list/-", value="c"), "list", ["a", "b", "c"]),
        (step("add", "/list/1", value="c"), "list", ["a", "c", "b"]),
        (step("add", "/list/01", value="c"), "list", ["a", "c", "b"]),
        (step("add", "/list/-1", value="c"), "list", ["a", "b", "c"]),
        (step("add", "ignored/new", value=1), "new", 1),
        (step("replace", "/data/z", value="w"), "data", {"k": "v", "nil": None, "z": "w"}),
        (step("replace", "/data/k"), "data", {"k": None, "nil": None}),
        (step("replace", "/list/-1", value="c"), "list", ["a", "c"]),
        (step("replace", "/a~1b/~0", value=3), "a/b", {"~": 3}),
        (step("remove", "/data/k"), "data", {"nil": None}),
        (step("remove", "/list/-2"), "list", ["b"]),
        (
            step("copy", "/data/z", **{"from": "/list"}),
            "data",
            {"k": "v", "nil": None, "z": ["a", "b"]},
        ),
        (step("copy", "/n", **{"from": "/data/nope"}), "n", None),
        (step("move", "/n", **{"from": "/data/k"}), "n", "v"),
        (step("test", "/list", value=["a", "b"]), "n", 1),
        (step("test", "/data/nil"), "n", 1),
        (step("test", "/data/nope", value=None), "n", 1),
    ],
)
def test_what_each_does(operation, part, found):
    assert apply(operation)[part] == found


def test_a_whole_document_is_replaced():
    assert apply(step("replace", "", value={"x": 1})) == {"x": 1}


def test_a_value_is_a_copy():
    value = []
    found = apply(step("add", "/x", value=value), step("add", "/x/-", value=1))
    assert (found["x"], value) == ([1], [])


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add"},
        {"path": "/n"},
        step("fly", "/n"),
        step(["add"], "/n"),
        step("add", 1),
        step("add", "", value={}),
        step("add", "no-slash", value=1),
        step("add", "/nope/x", value=1),
        step("add", "/n/x", value=1),
        step("add", "/list/x", value=1),
        step("add", "/list/ 1", value=1),
        step("add", "/list/4", value=1),
        step("replace", "/list/2", value=1),
        step("replace", "/list/-", value=1),
        step("replace", "/list/-3", value=1),
        step("replace", "", value="x"),
        step("remove", "/data/nope"),
        step("remove", "/list/-"),
        step("remove", ""),
        step("copy", "/n"),
        step("copy", "/n", **{"from": "/nope/x"}),
        step("copy", "/n", **{"from": "/list/2"}),
        step("copy", "/n", **{"from": ""}),
        step("move", "/n", **{"from": "/data/nope"}),
        step("move", "/data/z", **{"from": "/data"}),
        step("test", "/n", value=True),
        step("test", "/n", value=1.0),
        step("test", "/n"),
        step("test", "/list", value=["a"]),
        step("test", "/nope/x", value=None),
        step("test", "", value=None),
    ],
)
def test_what_does_not_fit(operation):
    with pytest.raises(PatchError):
        apply(operation)


def test_copies_are_bounded():
    double = step("copy", "/list/-", **{"from": "/list"})
    with pytest.raises(PatchError, match="too much"):
        apply(*[double] * 40)
