"""Rules of `x-kubernetes-validations`, in the Common Expression Language.

Google's own implementation of CEL compiles and runs them; it is loaded when a definition has
rules, and bounds their loops. Here stands what Kubernetes puts around it: how names are spelled,
what `self` holds, and the functions of its library.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from tinykube import quantity
from tinykube.crd.formats import reads
from tinykube.crd.structural import Node

_RESERVED = frozenset(
    re.findall(
        r"\w+",
        "true false null in as break const continue else for function if import let loop package "
        "namespace return var void while",
    )
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STRING = re.compile(
    r"'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL
)
_OLD = re.compile(r"(?<![\w.])oldSelf\b")
_FIELD = re.compile(r"(?<![\w.])(?:self|oldSelf)\s*\.\s*\??\s*([A-Za-z_]\w*)(?!\w*\s*\()")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_HOLDER = "oldSelf_held"


class EvaluationError(Exception):
    """A rule could not be evaluated; the message says why."""


def escape(name: str) -> str:
    """A field's name as rules spell it; empty if they cannot."""
    if name in _RESERVED:
        return f"__{name}__"
    for text, replacement in _ESCAPES:
        name = name.replace(text, replacement)
    return name if _IDENTIFIER.fullmatch(name) else ""


class Expressions:
    """Compiles expressions about the values of one level of a schema."""

    def __init__(self, types: tuple[str, ...], fields: frozenset[str] | None) -> None:
        self._environment = _environment(types)
        self._fields = fields

    @classmethod
    def of(cls, node: Node, *, root: bool) -> Expressions:
        """Those about the values of a schema's level."""
        fields = None
        if node.types == ("object",) and node.additional is None and not node.nullable:
            fields = frozenset(escape(name) for name in node.properties)
            if root or node.embedded:
                fields |= {"apiVersion", "kind", "metadata"}
        return cls(_type(node), fields)

    def fault(self, text: str, expected: str) -> str:
        """Why an expression cannot be used; empty if it can."""
        try:
            program = self.program(text)
        except ValueError as error:
            return f"compilation failed: {error}"
        if program.type not in (expected.upper(), "DYN"):
            return (
                f"{'cel expression ' if expected == 'bool' else ''}must evaluate to a {expected}"
            )
        return ""

    def uses_old(self, text: str) -> bool:
        """True if an expression compares with what was before."""
        return bool(_OLD.search(_STRING.sub("''", text)))

    def program(self, text: str, *, optional: bool = False) -> Program:
        """A compiled expression. Raises ValueError with what is wrong with it."""
        bare = _STRING.sub("''", text)
        if self._fields is not None:
            for found in _FIELD.finditer(bare):
                if found[1] not in self._fields:
                    line = bare.count("\n", 0, found.start(1)) + 1
                    raise ValueError(f"ERROR: <input>:{line}: undefined field '{found[1]}'")
        compiled = self._environment(_held(text) if optional else text)
        return Program(compiled, text)


class Program:
    """A compiled expression.

    Attributes:
        type: the name of what it gives: BOOL, STRING, DYN and so on.
    """

    def __init__(self, compiled: Any, text: str) -> None:
        self._compiled = compiled
        self.text = text
        self.type = str(compiled.return_type().name()).upper()

    def evaluate(self, value: Any, old: Any, *, known: bool) -> Any:
        """What it gives for a value.

        Args:
            value: `self`, as `convert` makes it.
            old: `oldSelf`.
            known: False if there was none before.

        Raises:
            EvaluationError: it failed, or it took more steps than one rule may.
        """
        data = {"self": value, "oldSelf": old, _HOLDER: {"value": old} if known else {}}
        try:
            result = self._compiled.eval(data=data)
        except RuntimeError as error:
            if "budget exceeded" in str(error):
                # The library's own bound: 10,000 steps of all loops together.
                raise EvaluationError("operation cancelled: actual cost limit exceeded") from None
            raise EvaluationError(_spell(str(error))) from None
        if result.type().name() == "ERROR":
            raise EvaluationError(_spell(str(result.plain_value())))
        return result.plain_value()


def _spell(error: str) -> str:
    """What failed, in the words that Kubernetes' implementation of CEL has for it."""
    if found := re.search(r'Key not found in map : "?([^"]*)', error):
        return f"no such key: {found[1]}"
    if found := re.search(r"index=(-?\d+)", error):
        return f"index out of bounds: {found[1]}"
    return error.partition(": ")[2] or error


def _held(text: str) -> str:
    """An expression in which `oldSelf` is optional: taken out of a map that may be empty."""
    found, at = [], 0
    for literal in [*_STRING.finditer(text), None]:
        end = len(text) if literal is None else literal.start()
        found.append(_OLD.sub(f"{_HOLDER}[?'value']", text[at:end]))
        if literal is not None:
            found.append(literal[0])
            at = literal.end()
    return "".join(found)


