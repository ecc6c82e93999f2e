import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube.kinds import field_of
from tinykube.selectors import Selector, parse_fields, parse_labels
from tinykube.status import ApiError


def matches(text, labels):
    return Selector(labels=parse_labels(text)).matches({"metadata": {"labels": labels}}, field_of)


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a in (x, y)", {"a": "y"}, True),
        ("a notin (x,y)", {}, True),
        ("a notin (x,y)", {"a": "x"}, False),
        ("a=b,c in (d),!e", {"a": "b", "c": "d"}, True),
        ("a>5", {"a": "6"}, True),
        ("a<5", {"a": "6"}, False),
        ("a>5", {"a": "x"}, False),
        ("a=", {"a": ""}, True),
        ("example.com/a=b", {"example.com/a": "b"}, True),
        ("in in (notin)", {"in": "notin"}, True),
    ],
)
def test_labels(text, labels, expected):
    assert matches(text, labels) is expected


@pytest.mark.parametrize(
    "text",
    [
        "a in",
        "a in x",
        "a in (x",
        "a=b c",
        ",",
        "a=b,",
        "!",
        "a>x",
        "=b",
        "a in (x y)",
        "(",
        "a b",
    ],
)
def test_refuses_malformed_labels(text):
    with pytest.raises(ApiError) as caught:
        parse_labels(text)
    assert caught.value.code == 400


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    # Nothing but ApiError may come out, whatever a client sends.
    with contextlib.suppress(ApiError):
        parse_labels(text)
    with contextlib.suppress(ApiError):
        parse_fields(text, "Pod", ("metadata.name",))


def test_fields():
    pod = {"metadata": {"name": "x"}, "status": {"phase": "Running"}, "spec": {}}
    known = ("metadata.name", "status.phase", "spec.nodeName")

    def found(text):
        return Selector(fields=parse_fields(text, "Pod", known)).matches(pod, field_of)

    assert found("metadata.name=x,status.phase!=Failed")
    assert found("spec.nodeName=")
    assert found("metadata.name==x")
    assert not found("spec.nodeName!=")
    with pytest.raises(ApiError, match="field label not supported"):
        found("spec.x=1")
    with pytest.raises(ApiError, match="invalid selector"):
        found("metadata.name")
