"""A bundle's documents as they are read, and how one is laid over another."""

from __future__ import annotations

import base64
import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import documents, options
from .documents import brief

# Juju leaves out what it does not know, such as `variables`, where the documentation has anchors.
_TOP = frozenset(
    [
        "applications",
        "bundle",
        "default-base",
        "description",
        "machines",
        "relations",
        "saas",
        "series",
        "tags",
    ]
)
_APPLICATION = frozenset(
    [
        "annotations",
        "base",
        "bindings",
        "channel",
        "charm",
        "constraints",
        "devices",
        "expose",
        "exposed-endpoints",
        "num_units",
        "offers",
        "options",
        "placement",
        "plan",
        "resources",
        "revision",
        "scale",
        "series",
        "storage",
        "to",
        "trust",
    ]
)
_OVERLAY_ONLY = ("exposed-endpoints", "offers")
_MERGED = (
    "annotations",
    "bindings",
    "devices",
    "exposed-endpoints",
    "offers",
    "options",
    "resources",
    "storage",
)
# Of these a null in an overlay takes the key away; of the others it makes an empty text of it.
_NULLABLE = ("exposed-endpoints", "offers", "options", "resources")


@dataclass(frozen=True)
class Part:
    """One document of one file."""

    source: Path
    data: dict[str, Any]

    def unknown(self) -> list[str]:
        """The keys that Juju does not know."""
        found = [f"{key}: unknown key" for key in self.data if key not in _TOP]
        for name, body in (self.data.get("applications") or {}).items():
            found += [
                f"applications.{name}.{key}: unknown key"
                for key in body or ()
                if key not in _APPLICATION
            ]
        return [f"{self.source}: {text}" for text in found]

    def check(self, problems: list[str], *, overlay: bool) -> None:
        """Collect values of the wrong shape, and what only an overlay may have."""
        found = [
            f"{key}: expected a mapping, got {brief(self.data[key])}"
            for key in ("applications", "machines", "saas")
            if not isinstance(self.data.get(key) or {}, dict)
        ]
        if not isinstance(self.data.get("relations") or [], list):
            found.append(f"relations: expected a list, got {brief(self.data['relations'])}")
        applications = self.data.get("applications") or {}
        if isinstance(applications, dict):
            for name, body in applications.items():
                where = f"applications.{name}"
                if isinstance(body, dict):
                    found += [
                        f"{where}{problem}" for problem in _misshapen(name, body, overlay=overlay)
                    ]
                elif body is not None:
                    found.append(f"{where}: expected a mapping, got {brief(body)}")
                elif not overlay:
                    found.append(f'{where}: base application "{name}" has no body')
        problems += [f"{self.source}: {problem}" for problem in found]

    def known(self, problems: list[str]) -> dict[str, Any]:
        """A copy of what Juju knows; its paths are absolute, its included files are read in."""
        data = {k: copy.deepcopy(v) for k, v in self.data.items() if k in _TOP}
        for name, body in (data.get("applications") or {}).items():
            if body is None:
                continue
            charm = body.get("charm")
            if isinstance(charm, str) and charm.startswith((".", "/")):
                body["charm"] = self.path(charm)
            for key, value in (body.get("resources") or {}).items():
                if isinstance(value, str) and value.startswith((".", "/")):
                    body["resources"][key] = self.path(value)
            for section in ("options", "annotations"):
                for key, value in (body.get(section) or {}).items():
                    if isinstance(value, str):
                        try:
                            body[section][key] = self.included(value)
                        except documents.DocumentError as error:
                            at = f"{self.source}: applications.{name}.{section}.{key}"
                            problems.append(f"{at}: {error}")
        return data

    def path(self, text: str) -> str:
        """A path of the document, made absolute."""
        return os.path.normpath(self.source.parent.absolute() / text)

    def included(self, value: str) -> str:
        """The value, or what is in the file that it names."""
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in ("include-file", "include-base64"):
            return value
        path = Path(self.path(rest))
        data = documents.read_bytes(path, options.MAX_LENGTH)
        if scheme == "include-base64":
            return base64.b64encode(data).decode()
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise documents.DocumentError(
                str(path), "not UTF-8 text; use include-base64://"
            ) from None


def _misshapen(name: str, body: dict[Any, Any], *, overlay: bool) -> list[str]:
    """What is wrong with an application's keys, each problem after its path in it."""
    found = [
        f".{key}: expected a mapping, got {brief(body[key])}"
        for key in _MERGED
        if not isinstance(body.get(key) or {}, dict)
    ]
    if not overlay:
        found += [
            f": applications.{name}.{key} can only appear in an overlay section"
            for key in _OVERLAY_ONLY
            if body.get(key)
        ]
    if body.get("num_units") and body.get("scale"):
        found.append(f': cannot specify both scale and num_units for application "{name}"')
    if body.get("to") and body.get("placement"):
        found.append(f': cannot specify both placement and to for application "{name}"')
    return found


def read(source: Path, problems: list[str]) -> list[Part]:
    """The documents of a file; what is wrong with it is added to `problems`."""
    try:
        found = documents.load_all(documents.read_bytes(source), str(source))
    except documents.DocumentError as error:
        problems.append(str(error))
        return []
    parts = []
    for data in found:
        if data is None:
            continue
        if isinstance(data, dict):
            parts.append(Part(source, data))
        else:
            problems.append(f"{source}: expected a mapping, got {brief(data)}")
    return parts


def merge(base: dict[str, Any], overlay: dict[str, Any]) -> None:
    """Lay one document over another, as Juju does: the other keys of an overlay mean nothing."""
    applications = overlay.get("applications") or {}
    if applications:
        base["applications"] = base.get("applications") or {}
        _merge_applications(base, applications)
    saas = overlay.get("saas") or {}
    if saas:
        base["saas"] = base.get("saas") or {}
        _merge_saas(base, saas)
    if overlay.get("series"):
        base["series"] = overlay["series"]
    if overlay.get("relations"):
        base["relations"] = [*(base.get("relations") or []), *overlay["relations"]]
    if overlay.get("machines") is not None:
        base["machines"] = overlay["machines"]


def _merge_applications(base: dict[str, Any], applications: dict[str, Any]) -> None:
    for name, body in applications.items():
        if body is None:
            base["applications"].pop(name, None)
            _drop_relations(base, name)
            continue
        target = base["applications"].setdefault(name, {})
        for key, value in body.items():
            if key in _MERGED and isinstance(value, dict):
                target[key] = _merged(key, target.get(key) or {}, value)
                continue
            if key in ("scale", "num_units"):
                target.pop("scale", None)
                target.pop("num_units", None)
            target[key] = value


def _merged(key: str, base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    found = {**base, **overlay}
    if key in _NULLABLE:
        return {name: value for name, value in found.items() if value is not None}
    return {name: "" if value is None else value for name, value in found.items()}


def _merge_saas(base: dict[str, Any], saas: dict[str, Any]) -> None:
    for name, body in saas.items():
        if body is None:
            base["saas"].pop(name, None)
            _drop_relations(base, name)
        elif isinstance(body, dict) and isinstance(base["saas"].get(name), dict):
            base["saas"][name].update(body)
        else:
            base["saas"][name] = body


def _drop_relations(base: dict[str, Any], name: str) -> None:
    """Take away the relations of an application; one of a strange shape stays to be refused."""
    base["relations"] = [
        relation
        for relation in base.get("relations") or []
        if not (isinstance(relation, list) and len(relation) == 2 and _mentions(relation, name))
    ]


def _mentions(relation: list[Any], name: str) -> bool:
    return any(isinstance(side, str) and side.partition(":")[0] == name for side in relation)
