"""Label and field selectors, as the query parameters carry them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tinykube import names
from tinykube.status import bad_request

_TOKEN = re.compile(r"\s*(?:(\(|\)|,|==|=|!=|!|>|<)|([^\s(),=!<>]+))")
_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label: `operator` is one of in, notin, exists, absent, gt, lt."""

    key: str
    operator: str
    values: frozenset[str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True if the labels meet it."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
        (bound,) = self.values
        try:
            number = int(value or "")
        except ValueError:
            return False
        return number > int(bound) if self.operator == "gt" else number < int(bound)


class _Tokens:
    """The words of a label selector, read one by one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise self.error(f"found '{stripped[position]}'")
            self.words.append(match[1] or match[2])
            position = match.end()
        self.at = 0

    def error(self, detail: str) -> ValueError:
        return ValueError(f"unable to parse requirement: {detail}")

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def next(self) -> str:
        word = self.peek()
        self.at += 1
        return word


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read a label selector such as `app=x,tier in (a,b),!old`.

    Raises:
        ApiError: 400 with what was found, if it is none.
    """
    if len(text) > _MAX:
        raise bad_request(f"the label selector is longer than {_MAX} characters")
    try:
        return tuple(_requirements(text))
    except ValueError as error:
        raise bad_request(str(error)) from None


def _requirements(text: str) -> Iterable[Requirement]:
    tokens = _Tokens(text)
    while tokens.peek():
        yield _requirement(tokens)
        word = tokens.next()
        if word not in ("", ","):
            raise tokens.error(f"found '{word}', expected: ',' or 'end of string'")
        if word == "," and not tokens.peek():
            raise tokens.error("found '', expected: identifier after ','")


def _requirement(tokens: _Tokens) -> Requirement:
    negated = tokens.peek() == "!"
    if negated:
        tokens.next()
    key = tokens.next()
    if fault := names.label_key_fault(key):
        raise tokens.error(f"key: Invalid value: {key[:200]!r}: {fault}")
    if negated:
        return Requirement(key, "absent", frozenset())
    operator = tokens.peek()
    if operator in ("", ","):
        return Requirement(key, "exists", frozenset())
    tokens.next()
    match operator:
        case "=" | "==":
            return Requirement(key, "in", frozenset([_value(tokens, optional=True)]))
        case "!=":
            return Requirement(key, "notin", frozenset([_value(tokens, optional=True)]))
        case "in" | "notin":
            return Requirement(key, operator, frozenset(_values(tokens)))
        case ">" | "<":
            value = _value(tokens, optional=False)
            if not value.lstrip("-").isascii() or not value.lstrip("-").isdigit():
                raise tokens.error(f"for '{operator}' operators, the value must be an integer")
            return Requirement(key, "gt" if operator == ">" else "lt", frozenset([value]))
    raise tokens.error(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _value(tokens: _Tokens, *, optional: bool) -> str:
    word = tokens.peek()
    if word in ("", ","):
        if optional:
            return ""
        raise tokens.error("found '', expected: identifier")
    tokens.next()
    if fault := names.label_value_fault(word):
        raise tokens.error(f"values: Invalid value: {word[:200]!r}: {fault}")
    return word


def _values(tokens: _Tokens) -> Iterable[str]:
    if tokens.next() != "(":
        raise tokens.error("found no '(' after 'in' or 'notin'")
    while True:
        word = tokens.next()
        if word == ")":
            yield ""
            return
        if word == ",":
            yield ""
            continue
        if fault := names.label_value_fault(word) or ("" if word else "expected: identifier"):
            raise tokens.error(f"values: Invalid value: {word[:200]!r}: {fault}")
        yield word
        follow = tokens.next()
        if follow == ")":
            return
        if follow != ",":
            raise tokens.error(f"found '{follow}', expected: ',' or ')'")


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """`field=value`, or `field!=value` when negated."""

    field: str
    value: str
    negated: bool


def parse_fields(text: str, kind: str, known: Iterable[str]) -> tuple[FieldRequirement, ...]:
    """Read a field selector such as `spec.nodeName=x,status.phase!=Failed`.

    Raises:
        ApiError: 400, if it is malformed or names a field that `kind` (empty: a custom resource)
            cannot be selected by.
    """
    allowed = frozenset(known)
    found: list[FieldRequirement] = []
    for term in text.split(","):
        if not term.strip():
            continue
        negated = "!=" in term
        field, separator, value = term.partition("!=" if negated else "=")
        if not separator:
            raise bad_request(f"invalid selector: '{term[:200]}'; can't understand '{term[:200]}'")
        field = field.strip()
        if field not in allowed:
            where = f' (kind "{kind}")' if kind else ""
            raise bad_request(f"field label not supported: {field[:200]}{where}")
        found.append(FieldRequirement(field, value.removeprefix("=").strip(), negated))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Selector:
    """Both selectors of a request; an empty one matches all."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldRequirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(
        self, obj: Mapping[str, Any], field: Callable[[Mapping[str, Any], str], str]
    ) -> bool:
        """True if `obj` meets all; `field(obj, path)` reads a selectable field as a string."""
        labels = obj["metadata"].get("labels") or {}
        return all(item.matches(labels) for item in self.labels) and all(
            (field(obj, item.field) == item.value) is not item.negated for item in self.fields
        )
