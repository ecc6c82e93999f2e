"""How hook commands print values and read settings from standard input."""

from __future__ import annotations

import json
from typing import Any

import yaml

from minijuju import text
from minijuju.hooks.context import CommandError, text_mapping
from minijuju.hooks.parser import UsageError

MAX_INPUT = 8 * 1024 * 1024


def render(value: Any, form: str) -> str:
    """A value in the form that `--format` asks for: smart (the default), json or yaml."""
    if form == "json":
        return json.dumps(value) + "\n"
    if form == "yaml":
        return _as_yaml(value)
    if value is None or value == "":
        return ""
    if isinstance(value, bool | str):
        return f"{value}\n"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "".join(f"{item}\n" for item in value)
    return _as_yaml(value)


def _as_yaml(value: Any) -> str:
    # The mark that ends a document is PyYAML's own, after a lone scalar.
    return str(yaml.safe_dump(value, default_flow_style=False)).removesuffix("...\n")


def settings(written: str, what: str) -> dict[str, str]:
    """Settings from JSON or YAML.

    Raises:
        CommandError: it is no mapping of strings.
    """
    if len(written) > MAX_INPUT:
        raise CommandError(f"{what}: more than {MAX_INPUT} characters")
    if not text.is_valid(written):
        raise CommandError(f"{what}: cannot parse settings: invalid UTF-8")
    try:
        value = json.loads(written) if written.lstrip().startswith("{") else _yaml(written)
    except json.JSONDecodeError:
        value = _yaml(written)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(f"{what}: expected a mapping")
    found = text_mapping(value, what)
    return {text.valid(key): text.valid(given) for key, given in found.items()}


def _yaml(written: str) -> Any:
    try:
        # Every scalar stays the text it is, as it does when Go reads into strings.
        return yaml.load(written, yaml.BaseLoader)  # noqa: S506 - BaseLoader makes only text
    except yaml.YAMLError as error:
        raise CommandError(f"cannot parse settings: {error}") from None


def pairs(items: tuple[str, ...]) -> dict[str, str]:
    """Settings from `key=value` arguments.

    Raises:
        UsageError: one is not of that form, or a key is there twice; no value is quoted.
    """
    found: dict[str, str] = {}
    for item in items:
        key, mark, value = item.partition("=")
        if not mark or not key:
            raise UsageError(f'expected "key=value", got {json.dumps(item if not mark else "=…")}')
        if key in found:
            raise UsageError(f"key {json.dumps(key)} specified more than once")
        found[key] = value
    return found
