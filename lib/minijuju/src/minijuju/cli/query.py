"""The query language of `wait-for`: `status=="active" && forEach(units, unit => ...)`.

The grammar is Juju's: `||`, `&&`, comparisons, `!`, dotted names (a name may have hyphens),
strings in either quote, numbers, `true` and `false`, and the functions `len`, `print`,
`forEach`, `startsWith` and `endsWith`. Parsing is apart from evaluation, so that a query that
is wrong fails before anything is waited for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_LENGTH = 4096
MAX_DEPTH = 64

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
    | (?P<symbol>=>|==|!=|<=|>=|&&|\|\||[<>!().,\[\]])
    )""",
    re.VERBOSE,
)

Scope = Mapping[str, Any]
Node = Callable[[Scope], Any]


class QueryError(ValueError):
    """A query that cannot be read, or that names what the scope has not."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


def compile_query(text: str) -> Callable[[Scope], bool]:
    """Read a query.

    Returns:
        A function from a scope (names to values) to whether it holds; that function raises
        QueryError for a name the scope has not, or values that cannot be compared.

    Raises:
        QueryError: It cannot be read.
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"a query of more than {MAX_LENGTH} characters")
    parser = _Parser(_tokens(text))
    node = parser.either(0)
    if parser.next.kind != "end":
        raise QueryError(f"unexpected {parser.next.text!r} at {parser.next.position + 1}")

    def holds(scope: Scope) -> bool:
        value = node(scope)
        if not isinstance(value, bool):
            raise QueryError(f"the query yields {value!r}, not true or false")
        return value

    return holds


def _tokens(text: str) -> list[_Token]:
    found = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if not match or match.lastgroup is None:
            rest = text[position:].lstrip()
            raise QueryError(f"cannot read {rest[:20]!r} at {len(text) - len(rest) + 1}")
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return [*found, _Token("end", "end of query", len(text))]


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.index = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.index]

    def take(self, *symbols: str) -> str | None:
        if self.next.kind == "symbol" and self.next.text in symbols:
            self.index += 1
            return self.tokens[self.index - 1].text
        return None

    def need(self, symbol: str) -> None:
        if self.take(symbol) is None:
            raise QueryError(
                f"expected {symbol!r} at {self.next.position + 1}, got {self.next.text!r}"
            )

    def either(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise QueryError(f"nested more than {MAX_DEPTH} levels deep")
        terms = [self.both(depth)]
        while self.take("||"):
            terms.append(self.both(depth))
        if len(terms) == 1:
            return terms[0]
        return lambda scope: any(_truth(term(scope)) for term in terms)

    def both(self, depth: int) -> Node:
        terms = [self.comparison(depth)]
        while self.take("&&"):
            terms.append(self.comparison(depth))
        if len(terms) == 1:
            return terms[0]
        return lambda scope: all(_truth(term(scope)) for term in terms)

    def comparison(self, depth: int) -> Node:
        left = self.unary(depth)
        operator = self.take("==", "!=", "<=", ">=", "<", ">")
        if operator is None:
            return left
        right = self.unary(depth)
        return lambda scope: _compare(operator, left(scope), right(scope))

    def unary(self, depth: int) -> Node:
        if self.take("!"):
            if depth > MAX_DEPTH:
                raise QueryError(f"nested more than {MAX_DEPTH} levels deep")
            operand = self.unary(depth + 1)
            return lambda scope: not _truth(operand(scope))
        if self.take("("):
            inside = self.either(depth + 1)
            self.need(")")
            return inside
        return self.value(depth)

    def value(self, depth: int) -> Node:
        token = self.next
        self.index += 1
        if token.kind == "number":
            number = float(token.text) if "." in token.text else int(token.text)
            return lambda _: number
        if token.kind == "string":
            text = re.sub(r"\\(.)", r"\1", token.text[1:-1])
            return lambda _: text
        if token.kind != "name":
            self.index -= 1
            raise QueryError(f"unexpected {token.text!r} at {token.position + 1}")
        if token.text in ("true", "false"):
            truth = token.text == "true"
            return lambda _: truth
        if self.take("("):
            return self.function(token, depth + 1)
        return self.path(token)

    def path(self, token: _Token) -> Node:
        keys = [token.text]
        while self.take("."):
            if self.next.kind != "name":
                raise QueryError(f"expected a name at {self.next.position + 1}")
            keys.append(self.next.text)
            self.index += 1

        def look(scope: Scope) -> Any:
            value: Any = scope
            for depth, key in enumerate(keys):
                if not isinstance(value, Mapping) or key not in value:
                    known = (
                        ", ".join(sorted(map(str, value))) if isinstance(value, Mapping) else ""
                    )
                    raise QueryError(
                        f"{'.'.join(keys[: depth + 1])!r} is not known here"
                        + (f" (known: {known})" if known else "")
                    )
                value = value[key]
            return value

        return look

    def function(self, token: _Token, depth: int) -> Node:
        if token.text == "forEach":
            return self.for_each(depth)
        arguments: list[Node] = []
        while not self.take(")"):
            if arguments:
                self.need(",")
            arguments.append(self.either(depth))
        functions: dict[str, tuple[int, Callable[..., Any]]] = {
            "len": (1, _length),
            "startsWith": (2, lambda text, prefix: _text(text).startswith(_text(prefix))),
            "endsWith": (2, lambda text, suffix: _text(text).endswith(_text(suffix))),
        }
        if token.text not in functions:
            known = ", ".join(["forEach", *functions])
            raise QueryError(f"no function {token.text!r} (known: {known})")
        wanted, function = functions[token.text]
        if len(arguments) != wanted:
            raise QueryError(f"{token.text} takes {wanted} argument(s), got {len(arguments)}")
        return lambda scope: function(*(argument(scope) for argument in arguments))

    def for_each(self, depth: int) -> Node:
        collection = self.either(depth)
        self.need(",")
        if self.next.kind != "name":
            raise QueryError(f"expected a name at {self.next.position + 1}")
        variable = self.next.text
        self.index += 1
        self.need("=>")
        body = self.either(depth)
        self.need(")")

        def holds(scope: Scope) -> bool:
            value = collection(scope)
            if isinstance(value, Mapping):
                value = list(value.values())
            if not isinstance(value, list):
                raise QueryError(f"forEach needs a collection, got {value!r}")
            return all(_truth(body({**scope, variable: item})) for item in value)

        return holds


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise QueryError(f"expected true or false, got {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise QueryError(f"expected a string, got {value!r}")
    return value


def _length(value: Any) -> int:
    if not isinstance(value, (str, list, Mapping)):
        raise QueryError(f"len needs a string or a collection, got {value!r}")
    return len(value)


def _compare(operator: str, left: Any, right: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (left, right))
    if not numbers and type(left) is not type(right):
        raise QueryError(f"cannot compare {left!r} with {right!r}")
    if operator == "==":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    if not numbers and not isinstance(left, str):
        raise QueryError(f"cannot order {left!r} and {right!r}")
    return bool(
        {
            "<": lambda: left < right,
            "<=": lambda: left <= right,
            ">": lambda: left > right,
            ">=": lambda: left >= right,
        }[operator]()
    )
