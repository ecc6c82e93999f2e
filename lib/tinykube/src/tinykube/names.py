"""Names: what Kubernetes allows, and the making of new ones."""

from __future__ import annotations

import re
import secrets

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_VERSION = re.compile(r"v([1-9][0-9]{0,8})(?:(alpha|beta)([1-9][0-9]{0,8}))?")
# No vowels and no digits that look like letters: no words, no doubt (Kubernetes' own set).
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

LETTER_LABEL_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
QUALIFIED_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def label_fault(name: str) -> str:
    """What is wrong with an RFC 1123 label (namespaces, containers, volumes); empty if nothing."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    if _LABEL.fullmatch(name):
        return ""
    return "must not contain dots" if _SUBDOMAIN.fullmatch(name) else LABEL_RULE


def letter_label_fault(name: str) -> str:
    """What is wrong with an RFC 1035 label (names of kinds, versions); empty if nothing."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    return "" if _LABEL.fullmatch(name) and name[0].isalpha() else LETTER_LABEL_RULE


def subdomain_fault(name: str) -> str:
    """What is wrong with an RFC 1123 subdomain (most objects' names); empty if nothing."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    return "" if _SUBDOMAIN.fullmatch(name) else SUBDOMAIN_RULE


def segment_fault(name: str) -> str:
    """What is wrong with a name that need only be a path segment (RBAC); empty if nothing."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    if name in (".", ".."):
        return f"may not be '{name}'"
    faults = [f"may not contain '{letter}'" for letter in "/%" if letter in name]
    return faults[0] if faults else "" if name else "must not be empty"


def label_key_faults(key: str) -> list[str]:
    """What is wrong with the key of a label or annotation; nothing if it is one."""
    *prefixes, name = key.split("/")
    if len(prefixes) > 1:
        more = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {QUALIFIED_RULE}{more}"]
    faults = []
    for prefix in prefixes:
        fault = subdomain_fault(prefix) if prefix else "must be non-empty"
        faults += [f"prefix part {fault}"] if fault else []
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 bytes")
    if not _QUALIFIED.fullmatch(name):
        faults.append(f"name part {QUALIFIED_RULE}")
    return faults


def label_value_faults(value: str) -> list[str]:
    """What is wrong with the value of a label; nothing if it is one."""
    faults = ["must be no more than 63 bytes"] if len(value) > 63 else []
    return faults if not value or _QUALIFIED.fullmatch(value) else [*faults, VALUE_RULE]


def port_faults(name: str) -> list[str]:
    """What is wrong with the name of a port; nothing if it is one."""
    faults = []
    if len(name) > 15:
        faults.append("must be no more than 15 characters")
    if not re.fullmatch(r"[-a-z0-9]+", name):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", name):
        faults.append("must contain at least one letter (a-z)")
    if "--" in name:
        faults.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults


def config_key_fault(key: str) -> str:
    """What is wrong with a key of a Secret or ConfigMap; empty if nothing."""
    if len(key) > 253:
        return "must be no more than 253 characters"
    if key in (".", ".."):
        return f"must not be '{key}'"
    if key.startswith(".."):
        return "must not start with '..'"
    return "" if _CONFIG_KEY.fullmatch(key) else KEY_RULE


def version_rank(version: str) -> tuple[int, int, int, str]:
    """What versions of an API are sorted by, the best first: v2, v1, v2beta1, v1alpha1, others."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return 3, 0, 0, version
    major, level, minor = match.groups()
    return {None: 0, "beta": 1, "alpha": 2}[level], -int(major), -int(minor or 0), ""


def generate(prefix: str) -> str:
    """A name that begins with `prefix` (cut to 58 characters) and ends in 5 random ones."""
    return prefix[:58] + "".join(secrets.choice(_ALPHABET) for _ in range(5))
