import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube.kinds import field_of
from tinykube.selectors import Selector, check_fields, parse_fields, parse_labels
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
    ("text", "words"),
    [
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (=", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("a in (x,=", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a=b,,", "found ',', expected: identifier after ','"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a==)", "unable to parse requirement: found ')', expected: identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' "
            "operators, the value must be an integer",
        ),
        ("-a-=b", 'unable to parse requirement: <nil>: Invalid value: "-a-": name part must'),
        ("a=-b-", 'unable to parse requirement: values[0][a]: Invalid value: "-b-": a valid'),
    ],
)
def test_malformed_labels_are_refused_in_kubernetes_words(text, words):
    with pytest.raises(ApiError) as caught:
        parse_labels(text)
    assert caught.value.code == 400
    assert caught.value.message.startswith(words)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a in ()", {""}),
        ("a in (,)", {""}),
        ("a in (x,)", {"x", ""}),
        ("a in (,x)", {"", "x"}),
        ("a in (x,,y)", {"x", "", "y"}),
        ("a=", {""}),
        ("a in (in,notin)", {"in", "notin"}),
    ],
)
def test_values(text, values):
    (found,) = parse_labels(text)
    assert found.values == values


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    # Nothing but ApiError may come out, whatever a client sends.
    with contextlib.suppress(ApiError):
        parse_labels(text)
    with contextlib.suppress(ApiError):
        parse_fields(text)


def test_fields():
    pod = {"metadata": {"name": "x"}, "status": {"phase": "Running"}, "spec": {}}
    known = ("metadata.name", "status.phase", "spec.nodeName")

    def found(text):
        fields = parse_fields(text)
        check_fields(fields, known, "no {}")
        return Selector(fields=fields).matches(pod, field_of)

    assert found("metadata.name=x,status.phase!=Failed")
    assert found("spec.nodeName=")
    assert found("metadata.name==x")
    assert not found("spec.nodeName!=")
    with pytest.raises(ApiError, match=r"^no spec\.x$"):
        found("spec.x=1")
    with pytest.raises(ApiError, match=r"'metadata.name,a=b'; can't understand 'metadata.name'"):
        found("metadata.name,a=b")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=b", "b"),
        ("a==b", "b"),
        ("a=b=c", "b=c"),
        ("a=b\\,c", "b,c"),
        ("a=\\\\", "\\"),
        ("a=", ""),
    ],
)
def test_a_value_of_a_field(text, value):
    assert [item.value for item in parse_fields(text)] == [value]
