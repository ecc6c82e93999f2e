from dataclasses import dataclass

import pytest

from tinykube import scale
from tinykube.status import ApiError


@dataclass
class Paths:
    spec_replicas: str = ".spec.size"
    status_replicas: str = ".status.size"
    selector: str = ".status.selector"


OBJ = {
    "metadata": {"name": "one", "namespace": "n", "uid": "u", "resourceVersion": "4"},
    "spec": {"size": 2},
    "status": {"size": 1, "selector": "a=b"},
}


def test_a_scale_shows_the_numbers_where_the_object_has_them():
    assert scale.show(OBJ, Paths()) == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": "one", "namespace": "n", "uid": "u", "resourceVersion": "4"},
        "spec": {"replicas": 2},
        "status": {"replicas": 1, "selector": "a=b"},
    }


def test_a_number_that_is_not_there_is_none():
    assert [scale.number(item, Paths()) for item in (OBJ, {"spec": {}})] == [2, 0]


def test_a_number_that_is_null_is_told_from_none():
    assert scale.find({"spec": {"size": None}}, ".spec.size", 7) is None
    assert scale.find({"spec": {}}, ".spec.size", 7) == 7
    assert scale.find({}, ".spec.size", 7) == 7


def test_an_object_that_does_not_say_its_size():
    with pytest.raises(ApiError, match=r"\.spec\.size"):
        scale.show({"metadata": {"name": "x"}}, Paths())


NAME = {"name": "one"}


def test_a_change_sets_the_number_alone():
    new = scale.change(OBJ, {"metadata": NAME, "spec": {"replicas": 5}}, Paths())
    assert new["spec"] == {"size": 5}
    assert new["status"] == OBJ["status"]
    assert OBJ["spec"] == {"size": 2}


def test_a_number_that_is_left_out_is_zero():
    assert scale.change(OBJ, {"metadata": NAME}, Paths())["spec"] == {"size": 0}
    assert scale.show({**OBJ, "spec": {"size": 0}}, Paths())["spec"] == {}


def test_a_patch_of_what_has_no_number_must_give_one():
    bare = {**OBJ, "spec": {}}
    given = scale.read(scale.patched(bare, Paths()))
    with pytest.raises(ApiError, match="cannot be empty"):
        scale.change(bare, given, Paths())
    given["spec"]["replicas"] = 3
    assert scale.change(bare, given, Paths())["spec"] == {"size": 3}


@pytest.mark.parametrize("given", [{}, {"name": "two"}])
def test_a_scale_is_of_the_object_of_its_path(given):
    with pytest.raises(ApiError, match="name of the object") as error:
        scale.check_name({"metadata": given}, "one")
    assert error.value.code == 400


@pytest.mark.parametrize(
    "given",
    [
        [],
        {"kind": "Pod"},
        {"apiVersion": "v1", "spec": {"replicas": 1}},
        {"spec": {"replicas": "x"}},
        {"spec": {"replicas": 2**31}},
    ],
)
def test_what_is_no_scale(given):
    with pytest.raises(ApiError) as error:
        scale.read(given)
    assert error.value.code == 400
