"""Quantities of Kubernetes: `500m`, `1Gi`, `2e3`; exact, never floats.

Objects repeat the same few of them, so that what was read or written lately is kept.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from fractions import Fraction

_FORM = re.compile(
    r"([+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40}))"
    r"(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]{1,3})?"
)
_SCALE = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_LARGEST = 2**63 - 1
# More than the form has room for: a sign, two times forty digits, a point, an exponent.
_LONGEST = 100
_KEPT = 1024
RULE = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


def parse(text: str | int | float) -> Fraction:
    """Read a quantity, in its base unit (cores, bytes, pieces).

    Raises:
        ValueError: with the rule of Kubernetes, if it is none or beyond 64 bits.
    """
    return _parsed(_words(text))


def _words(text: object) -> str:
    """What is read of a value; ValueError if it is longer than any quantity."""
    words = text.strip() if isinstance(text, str) else repr(text)
    if len(words) > _LONGEST:
        raise ValueError(RULE)
    return words


@functools.lru_cache(maxsize=_KEPT)
def _parsed(words: str) -> Fraction:
    match = _FORM.fullmatch(words)
    if match is None:
        raise ValueError(RULE)
    number, suffix = match.groups()
    value = Fraction(number)
    if suffix in _SCALE:
        value *= _SCALE[suffix]
    elif suffix:
        value *= Fraction(10) ** int(suffix[1:])
    if abs(value) > _LARGEST:
        raise ValueError("quantity is larger than 2^63-1")
    return value


def bytes_of(text: str | int | float) -> int:
    """A quantity as whole units, rounded up as Kubernetes does."""
    value = parse(text)
    return -(-value.numerator // value.denominator)


def milli_of(text: str | int | float) -> int:
    """A quantity in thousandths, rounded up: `0.5` cpu is 500."""
    value = parse(text) * 1000
    return -(-value.numerator // value.denominator)


def canonical(text: str | int | float) -> str:
    """A quantity as the API shows it: `0.5Gi` is `512Mi`, `1000m` is `1`. Raises ValueError."""
    return _canonical(_words(text))


@functools.lru_cache(maxsize=_KEPT)
def _canonical(words: str) -> str:
    value = _parsed(words)
    match = _FORM.fullmatch(words)
    suffix = (match[2] if match else "") or ""
    if suffix.endswith("i") and abs(value) >= 1024:
        # As whole bytes, and never as less than was asked for.
        return write(Fraction(-(-value.numerator // value.denominator)), binary=True)
    if suffix[:1] not in ("e", "E") or len(suffix) == 1:
        return write(value, binary=False)
    for exponent in range(18, -10, -3):
        scaled = value / Fraction(10) ** exponent
        if value and scaled.denominator == 1:
            return f"{scaled}e{exponent}" if exponent else str(scaled)
    return write(value, binary=False)


def is_binary(texts: Iterable[str]) -> bool:
    """True if the first of these quantities that has a suffix has a binary one (`Ki`, `Mi`)."""
    return next((text.endswith("i") for text in texts if not text[-1:].isdigit()), False)


@functools.lru_cache(maxsize=_KEPT)
def write(value: Fraction, *, binary: bool) -> str:
    """A quantity in Kubernetes' canonical form: no fraction, the largest suffix that allows it.

    Args:
        value: in base units; what is finer than a billionth is rounded up.
        binary: whether to use `Ki`, `Mi` and so on, where that is exact.
    """
    names = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki") if binary else ("E", "P", "T", "G", "M", "k")
    for name in names:
        if value and (value / _SCALE[name]).denominator == 1:
            return f"{value / _SCALE[name]}{name}"
    for name, scale in (("", Fraction(1)), ("m", _SCALE["m"]), ("u", _SCALE["u"])):
        if (value / scale).denominator == 1:
            return f"{value / scale}{name}"
    finest = value / _SCALE["n"]
    return f"{-(-finest.numerator // finest.denominator)}n"
