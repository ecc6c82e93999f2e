from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinykube import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("500m", Fraction(1, 2)),
        ("1Gi", 2**30),
        ("1.5Gi", 3 * 2**29),
        ("2e3", 2000),
        ("1E", 10**18),
        ("1k", 1000),
        (".5", Fraction(1, 2)),
        ("1.", 1),
        (2, 2),
        (0.5, Fraction(1, 2)),
        ("-1", -1),
    ],
)
def test_parse(text, value):
    assert quantity.parse(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "Gi", "1gi", "1 Gi", "one", "1e", "0x10", "1Ki1", "١", "1\n1", True, "nan", "1e999"],
)
def test_refuses(text):
    with pytest.raises(ValueError, match="quantit"):
        quantity.parse(text)


def test_whole_units_round_up():
    assert quantity.bytes_of("1500m") == 2
    assert quantity.milli_of("0.0001") == 1


@given(st.integers(0, 2**40), st.sampled_from(["", "m", "k", "Ki", "M", "Mi"]))
def test_milli_is_exact_or_rounded_up(number, suffix):
    text = f"{number}{suffix}"
    exact = quantity.parse(text) * 1000
    assert exact <= quantity.milli_of(text) < exact + 1


@pytest.mark.parametrize(
    ("text", "binary", "written"),
    [
        ("0", True, "0"),
        ("1000m", False, "1"),
        ("1500m", False, "1500m"),
        ("1000", False, "1k"),
        ("1500", False, "1500"),
        ("1024Mi", True, "1Gi"),
        ("1500Mi", True, "1500Mi"),
        ("1000", True, "1000"),
        ("0.0005", False, "500u"),
        ("0.0000000001", False, "1n"),
    ],
)
def test_the_canonical_form(text, binary, written):
    assert quantity.write(quantity.parse(text), binary=binary) == written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1000m", "1"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.3Gi", "322122548"),
        ("100Ki", "100Ki"),
        ("0.5Ki", "512"),
        ("1e3", "1e3"),
        ("12e5", "1200e3"),
        ("1E", "1E"),
        ("+5", "5"),
        ("-1", "-1"),
        ("100", "100"),
        ("2000000", "2M"),
        (1.5, "1500m"),
        (0, "0"),
        ("0Gi", "0"),
        ("0e3", "0"),
    ],
)
def test_what_the_api_shows(text, shown):
    assert quantity.canonical(text) == shown


def test_binary_ones():
    assert quantity.is_binary(["1", "5Gi"])
    assert not quantity.is_binary(["1", "5G", "1Ki"])
    assert not quantity.is_binary(["1"])


@pytest.mark.parametrize("read", [quantity.parse, quantity.canonical])
def test_what_is_kept_is_short_and_told_by_what_is_read(read):
    assert read(1) == read("1") == read(" 1 ")
    for value in (True, 1.5e300, [1], {}, None, "1" + "0" * 10_000_000):
        with pytest.raises(ValueError, match="quantit"):
            read(value)
    assert read(1) == read("1")


def test_written_anew_it_is_the_same():
    for binary in (True, False, True):
        assert quantity.write(Fraction(2048), binary=binary) == ("2Ki" if binary else "2048")
