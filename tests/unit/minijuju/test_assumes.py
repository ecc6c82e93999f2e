import pytest

from minijuju import assumes

FEATURES = {"juju": assumes.version("3.6.12"), "k8s-api": None}


@pytest.mark.parametrize(
    "block",
    [
        [],
        ["k8s-api"],
        ["k8s-api >= 1.35", "juju >= 3.6"],
        ["juju<4"],
        [{"any-of": ["juju < 3", "k8s-api"]}],
        [{"all-of": [{"any-of": ["nothing", "juju >= 3.6.12"]}, "k8s-api"]}],
    ],
)
def test_what_holds(block):
    assert assumes.unmet(assumes.parse(block), FEATURES) == []


def test_what_does_not_hold_is_listed_as_juju_lists_it():
    block = [
        "juju >= 42",
        "snaps",
        "juju < 3.5.1",
        {"any-of": ["snaps", "juju >= 4"]},
        {"all-of": ["k8s-api", "snaps"]},
    ]
    assert assumes.unmet(assumes.parse(block), FEATURES) == [
        "- charm requires Juju version >= 42.0.0, model has version 3.6.12",
        '- charm requires feature "snaps" but model does not support it',
        "- charm requires Juju version < 3.5.1, model has version 3.6.12",
        "- charm requires at least one of the following:",
        '  - charm requires feature "snaps" but model does not support it',
        "  - charm requires Juju version >= 4.0.0, model has version 3.6.12",
        "- charm requires all of the following:",
        '  - charm requires feature "snaps" but model does not support it',
    ]


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (5, 'expected a feature, "any-of" or "all-of" expression'),
        ("a b", 'malformed feature expression "a b"'),
        ("juju >= x", 'invalid version "x"'),
        ({"any-of": [], "all-of": []}, "malformed composite expression"),
        ({"some-of": []}, 'expected an "any-of" or "all-of" block'),
        ({"any-of": "a"}, "expected a list of sub-expressions"),
    ],
)
def test_what_cannot_be_understood(item, problem):
    with pytest.raises(assumes.AssumesError, match=problem):
        assumes.parse([item])


def test_nesting_is_bounded():
    item = "juju"
    for _ in range(30):
        item = {"any-of": [item]}
    with pytest.raises(assumes.AssumesError, match="levels deep"):
        assumes.parse([item])
