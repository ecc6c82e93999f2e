import pytest

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
    return fieldsets.apply(live, wanted, shape, manager, force=force, key="configmaps")


def owners(obj):
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


def test_the_first_apply_owns_what_it_names():
    made = apply(None, config({"a": "1"}, labels={"l": "m"}))
    assert made["data"] == {"a": "1"}
    assert owners(made) == {"me": {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:l": {}}}}}


def test_an_apply_that_changes_nothing_is_of_no_moment_unless_it_asks_for_what_is_not_written():
    made = apply(None, config({"a": "1"}))
    for ignored, moment in (
        ({}, False),
        ({"data": {"a": "1"}}, False),
        ({"immutable": True}, True),
    ):
        found = fieldsets.apply(
            *(made, config({"a": "1"}), kinds.CONFIG_MAPS.shape, "you"),
            force=False,
            ignored=ignored,
        )
        (own,) = [item for item in found["metadata"]["managedFields"] if item["manager"] == "you"]
        assert ("time" in own) is moment
        assert "immutable" not in found


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


def test_a_conflict_names_all_managers_and_fields():
    """The words are those of a Kubernetes 1.37.2 API server."""
    made = apply(None, config({"c": "4"}), "you")
    made["data"] = {**made["data"], "a": "1", "b": "2"}
    made["metadata"]["managedFields"] = fieldsets.updated(
        made,
        config({"c": "4"}),
        made["metadata"]["managedFields"],
        kinds.CONFIG_MAPS.shape,
        "kubectl",
        "",
    )
    with pytest.raises(ApiError) as caught:
        apply(made, config({"a": "7", "b": "8", "c": "9"}))
    assert caught.value.message == (
        'Apply failed with 3 conflicts: conflicts with "kubectl" using v1:\n- .data.a\n- .data.b\n'
        'conflicts with "you":\n- .data.c'
    )
    assert len(caught.value.causes) == 3


def test_one_conflict_is_told_on_one_line():
    made = apply(None, config({"a": "1"}))
    with pytest.raises(ApiError) as caught:
        apply(made, config({"a": "2"}), "you")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "me": .data.a'


def test_what_nobody_wants_any_longer_leaves_no_empty_map():
    made = apply(None, config({"a": "1"}, labels={"l": "m"}))
    made = apply(made, config({"a": "1"}))
    assert "labels" not in made["metadata"]


def test_one_who_wants_nothing_is_not_recorded():
    made = apply(apply(None, config({"a": "1"})), config(), "you")
    assert set(owners(made)) == {"me"}


def test_an_item_without_its_default_key_is_the_same_item():
    def pod(**port):
        container = {"name": "c", "image": "i", "ports": [{"containerPort": 80, **port}]}
        meta = {"name": "x"}
        spec = {"containers": [container]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}

    live = pod(protocol="TCP")
    both = apply(live, pod(name="web"), shape=SHAPE)
    (port,) = both["spec"]["containers"][0]["ports"]
    assert port == {"containerPort": 80, "protocol": "TCP", "name": "web"}
