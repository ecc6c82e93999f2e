import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube import fieldsets, kinds
from tinykube.status import ApiError

SHAPE = kinds.PODS.shape


def config(data=None, kind="ConfigMap", **meta):
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": "x", **meta},
        **({} if data is None else {"data": data}),
    }


def apply(live, wanted, manager="me", shape=kinds.CONFIG_MAPS.shape, *, force=False):
    return fieldsets.apply(live, wanted, shape, manager, force=force)


def owners(obj):
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


def test_the_first_apply_owns_what_it_names():
    made = apply(None, config({"a": "1"}, labels={"l": "m"}))
    assert made["data"] == {"a": "1"}
    assert owners(made) == {"me": {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:l": {}}}}}


def test_what_is_no_longer_applied_goes():
    made = apply(apply(None, config({"a": "1", "b": "2"})), config({"a": "1"}))
    assert made["data"] == {"a": "1"}


def test_two_managers_each_keep_their_own():
    made = apply(apply(None, config({"a": "1"})), config({"b": "2"}), "you")
    assert made["data"] == {"a": "1", "b": "2"}
    made = apply(made, config({}), "you")
    assert made["data"] == {"a": "1"}


def test_a_shared_field_stays_until_both_let_go():
    made = apply(apply(None, config({"a": "1"})), config({"a": "1"}), "you")
    made = apply(made, config({}), "you")
    assert made["data"] == {"a": "1"}
    assert not apply(made, config()).get("data")


def test_conflicts_are_named_and_can_be_forced():
    made = apply(None, config({"a": "1"}))
    with pytest.raises(ApiError) as caught:
        apply(made, config({"a": "2"}), "you")
    assert caught.value.code == 409
    (cause,) = caught.value.causes
    assert cause.field == ".data.a"
    assert 'conflict with "me"' in cause.message
    forced = apply(made, config({"a": "2"}), "you", force=True)
    assert forced["data"] == {"a": "2"}
    assert "me" not in owners(forced)


def test_an_object_that_was_never_applied_belongs_to_those_before():
    with pytest.raises(ApiError, match="before-first-apply"):
        apply(config({"a": "1"}), config({"a": "2"}))
    assert apply(config({"a": "1"}), config({"a": "1"}))["data"] == {"a": "1"}


def test_an_update_takes_fields_over():
    made = apply(None, config({"a": "1"}))
    new = {**made, "data": {"a": "9"}}
    new["metadata"] = dict(made["metadata"])
    fieldsets.record(new, made, kinds.CONFIG_MAPS.shape, "editor", "")
    assert owners(new) == {"editor": {"f:data": {"f:a": {}}}}
    with pytest.raises(ApiError, match="editor"):
        apply(new, config({"a": "1"}))


def test_lists_merge_by_key():
    def pod(*containers):
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "x", "finalizers": ["a/b"]},
            "spec": {"containers": list(containers)},
        }

    made = apply(None, pod({"name": "a", "image": "i"}), shape=SHAPE)
    both = apply(made, pod({"name": "b", "image": "j"}), "you", SHAPE)
    assert [item["name"] for item in both["spec"]["containers"]] == ["a", "b"]
    less = apply(both, pod(), "you", SHAPE)
    assert [item["name"] for item in less["spec"]["containers"]] == ["a"]
    with pytest.raises(ApiError) as caught:
        apply(made, pod({"name": "a", "image": "z"}), "you", SHAPE)
    assert caught.value.causes[0].field == '.spec.containers[name="a"].image'


def test_applying_again_changes_nothing():
    made = apply(None, config({"a": "1"}))
    assert apply(made, config({"a": "1"})) == made


@given(
    st.sets(st.lists(st.sampled_from(["f:a", "f:b", "f:c"]), min_size=1, max_size=3).map(tuple))
)
def test_sets_survive_their_spelling(found):
    leaves = {
        path for path in found if not any(other[: len(path)] == path != other for other in found)
    }
    assert fieldsets.from_fields(fieldsets.to_fields(leaves)) == leaves
