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


def test_an_object_that_does_not_say_its_size():
    with pytest.raises(ApiError, match=r"\.spec\.size"):
        scale.show({"metadata": {"name": "x"}}, Paths())


def test_a_change_sets_the_number_alone():
    new = scale.change(OBJ, {"spec": {"replicas": 5}}, Paths())
    assert new["spec"] == {"size": 5}
    assert new["status"] == OBJ["status"]
    assert OBJ["spec"] == {"size": 2}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([], 400),
        ({"kind": "Pod"}, 400),
        ({"apiVersion": "v1", "spec": {"replicas": 1}}, 400),
        ({"spec": {"replicas": "x"}}, 400),
        ({"spec": {}}, 400),
        ({"spec": {"replicas": 2**31}}, 400),
        ({"metadata": {"name": "two"}, "spec": {"replicas": 1}}, 422),
    ],
)
def test_what_is_no_scale(given, code):
    with pytest.raises(ApiError) as error:
        scale.change(OBJ, given, Paths())
    assert error.value.code == code
