import pytest

from tinykube import resourcelist
from tinykube.resourcelist import amount_faults, container_faults, quota_faults


@pytest.mark.parametrize(
    ("name", "of_container", "of_quota"),
    [
        ("cpu", "", ""),
        ("nvidia.com/gpu", "", ""),
        ("hugepages-2Mi", "", ""),
        ("requests.cpu", "must be a standard resource for containers", ""),
        ("pods", "must be a standard resource for containers", ""),
        (
            "storage",
            "must be a standard resource for containers",
            "must be a standard resource for quota",
        ),
        (
            "requests.example.com/gpu",
            "doesn't follow extended resource name standard",
            "",
        ),
    ],
)
def test_names(name, of_container, of_quota):
    for judge, expected in ((container_faults, of_container), (quota_faults, of_quota)):
        found = [cause.message for cause in judge("p", name)]
        wanted = [f'Invalid value: "{name}": {expected}'] if expected else []
        assert found == wanted, judge.__name__


def test_a_name_that_is_none_is_told_first():
    (first, *_) = container_faults("p", "bad name")
    assert "must consist of alphanumeric characters" in first.message
    (unknown, *_) = quota_faults("p", "gpu")
    assert unknown.message.endswith("must be a standard resource type or fully qualified")


@pytest.mark.parametrize(
    ("name", "amount", "expected"),
    [
        ("cpu", "500m", []),
        ("cpu", "-1", ['p[cpu]: Invalid value: "-1": must be greater than or equal to 0']),
        ("nvidia.com/gpu", "2", []),
        (
            "nvidia.com/gpu",
            "500m",
            ['p[nvidia.com/gpu]: Invalid value: "500m": must be an integer'],
        ),
    ],
)
def test_amounts(name, amount, expected):
    assert [str(cause) for cause in amount_faults("p", {name: amount}, quota_faults)] == expected


def test_no_list_has_no_faults():
    assert list(amount_faults("p", None, quota_faults)) == []


def test_what_is_promised_to_one_alone():
    names = ("cpu", "nvidia.com/gpu", "hugepages-2Mi", "x.kubernetes.io/y")
    assert [name for name in names if resourcelist.exact(name)] == [
        "nvidia.com/gpu",
        "hugepages-2Mi",
    ]
