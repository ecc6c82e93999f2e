"""Label and field selectors, as the query parameters carry them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tinykube import names
from tinykube.status import bad_request, wrong

_TOKEN = re.compile(r"\(|\)|,|==|=|!=|!|>|<|[^ \t\r\n(),=!<>]+")
_SPECIAL = frozenset("(),=!<>") | {"==", "!="}
_OPERATORS = {
    "in": "in",
    "notin": "notin",
    "=": "in",
    "==": "in",
    "!=": "notin",
    ">": "gt",
    "<": "lt",
}
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


class _Words:
    """The words of a label selector, read one by one; behind the last are empty ones."""

    def __init__(self, text: str) -> None:
        self._words = _TOKEN.findall(text)
        self._at = 0

    def peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def next(self) -> str:
        word = self.peek()
        self._at += 1
        return word


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read a label selector such as `app=x,tier in (a,b),!old`.

    Raises:
        ApiError: 400 in Kubernetes' words, if it is none.
    """
    if len(text) > _MAX:
        raise bad_request(f"the label selector is longer than {_MAX} characters")
    try:
        return tuple(_requirements(_Words(text)))
    except ValueError as error:
        raise bad_request(str(error)) from None


def _requirements(words: _Words) -> Iterable[Requirement]:
    if not words.peek():
        return
    if _special(words.peek()) and words.peek() != "!":
        raise _found(words.peek(), ", expected: !, identifier, or 'end of string'")
    while True:
        try:
            yield _requirement(words)
        except ValueError as error:
            raise ValueError(f"unable to parse requirement: {error}") from None
        word = words.next()
        if not word:
            return
        if word != ",":
            raise _found(word, ", expected: ',' or 'end of string'")
        if _special(words.peek()) and words.peek() != "!":
            raise _found(words.peek(), ", expected: identifier after ','")


def _special(word: str) -> bool:
    """True for what is no key or value, the end among it."""
    return not word or word in _SPECIAL


def _found(word: str, expected: str) -> ValueError:
    return ValueError(f"found '{word[:200]}'{expected}")


def _requirement(words: _Words) -> Requirement:
    negated = words.peek() == "!"
    if negated:
        words.next()
    key = words.next()
    if _special(key):
        raise _found(key, ", expected: identifier")
    if faults := names.label_key_faults(key):
        raise ValueError(str(wrong("<nil>", key, "; ".join(faults))))
    if words.peek() in ("", ","):
        return Requirement(key, "absent" if negated else "exists", frozenset())
    if negated:
        return Requirement(key, "absent", frozenset())
    operator = words.next()
    match operator:
        case "in" | "notin":
            values = _values(words)
        case "=" | "==" | "!=" | ">" | "<":
            values = {_value(words)}
        case _:
            raise _found(operator, ", expected: in, notin, =, ==, !=, gt, lt")
    ordered = sorted(values)
    for index, value in enumerate(ordered):
        number = value.removeprefix("-") if value[:1] == "-" else value.removeprefix("+")
        if operator in "<>" and not (number.isascii() and number.isdigit()):
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise ValueError(str(wrong(f"values[{index}]", value, why)))
    for index, value in enumerate(ordered):
        if faults := names.label_value_faults(value):
            raise ValueError(str(wrong(f"values[{index}][{key}]", value, "; ".join(faults))))
    return Requirement(key, _OPERATORS[operator], frozenset(values))


def _value(words: _Words) -> str:
    if words.peek() in ("", ","):
        return ""
    word = words.next()
    if _special(word):
        raise _found(word, ", expected: identifier")
    return word


def _values(words: _Words) -> set[str]:
    """What stands in brackets; an empty place is an empty value."""
    word = words.next()
    if word != "(":
        raise _found(word, " expected: '('")
    first = words.peek()
    if first == ")":
        words.next()
        return {""}
    if _special(first) and first != ",":
        raise _found(first, ", expected: ',', ')' or identifier")
    values: set[str] = set()
    while True:
        word = words.next()
        if not _special(word):
            values.add(word)
            if words.peek() not in (",", ")"):
                raise _found(words.peek(), ", expected: ',' or ')'")
        elif word == ",":
            if not values:
                values.add("")
            if words.peek() in (",", ")"):
                values.add("")
            if words.peek() == ",":
                words.next()
        else:
            raise _found(word, ", expected: ',', or identifier")
        if words.peek() == ")":
            words.next()
            return values


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """`field=value`, or `field!=value` when negated."""

    field: str
    value: str
    negated: bool


_TERM = re.compile(r"(?:[^\\,]|\\.)+", re.DOTALL)
_FIELD = re.compile(r"(.*?)(!=|==|=)(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\([\\,=])")


def parse_fields(text: str) -> tuple[FieldRequirement, ...]:
    """Read a field selector such as `spec.nodeName=x,status.phase!=Failed`.

    Raises:
        ApiError: 400, if it is malformed.
    """
    found: list[FieldRequirement] = []
    for term in sorted(_TERM.findall(text)):
        match = _FIELD.fullmatch(term)
        if match is None:
            raise bad_request(f"invalid selector: '{text[:200]}'; can't understand '{term[:200]}'")
        field, operator, value = match.groups()
        found.append(FieldRequirement(field, _ESCAPE.sub(r"\1", value), operator == "!="))
    return tuple(found)


def check_fields(found: Iterable[FieldRequirement], known: Iterable[str], unknown: str) -> None:
    """Refuse (ApiError 400) fields that are not `known`; in `unknown`, `{}` stands for one."""
    allowed = frozenset(known)
    for item in found:
        if item.field not in allowed:
            raise bad_request(unknown.format(item.field[:200]))


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
