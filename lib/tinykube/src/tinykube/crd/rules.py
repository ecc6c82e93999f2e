"""The rules of `x-kubernetes-validations` on objects: which run, and what a failure says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tinykube import objects
from tinykube.crd import validation
from tinykube.crd.expressions import EvaluationError, Expressions, Program, convert
from tinykube.crd.structural import UNSET, Node
from tinykube.objects import JSON
from tinykube.status import Cause

# How often rules may run for one object: the more, the longer all other requests wait.
_BUDGET = 20_000
_LONGEST = 5 * 1024
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One rule, compiled."""

    source: JSON
    program: Program
    message: Program | None
    uses_old: bool

    @property
    def name(self) -> str:
        """What messages call it: its own message, or its text."""
        return str(self.source.get("message") or self.source["rule"]).strip()


class RuleSet:
    """All rules of a schema; compiled when they are first needed."""

    def __init__(self, root: Node) -> None:
        self._root = root
        self.empty = not root.any(lambda node: node.rules)
        self._ruled: dict[Node, bool] = {}
        self._compiled: dict[Node, list[_Rule]] = {}

    def faults(self, obj: JSON, old: Any, before: list[Cause]) -> Iterator[Cause]:
        """The faults of an object.

        Args:
            obj: the whole object.
            old: what it was; UNSET if it is new.
            before: the faults found so far; some of them make rules pointless.
        """
        if self.empty:
            return
        if any(cause.reason in _BLOCKING for cause in before):
            yield validation.invalid(
                "<nil>",
                None,
                "some validation rules were not checked because the object was invalid; correct "
                "the existing errors to complete validation",
            )
            return
        yield from _Run(self).value(obj, self._root, "", old)

    def ruled(self, node: Node) -> bool:
        """True if there are rules on a level or below it."""
        if node not in self._ruled:
            self._ruled[node] = node.any(lambda inner: inner.rules)
        return self._ruled[node]

    def rules(self, node: Node) -> list[_Rule]:
        """The rules of a level."""
        if node not in self._compiled:
            expressions = Expressions.of(node, root=node is self._root)
            self._compiled[node] = [self._compile(rule, expressions) for rule in node.rules]
        return self._compiled[node]

    @staticmethod
    def _compile(rule: JSON, expressions: Expressions) -> _Rule:
        message = rule.get("messageExpression")
        return _Rule(
            rule,
            expressions.program(rule["rule"], optional=bool(rule.get("optionalOldSelf"))),
            expressions.program(message) if message else None,
            expressions.uses_old(rule["rule"]),
        )

    @property
    def root(self) -> Node:
        """The schema."""
        return self._root


class _Run:
    """One object's evaluation, with what is left of its budget."""

    def __init__(self, rules: RuleSet) -> None:
        self._set = rules
        self._left = _BUDGET

    def value(self, value: Any, node: Node, path: str, old: Any) -> Iterator[Cause]:
        if value is None or not self._set.ruled(node) or self._left <= 0:
            return
        if node.rules:
            yield from self._level(value, node, path, old)
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, item in value.items():
                child = node.child(name)
                if child is not None:
                    known = name in node.properties
                    where = f"{path}.{name}" if path else name
                    where = where if known else f"{path}[{name}]"
                    yield from self.value(item, child, where, before.get(name, UNSET))
        elif isinstance(value, list) and node.items is not None:
            earlier = validation.pairs(value, old, node)
            for index, (item, was) in enumerate(zip(value, earlier, strict=True)):
                yield from self.value(item, node.items, f"{path}[{index}]", was)

    def _level(self, value: Any, node: Node, path: str, old: Any) -> Iterator[Cause]:
        root = node is self._set.root
        known = old is not UNSET and old is not None
        unchanged = known and objects.dump(value) == objects.dump(old)
        shown = convert(value, node, root=root)
        was = convert(old, node, root=root) if known else None
        kind = node.types[0] if node.types else ""
        for rule in self._set.rules(node):
            optional = bool(rule.source.get("optionalOldSelf"))
            if rule.uses_old and not known and not optional:
                continue
            if unchanged and not rule.uses_old:
                # What was stored is not held against a change elsewhere.
                continue
            self._left -= 1
            if self._left <= 0:
                why = "no further validation rules will be run"
                detail = f"validation failed due to running out of cost budget, {why}"
                yield validation.invalid(path, kind, detail)
                return
            try:
                good = rule.program.evaluate(shown, was, known=known)
            except EvaluationError as error:
                yield validation.invalid(path, kind, _failure(str(error), rule.name))
                continue
            if good is not True:
                yield _fault(rule, path, kind, value, self._message(rule, shown, was, known=known))

    @staticmethod
    def _message(rule: _Rule, shown: Any, was: Any, *, known: bool) -> str:
        own = str(rule.source.get("message") or "").strip()
        fallback = own or f"failed rule: {rule.name}"
        if rule.message is None:
            return fallback
        try:
            text = rule.message.evaluate(shown, was, known=known)
        except EvaluationError:
            # A message that cannot be made must not hide the fault; Kubernetes says the other.
            return fallback
        text = text.strip() if isinstance(text, str) else ""
        return fallback if not text or "\n" in text or len(text) > _LONGEST else text


def _failure(error: str, name: str) -> str:
    if error.startswith("operation cancelled"):
        why = "no further validation rules will be run due to call cost exceeds limit for rule"
        return f"'{error}': {why}: {name}"
    if error.startswith(("No matching overload", "no such overload")):
        why = "call arguments did not match a supported operator, function or macro signature"
        return f"'no such overload': {why} for rule: {name}"
    return f"{error} evaluating rule: {name}"


def _fault(rule: _Rule, path: str, kind: str, value: Any, detail: str) -> Cause:
    spot = str(rule.source.get("fieldPath") or "")
    where = (f"{path}{spot}" if path else spot.removeprefix(".")) or validation.NOWHERE
    match rule.source.get("reason"):
        case "FieldValueForbidden":
            return Cause("FieldValueForbidden", f"Forbidden: {detail}", where)
        case "FieldValueRequired":
            return Cause("FieldValueRequired", f"Required value: {detail}", where)
        case "FieldValueDuplicate":
            shown = "" if kind in ("object", "array") else f": {validation.quoted(value)}"
            return Cause("FieldValueDuplicate", f"Duplicate value{shown}", where)
    if kind in ("object", "array"):
        return Cause("FieldValueInvalid", f"Invalid value: {detail}", where)
    return validation.invalid(where, value, detail)
