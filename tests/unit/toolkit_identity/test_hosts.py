"""Which hosts and origins match, and that nothing malformed does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit_identity import HostPatternError, HostPatterns
from toolkit_identity.hosts import parse_origin, same_origin


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("ml.example.com", "ml.example.com"),
        ("ml.example.com", "ML.Example.COM:8443"),
        ("ml.example.com", "ml.example.com."),
        ("ml.example.com:*", "ml.example.com:1"),
        ("ml.example.com:5000", "ml.example.com:5000"),
        ("*.example.com", "a.b.example.com:1"),
        ("*.example.com:80", "a.example.com:80"),
        ("127.0.0.1", "127.0.0.1:5000"),
        ("[::1]", "[0:0::1]:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("localhost", "localhost"),
        ("*", "anything.at.all:1"),
    ],
)
def test_allowed(pattern, host):
    assert HostPatterns([pattern]).allow(host)


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("ml.example.com", "evil.com"),
        ("ml.example.com", "ml.example.com.evil.com"),
        ("ml.example.com", "evilml.example.com"),
        ("*.example.com", "example.com"),
        ("*.example.com", "evilexample.com"),
        ("*.example.com", "a.example.com.evil.com"),
        ("ml.example.com:5000", "ml.example.com"),
        ("ml.example.com:5000", "ml.example.com:5001"),
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", "127.0.0.1@evil.com"),
        ("*", ""),
        ("*", "a b"),
        ("*", "a/b"),
        ("*", "a:b"),
        ("*", "a:1:2"),
        ("*", "a:"),
        ("*", "a:0"),
        ("*", "a:65536"),
        ("*", "a:٣"),
        ("*", "[::1"),
        ("*", "[::1]x"),
        ("*", "[evil.com]"),
        ("*", "-a"),
        ("*", "a..b"),
        ("*", "a" * 64),
        ("*", ".".join(["a" * 60] * 5)),
        ("*", "a\0"),
        ("*", "a\n"),
    ],
)
def test_refused(pattern, host):
    assert not HostPatterns([pattern]).allow(host)


def test_no_pattern_allows_nothing():
    assert not HostPatterns([]).allow("localhost")


@pytest.mark.parametrize(
    "pattern",
    ["", "10.*", "a.*.com", "*example.com", "http://a", "a/b", "a:x", "**", "*.*", "::1"],
)
def test_a_pattern_that_would_match_too_much_or_nothing_is_refused(pattern):
    with pytest.raises(HostPatternError, match="is not a host"):
        HostPatterns([pattern])


@given(st.text())
def test_any_text_is_judged_without_an_error(text):
    patterns = HostPatterns(["ml.example.com"])
    if patterns.allow(text):
        assert text.lower().startswith("ml.example.com")
    same_origin(text, "ml.example.com")
    parse_origin(text)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://a:5000", "a:5000"),
        ("http://A", "a:80"),
        ("https://a", "a:443"),
        ("https://a", "a"),
        ("http://[::1]:5000", "[::1]:5000"),
    ],
)
def test_same_origin(origin, host):
    assert same_origin(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://a:5001", "a:5000"),
        ("http://b:5000", "a:5000"),
        ("http://a", "a:443"),
        ("null", "a"),
        ("file://", "a"),
        ("ftp://a", "a"),
        ("http://a/path", "a"),
        ("http://user@a", "a"),
        ("http://[", "a"),
        ("a", "a"),
    ],
)
def test_other_origin(origin, host):
    assert not same_origin(origin, host)
