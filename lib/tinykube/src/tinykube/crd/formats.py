"""The string formats that a schema may ask for, as Kubernetes 1.37 knows them.

A format that is not here is ignored, as Kubernetes does.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from urllib.parse import urlsplit

from tinykube import names

_MAC = re.compile(r"[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4}|([0-9a-f]{4}\.){2}[0-9a-f]{4}")
_HOST_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.IGNORECASE)
_UUID = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?([0-9a-f])[0-9a-f]{3}-?([0-9a-f])[0-9a-f]{3}-?\w{12}"
)
_HEX = re.compile(r"[0-9a-f]+")
_EMAIL = re.compile(r"(?:[^<>]*<)?[^@\s<>]+@[^@\s<>]+>?")
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION_WORD = re.compile(
    r"\d+\s*(ns|nanos?|nanoseconds?|us|µs|micros?|microseconds?|ms|millis?|milliseconds?|"
    r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_COLOR = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)
_PART = r"\s*(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])\s*"
_RGB = re.compile(rf"rgb\({_PART},{_PART},{_PART}\)")
_CARD = re.compile(
    r"4\d{12}(\d{3})?|5[1-5]\d{14}|6(011|5\d\d)\d{12}|3[47]\d{13}|3(0[0-5]|[68]\d)\d{11}|"
    r"(2131|1800|35\d{3})\d{11}"
)
_SOCIAL = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}")


def reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    """A check that passes what `read` takes without a ValueError."""

    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _hostname(text: str) -> bool:
    return len(text) <= 253 and all(_HOST_LABEL.fullmatch(part) for part in text.split("."))


def _uuid(version: str) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        found = _UUID.fullmatch(text.lower())
        if found is None or not _HEX.fullmatch(text.lower()[-12:]):
            return False
        if version in ("4", "5") and found[2] not in "89ab":
            return False
        return not version or found[1] == version

    return check


def _isbn10(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "").upper()
    if not re.fullmatch(r"[0-9]{9}[0-9X]", digits):
        return False
    values = [10 if digit == "X" else int(digit) for digit in digits]
    return sum((10 - index) * value for index, value in enumerate(values)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "")
    if not re.fullmatch(r"[0-9]{13}", digits):
        return False
    return sum(int(digit) * (1 + 2 * (index % 2)) for index, digit in enumerate(digits)) % 10 == 0


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    return reads(datetime.fromisoformat)(text.upper())


def _date(text: str) -> bool:
    return len(text) == 10 and reads(date.fromisoformat)(text)


def _duration(text: str) -> bool:
    if text == "0" or _DURATION_WORD.fullmatch(text.strip()):
        return True
    return bool(text) and not _DURATION.sub("", text)


def _cidr(text: str) -> bool:
    return "/" in text and reads(lambda item: ipaddress.ip_network(item, strict=False))(text)


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": lambda text: len(text) == 24 and bool(_HEX.fullmatch(text.lower())),
    "uri": _uri,
    "email": lambda text: bool(_EMAIL.fullmatch(text)),
    "hostname": _hostname,
    "ipv4": reads(ipaddress.IPv4Address),
    "ipv6": reads(ipaddress.IPv6Address),
    "cidr": _cidr,
    "mac": lambda text: bool(_MAC.fullmatch(text.lower())),
    "uuid": _uuid(""),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": lambda text: bool(_CARD.fullmatch(re.sub(r"\D", "", text))),
    "ssn": lambda text: bool(_SOCIAL.fullmatch(text)),
    "hexcolor": lambda text: bool(_COLOR.fullmatch(text)),
    "rgbcolor": lambda text: bool(_RGB.fullmatch(text)),
    "byte": _base64,
    "password": lambda text: True,
    "date": _date,
    "duration": _duration,
    "datetime": _time,
    "k8sshortname": lambda text: not names.label_fault(text),
    "k8slongname": lambda text: not names.subdomain_fault(text),
}


def known(name: str) -> bool:
    """True if there is such a format."""
    return name.replace("-", "") in _CHECKS


def matches(name: str, text: str) -> bool:
    """True if the text has the format, or if there is no such format."""
    check = _CHECKS.get(name.replace("-", ""))
    return check is None or check(text)
