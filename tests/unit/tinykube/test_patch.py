import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube import kinds, patch
from tinykube.status import ApiError

SHAPE = kinds.PODS.shape


def pod(*containers, **meta):
    return {"metadata": meta, "spec": {"containers": list(containers)}}


def strategic(obj, change):
    return patch.strategic_patch(obj, change, SHAPE)


def test_a_patch_goes_by_its_type():
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "Yg=="}}
    removed = [{"op": "remove", "path": "/data"}]
    for kind, body in ((patch.JSON_PATCH, removed), (patch.MERGE_PATCH, {"data": None})):
        assert "data" not in patch.patched(kinds.SECRETS, secret, kind, body)
    renamed = {"apiVersion": None, "kind": "x"}
    assert patch.patched(kinds.SECRETS, secret, patch.STRATEGIC_PATCH, renamed) == secret
    for kind, body, code in ((patch.MERGE_PATCH, [], 400), ("text/plain", {}, 415)):
        with pytest.raises(ApiError) as caught:
            patch.patched(kinds.SECRETS, secret, kind, body)
        assert caught.value.code == code


def test_merge():
    value = {"a": {"b": 1, "c": 2}, "l": [1, 2]}
    change = {"a": {"b": None, "d": {"e": None, "f": 1}}, "l": [3]}
    assert patch.merge_patch(value, change) == {"a": {"c": 2, "d": {"f": 1}}, "l": [3]}
    assert value == {"a": {"b": 1, "c": 2}, "l": [1, 2]}


@given(st.dictionaries(st.text(max_size=2), st.integers() | st.text(max_size=2)))
def test_merging_twice_is_merging_once(change):
    once = patch.merge_patch({"a": 1}, change)
    assert patch.merge_patch(once, change) == once


def test_strategic_merges_by_key():
    base = pod({"name": "a", "image": "x", "env": [{"name": "E", "value": "1"}]}, {"name": "b"})
    new = strategic(
        base,
        {
            "spec": {
                "containers": [
                    {"name": "a", "env": [{"name": "F", "value": "2"}]},
                    {"name": "c"},
                    {"name": "b", "$patch": "delete"},
                ]
            }
        },
    )
    assert [item["name"] for item in new["spec"]["containers"]] == ["a", "c"]
    first = new["spec"]["containers"][0]
    assert first["image"] == "x"
    assert [item["name"] for item in first["env"]] == ["E", "F"]


def test_strategic_directives():
    base = pod({"name": "a"}, finalizers=["x/a", "x/b"], labels={"k": "v", "l": "w"})
    new = strategic(
        base,
        {
            "metadata": {
                "$deleteFromPrimitiveList/finalizers": ["x/a"],
                "finalizers": ["x/c"],
                "$setElementOrder/finalizers": ["x/c", "x/b"],
                "labels": {"$patch": "replace", "n": "m"},
            },
            "spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]},
        },
    )
    assert new["metadata"]["finalizers"] == ["x/c", "x/b"]
    assert new["metadata"]["labels"] == {"n": "m"}
    assert new["spec"]["containers"] == [{"name": "z"}]
    kept = strategic({"spec": {"a": 1, "b": 2}}, {"spec": {"$retainKeys": ["b"], "b": 3}})
    assert kept == {"spec": {"b": 3}}


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"containers": [{"image": "x"}]}},
        {"spec": {"containers": ["x"]}},
        {"spec": {"$patch": "other"}},
        {"spec": {"$retainKeys": 1}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": 1}},
    ],
)
def test_strategic_refuses(change):
    with pytest.raises(ApiError) as caught:
        strategic(pod({"name": "a"}), change)
    assert caught.value.code == 400


def test_json_patch():
    base = {"a": [1, 2]}
    assert patch.json_patch(base, [{"op": "add", "path": "/a/-", "value": 3}]) == {"a": [1, 2, 3]}
    assert base == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ({}, 400),
        ([1], 400),
        ([{"op": "fly", "path": "/a"}], 422),
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "copy", "path": "/a", "from": ""}], 422),
        ([{"op": "remove", "path": "/b"}], 422),
        ([{"op": "replace", "path": "/a/b/c", "value": 1}], 422),
        ([{"op": "add", "path": "no-slash", "value": 1}], 422),
        ([{"op": "remove", "path": "/a"}] * 10_001, 400),
    ],
)
def test_json_patch_refuses(operations, code):
    with pytest.raises(ApiError) as caught:
        patch.json_patch({"a": 1}, operations)
    assert caught.value.code == code
