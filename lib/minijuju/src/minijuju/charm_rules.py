"""What Juju checks of a charm when it is uploaded, beyond the shapes that `charm` reads.

A charm that the controller has taken is not held against them again: rules that a later release
adds must not make an application's charm unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from . import assumes, schema
from .channels import SYSTEMS
from .constraints import SIZE

Fail = Callable[[str, str], NoReturn]

_ARCHITECTURES = ("amd64", "arm64", "armhf", "i386", "ppc64el", "riscv64", "s390x")
_TERM = re.compile(r"([a-z]+:)?([a-z][a-z0-9.+-]*/)?[a-z](-?[a-z0-9]+)+(/[0-9]+)?")
_FIRST_FORMAT = ("series", "min-juju-version", "deployment")


def check(
    meta: Mapping[str, Any],
    config: Mapping[str, Any] | None,
    actions: Mapping[str, Any],
    manifest: Mapping[str, Any],
    *,
    packed: bool,
    where: str,
    fail: Fail,
) -> None:
    """Hold a charm's files against Juju's rules.

    Args:
        meta: metadata.yaml, or the whole charmcraft.yaml.
        config: config.yaml; None if there is none.
        actions: actions.yaml.
        manifest: manifest.yaml.
        packed: whether it is a packed charm; a source folder has no manifest, and its config and
            actions are parts of charmcraft.yaml.
        where: what to call `meta` in errors.
        fail: raises the error; is given where and why.
    """
    for key in _FIRST_FORMAT:
        if meta.get(key) is not None:
            fail(f"{where}: {key}", "belongs to charms of the first format; Kubernetes needs v2")
    if packed:
        for key in ("summary", "description"):
            if not isinstance(meta.get(key), str):
                fail(f"{where}: {key}", f"expected a string, got {meta.get(key)!r}")
        _manifest(manifest, fail)
        if config is not None and "options" not in config:
            fail("config.yaml", "invalid config: empty configuration")
    try:
        assumes.parse(_list(meta.get("assumes"), f"{where}: assumes", fail))
    except assumes.AssumesError as error:
        fail(f"{where}: assumes", str(error))
    for key in ("tags", "categories"):
        for item in _list(meta.get(key), f"{where}: {key}", fail):
            if not isinstance(item, str):
                fail(f"{where}: {key}", f"expected strings, got {item!r}")
    for term in _list(meta.get("terms"), f"{where}: terms", fail):
        if not isinstance(term, str) or not _TERM.fullmatch(term):
            fail(f"{where}: terms", f"wrong term name format {term!r}")
    for name, body in (meta.get("storage") or {}).items():
        _storage(body, f"{where}: storage.{name}", fail)
    _devices(meta.get("devices"), f"{where}: devices", fail)
    _bindings(meta, f"{where}: extra-bindings", fail)
    _subordinate(meta, f"{where}: subordinate", fail)
    for name, body in actions.items():
        _action(name, body or {}, f"{'actions.yaml' if packed else f'{where}: actions'}", fail)


def _list(value: Any, where: str, fail: Fail) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        fail(where, f"expected list, got {value!r}")
    return value


def _manifest(manifest: Mapping[str, Any], fail: Fail) -> None:
    at = "manifest.yaml: bases"
    bases = _list(manifest.get("bases"), at, fail)
    if not bases:
        fail(at, "a charm for Kubernetes needs a manifest.yaml with at least one base")
    for base in bases:
        if not isinstance(base, dict):
            fail(at, f"expected a mapping, got {base!r}")
        if base.get("name") not in SYSTEMS:
            fail(at, f'os "{base.get("name")}" not valid')
        channel = base.get("channel")
        if not isinstance(channel, str) or not channel:
            fail(at, f"channel not valid: expected a string, got {channel!r}")
        for architecture in _list(base.get("architectures"), at, fail):
            if architecture not in _ARCHITECTURES:
                fail(at, f'architecture "{architecture}" not valid')


def _storage(body: Mapping[str, Any], at: str, fail: Fail) -> None:
    if body.get("type") == "block" and body.get("location"):
        fail(f"{at}.location", 'may not be specified for "type: block"')
    size = body.get("minimum-size")
    if size is not None and not (isinstance(size, str) and SIZE.fullmatch(size)):
        fail(f"{at}.minimum-size", f"expected a size such as 1G, got {size!r}")
    for item in _list(body.get("properties"), f"{at}.properties", fail):
        if item != "transient":
            fail(f"{at}.properties", f'expected "transient", got {item!r}')


def _devices(devices: Any, at: str, fail: Fail) -> None:
    if devices is None:
        return
    if not isinstance(devices, dict):
        fail(at, f"expected a mapping, got {devices!r}")
    for name, body in devices.items():
        if not isinstance(body, dict) or not isinstance(body.get("type"), str):
            fail(f"{at}.{name}.type", "expected a string, got nothing")
        counts = [body.get("countmin", 1), body.get("countmax", 1)]
        for count in counts:
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                fail(f"{at}.{name}", f"invalid device count {count!r}")
        if counts[0] > counts[1]:
            fail(
                f"{at}.{name}",
                f"maximum count {counts[1]} can not be smaller than minimum count {counts[0]}",
            )


def _bindings(meta: Mapping[str, Any], at: str, fail: Fail) -> None:
    bindings = meta.get("extra-bindings")
    if bindings is None:
        return
    if not isinstance(bindings, dict):
        fail(at, f"expected a mapping, got {bindings!r}")
    if not bindings:
        fail(at, "cannot be empty when specified")
    for name, value in bindings.items():
        if value is not None:
            fail(f"{at}.{name}", f"expected nothing, got {value!r}")
        if any(name in (meta.get(role) or {}) for role in ("provides", "requires", "peers")):
            fail(f"{at}.{name}", "is a relation's name already")


def _subordinate(meta: Mapping[str, Any], at: str, fail: Fail) -> None:
    if meta.get("subordinate") is not True:
        return
    requires = (meta.get("requires") or {}).values()
    if not any(isinstance(one, dict) and one.get("scope") == "container" for one in requires):
        fail(at, 'lacks a "requires" relation with container scope')


def _action(name: str, body: Mapping[str, Any], where: str, fail: Fail) -> None:
    at = f"{where}: {name}"
    for key in ("description", "title"):
        if key in body and not isinstance(body[key], str):
            fail(f"{at}.{key}", f"expected a string, got {body[key]!r}")
    own = ("description", "execution-group", "parallel", "params")
    declared = {key: value for key, value in body.items() if key not in own}
    params = body.get("params") or {}
    try:
        schema.check({**declared, "type": "object", "properties": params})
    except schema.SchemaError as error:
        # What people write is `params`; the schema has it as `properties`.
        key, separator, why = str(error).partition(": ")
        fail(f"{at}.{key.replace('properties', 'params', 1)}", why if separator else str(error))
