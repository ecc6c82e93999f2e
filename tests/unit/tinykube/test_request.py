import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube import request
from tinykube.catalog import Catalog
from tinykube.status import ApiError


@pytest.mark.parametrize(
    ("group", "rest", "expected"),
    [
        ("", "pods", ("pods", "", "", "", True)),
        ("", "namespaces", ("namespaces", "", "", "", True)),
        ("", "namespaces/a", ("namespaces", "", "a", "", True)),
        ("", "namespaces/a/status", ("namespaces", "", "a", "status", True)),
        ("", "namespaces/a/pods", ("pods", "a", "", "", True)),
        ("", "namespaces/a/pods/b", ("pods", "a", "b", "", True)),
        ("", "namespaces/a/pods/b/log", ("pods", "a", "b", "log", True)),
        ("", "nodes/a", ("nodes", "", "a", "", True)),
        ("", "namespaces/a/nodes", ("nodes", "a", "", "", False)),
        ("", "pods/a", ("pods", "", "a", "", False)),
        ("", "things", ("things", "", "", "", False)),
        (
            "rbac.authorization.k8s.io",
            "namespaces/a/roles/b",
            ("roles", "a", "b", "", True),
        ),
    ],
)
def test_targets(group, rest, expected):
    found = request.target(Catalog(), group, "v1", rest)
    assert (
        found.plural,
        found.namespace,
        found.name,
        found.subresource,
        found.resource is not None,
    ) == expected


@pytest.mark.parametrize("rest", ["", "/", "pods/", "a//b", "a/b/c/d", "namespaces/a/b/c/d/e/f"])
def test_no_targets(rest):
    assert request.target(Catalog(), "", "v1", rest) is None


@given(st.integers(0, 2**62), st.text(max_size=20), st.text(max_size=20))
def test_places_survive_their_token(version, namespace, name):
    made = request.Place(version, namespace, name)
    assert request.place(made.token()) == made


@given(st.text(max_size=80))
def test_any_other_token_is_refused(text):
    with pytest.raises(ApiError, match="continue key is not valid"):
        request.place(text)


def test_all_but_false_and_zero_is_true():
    for value in ("0", "false", "False"):
        assert not request.flag({"watch": value}, "watch")
    for value in ("", "1", "true", "maybe"):
        assert request.flag({"watch": value}, "watch")
    assert not request.flag({}, "watch")