def _type(node: Node, *, inside: bool = False) -> tuple[str, ...]:
    """The type of a level's values, from the outside to the inside.

    The library takes no times and durations inside lists and maps: there they stay strings.
    """
    kind = node.types[0] if len(node.types) == 1 and not node.nullable else ""
    match kind:
        case "array":
            return ("LIST", *(_type(node.items, inside=True) if node.items else ("DYN",)))
        case "object":
            if isinstance(node.additional, Node):
                return ("MAP", *_type(node.additional, inside=True))
            return ("MAP", "DYN")
        case "string":
            formats = {"datetime": "TIMESTAMP", "date": "TIMESTAMP", "duration": "DURATION"}
            style = str(node.constraints.get("format", "")).replace("-", "")
            if style == "byte":
                return ("BYTES",)
            return ("STRING" if inside else formats.get(style, "STRING"),)
        case "integer":
            return ("INT",)
        case "number":
            return ("DOUBLE",)
        case "boolean":
            return ("BOOL",)
    return ("DYN",)


@lru_cache(maxsize=64)
def _environment(types: tuple[str, ...]) -> Callable[[str], Any]:
    # Few have rules; the library costs 27 MiB.
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

    described: Any = getattr(cel.Type, types[-1])
    for word in reversed(types[:-1]):
        if word == "LIST":
            described = cel.Type.List(described)
        else:
            described = cel.Type.Map(cel.Type.STRING, described)
    environment = cel.NewEnv(
        variables={
            "self": described,
            "oldSelf": described,
            _HOLDER: cel.Type.Map(cel.Type.STRING, described),
        },
        extensions=[
            ext_strings.ExtStrings(),
            ext_optional.ExtOptional(),
            ext_math.ExtMath(),
            ext_bindings.ExtBindings(),
        ],
        functions=_functions(cel),
    )

    def compile_(text: str) -> Any:
        try:
            return environment.compile(text)
        except RuntimeError as error:
            message = str(error).removeprefix("INVALID_ARGUMENT: ")
            raise ValueError(message.removesuffix(" [INVALID_ARGUMENT]").strip()) from None

    return compile_


def _functions(cel: Any) -> list[Any]:
    """The functions that Kubernetes adds, as far as they need no types of their own."""
    kinds = cel.Type
    some = kinds.List(kinds.DYN)

    def function(name: str, given: list[Any], gives: Any, body: Callable[..., Any]) -> Any:
        overload = cel.Overload(
            id=f"kubernetes_{name}_{len(given)}",
            return_type=gives,
            parameters=given,
            is_member=not name.startswith("is") or name == "isSorted",
            impl=body,
        )
        return cel.FunctionDecl(name, [overload])

    return [
        function("isSorted", [some], kinds.BOOL, lambda items: items == sorted(items)),
        function("sum", [some], kinds.DYN, lambda items: sum(items)),
        function("min", [some], kinds.DYN, lambda items: min(items)),
        function("max", [some], kinds.DYN, lambda items: max(items)),
        function("find", [kinds.STRING, kinds.STRING], kinds.STRING, _find),
        function("findAll", [kinds.STRING, kinds.STRING], kinds.List(kinds.STRING), _find_all),
        function("isQuantity", [kinds.STRING], kinds.BOOL, reads(quantity.parse)),
        function("isIP", [kinds.STRING], kinds.BOOL, reads(ipaddress.ip_address)),
        function("isURL", [kinds.STRING], kinds.BOOL, _is_url),
    ]


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) or text.startswith("/")


def _find(text: str, pattern: str) -> str:
    found = _find_all(text, pattern)
    return found[0] if found else ""


def _find_all(text: str, pattern: str) -> list[str]:
    from tinykube.crd.validation import pattern as compiled

    return [found.group(0) for found in compiled(pattern).finditer(text)]


def convert(value: Any, node: Node, *, root: bool = False, inside: bool = False) -> Any:
    """A value as rules see it: fields that the schema names, with names that can be spelled."""
    match value:
        case dict():
            return _convert_object(value, node, root=root)
        case list():
            items = node.items
            return [item if items is None else convert(item, items, inside=True) for item in value]
        case bool() | None:
            return value
        case int() if node.types == ("number",):
            return float(value)
        case float() if node.types == ("integer",):
            return int(value)
        case str() if node.types == ("string",) and "format" in node.constraints:
            style = str(node.constraints["format"]).replace("-", "")
            return _convert_text(value, "" if inside and style != "byte" else style)
    return value


def _convert_object(value: Mapping[str, Any], node: Node, *, root: bool) -> dict[str, Any]:
    if isinstance(node.additional, Node):
        return {name: convert(item, node.additional, inside=True) for name, item in value.items()}
    if not node.properties and not root and not node.embedded:
        return dict(value)
    found: dict[str, Any] = {}
    if root or node.embedded:
        meta = value.get("metadata") or {}
        found = {name: value[name] for name in ("apiVersion", "kind") if name in value}
        found["metadata"] = {name: meta[name] for name in ("name", "generateName") if name in meta}
    for name, child in node.properties.items():
        spelled = escape(name)
        if name in value and spelled and not (name == "metadata" and (root or node.embedded)):
            found[spelled] = convert(value[name], child, inside=True)
    return found


def _convert_text(value: str, style: str) -> Any:
    try:
        match style:
            case "datetime" | "date":
                moment = datetime.fromisoformat(value)
                return moment if moment.tzinfo else datetime.fromisoformat(f"{value}T00:00:00Z")
            case "duration":
                parts = _DURATION.findall(value)
                seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
                return timedelta(seconds=-seconds if value.startswith("-") else seconds)
            case "byte":
                return base64.b64decode(value)
    except ValueError:
        # Its format is a fault of its own; the rule sees it as it is.
        return value
    return value
