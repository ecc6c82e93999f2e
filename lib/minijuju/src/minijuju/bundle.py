"""Bundles: several applications and their relations in one file, with overlays on top.

`load` reads a `bundle.yaml` (one document or more, a folder that holds it, or text) with
overlays in order, merges them as Juju does and checks the whole against the charms, so that
a bundle that is wrong anywhere changes nothing. All problems are reported at once, each by
its path in the document. Deploying one is `changes.plan`.
"""

from __future__ import annotations

import base64
import copy
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import constraints, documents, endpoints, options
from .charm import CHARM_NAME, Charm, CharmError
from .errors import BadRequestError

MAX_APPLICATIONS = 500

# `name` and `docs` are charmcraft's, `variables` is where the documentation puts anchors.
_TOP = frozenset(
    [
        "applications",
        "bundle",
        "default-base",
        "description",
        "docs",
        "machines",
        "name",
        "relations",
        "saas",
        "series",
        "tags",
        "type",
        "variables",
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
_MERGED = ("annotations", "bindings", "devices", "offers", "options", "resources", "storage")
_UNBUILT = ("devices", "exposed-endpoints", "offers", "placement", "to")


class BundleError(BadRequestError):
    """A bundle that cannot be deployed; `problems` are all that were found."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"the provided bundle has the following errors:\n{listed}")


@dataclass(frozen=True)
class Application:
    """One application; `scale` None leaves it as it is, or one unit for a new one.

    `resources` are absolute paths or image references, `charm` is a folder or archive.
    """

    name: str
    path: Path
    charm: Charm
    base: str | None
    scale: int | None
    options: Mapping[str, options.Value]
    resources: Mapping[str, str]
    constraints: str
    storage: Mapping[str, str]
    trust: bool


@dataclass(frozen=True)
class Bundle:
    """A whole bundle, checked; relations are pairs of resolved endpoints."""

    applications: Mapping[str, Application]
    relations: tuple[tuple[endpoints.Endpoint, endpoints.Endpoint], ...]

    @property
    def untrusting(self) -> tuple[str, ...]:
        """Applications that need `--trust`."""
        return tuple(name for name, application in self.applications.items() if application.trust)


def is_bundle(path: Path) -> bool:
    """Whether to deploy this as a bundle: a YAML file, or a folder with a bundle.yaml."""
    if path.is_dir():
        return (path / "bundle.yaml").is_file()
    return path.suffix in (".yaml", ".yml")


def load(path: Path, overlays: Iterable[Path] = (), *, force: bool = False) -> Bundle:
    """Read and check a bundle with its overlays.

    Args:
        path: A bundle file, or a folder that holds `bundle.yaml`.
        overlays: Files laid over it, in this order.
        force: Let keys pass that Juju does not know.

    Raises:
        BundleError: Anything is wrong, in any of the files or charms.
    """
    file = path / "bundle.yaml" if path.is_dir() else path
    problems: list[str] = []
    parts = [part for source in (file, *overlays) for part in _parts(source, problems)]
    if problems:
        raise BundleError(problems)
    if not parts:
        raise BundleError([f"{file}: the bundle is empty"])
    for index, part in enumerate(parts):
        part.check(problems, overlay=index > 0, force=force)
    if problems:
        raise BundleError(problems)
    merged: dict[str, Any] = {}
    for part in parts:
        _merge(merged, part.resolved(problems))
    if problems:
        raise BundleError(problems)
    return _Checker(merged, file).bundle()


@dataclass(frozen=True)
class _Part:
    """One document of one file."""

    source: Path
    data: dict[str, Any]

    def check(self, problems: list[str], *, overlay: bool, force: bool) -> None:
        """Collect unknown keys and values of the wrong shape."""
        found: list[str] = (
            [] if force else [f"{k}: unknown key" for k in self.data if k not in _TOP]
        )
        found += [
            f"{key}: expected a mapping, got {_brief(self.data[key])}"
            for key in ("applications", "machines", "saas")
            if not isinstance(self.data.get(key) or {}, dict)
        ]
        if not isinstance(self.data.get("relations") or [], list):
            found.append(f"relations: expected a list, got {_brief(self.data['relations'])}")
        applications = self.data.get("applications") or {}
        if isinstance(applications, dict):
            for name, body in applications.items():
                where = f"applications.{name}"
                if isinstance(body, dict):
                    found += [
                        f"{where}{problem}"
                        for problem in _misshapen(body, overlay=overlay, force=force)
                    ]
                elif body is not None or not overlay:
                    found.append(f"{where}: expected a mapping, got {_brief(body)}")
        problems += [f"{self.source}: {problem}" for problem in found]

    def resolved(self, problems: list[str]) -> dict[str, Any]:
        """A copy whose paths are absolute and whose included files are read in."""
        data = copy.deepcopy(self.data)
        for name, body in (data.get("applications") or {}).items():
            if body is None:
                continue
            charm = body.get("charm")
            if isinstance(charm, str) and charm.startswith((".", "/")):
                body["charm"] = self.path(charm)
            for key, value in (body.get("resources") or {}).items():
                if isinstance(value, str) and value.startswith((".", "/")):
                    body["resources"][key] = self.path(value)
            for key, value in (body.get("options") or {}).items():
                if isinstance(value, str):
                    try:
                        body["options"][key] = self.included(value)
                    except documents.DocumentError as error:
                        problems.append(
                            f"{self.source}: applications.{name}.options.{key}: {error}"
                        )
        return data

    def path(self, text: str) -> str:
        return os.path.normpath(self.source.parent.absolute() / text)

    def included(self, value: str) -> str:
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


def _misshapen(body: dict[Any, Any], *, overlay: bool, force: bool) -> list[str]:
    """What is wrong with an application's keys, each problem after its path in it."""
    found = [] if force else [f".{key}: unknown key" for key in body if key not in _APPLICATION]
    found += [
        f".{key}: expected a mapping, got {_brief(body[key])}"
        for key in _MERGED
        if not isinstance(body.get(key) or {}, dict)
    ]
    if not overlay:
        found += [
            f".{key}: can only appear in an overlay section"
            for key in _OVERLAY_ONLY
            if key in body
        ]
    if body.get("num_units") is not None and body.get("scale") is not None:
        found.append(": cannot specify both scale and num_units")
    if body.get("to") and body.get("placement"):
        found.append(": cannot specify both placement and to")
    return found


def _parts(source: Path, problems: list[str]) -> list[_Part]:
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
            parts.append(_Part(source, data))
        else:
            problems.append(f"{source}: expected a mapping, got {_brief(data)}")
    return parts


def _merge(base: dict[str, Any], overlay: dict[str, Any]) -> None:
    """Lay one document over another: applications merge, relations add up, the rest replaces."""
    for key, value in overlay.items():
        if key == "applications":
            base.setdefault(key, {})
            _merge_applications(base, value or {})
        elif key == "relations":
            base[key] = [*(base.get(key) or []), *(value or [])]
        elif key == "saas":
            base[key] = {**(base.get(key) or {}), **(value or {})}
        else:
            base[key] = value


def _merge_applications(base: dict[str, Any], applications: dict[str, Any]) -> None:
    for name, body in applications.items():
        if body is None:
            base["applications"].pop(name, None)
            base["relations"] = [
                relation
                for relation in base.get("relations") or []
                if not (isinstance(relation, list) and _mentions(relation, name))
            ]
            continue
        target = base["applications"].setdefault(name, {})
        for key, value in body.items():
            if key in _MERGED and isinstance(value, dict):
                merged = {**(target.get(key) or {}), **value}
                target[key] = {k: v for k, v in merged.items() if v is not None}
                continue
            if key in ("scale", "num_units"):
                target.pop("scale", None)
                target.pop("num_units", None)
            target[key] = value


def _mentions(relation: list[Any], name: str) -> bool:
    return any(isinstance(side, str) and side.partition(":")[0] == name for side in relation)


class _Checker:
    """Checks a merged bundle against its charms and collects every problem."""

    def __init__(self, data: dict[str, Any], source: Path) -> None:
        self.data = data
        self.source = source
        self.problems: list[str] = []

    def bundle(self) -> Bundle:
        self.top()
        applications = {}
        for name, body in (self.data.get("applications") or {}).items():
            before = len(self.problems)
            application = self.application(name, body)
            if application and len(self.problems) == before:
                applications[name] = application
        relations = self.relations(applications)
        if self.problems:
            raise BundleError(self.problems)
        return Bundle(MappingProxyType(applications), tuple(relations))

    def complain(self, where: str, problem: str) -> None:
        self.problems.append(f"{where}: {problem}" if where else problem)

    def top(self) -> None:
        kind = self.data.get("bundle", self.data.get("type"))
        if kind not in (None, "kubernetes", "bundle"):
            self.complain("bundle", f'bundle has an invalid type "{kind}"; expected "kubernetes"')
        if self.data.get("machines"):
            self.complain("machines", "bundle machines not valid for Kubernetes bundles")
        if self.data.get("saas"):
            self.complain("saas", "offers of other models are not built in minijuju yet")
        applications = self.data.get("applications")
        if not applications:
            self.complain("applications", "at least one application must be specified")
        elif len(applications) > MAX_APPLICATIONS:
            self.complain("applications", f"more than {MAX_APPLICATIONS} applications")
            self.data["applications"] = {}

    # One application.

    def application(self, name: Any, body: dict[str, Any]) -> Application | None:
        where = f"applications.{name}"
        if not isinstance(name, str) or not CHARM_NAME.fullmatch(name):
            self.complain(where, f"invalid application name {name!r}")
        for key in _UNBUILT:
            if body.get(key):
                self.complain(f"{where}.{key}", "not built in minijuju yet")
        if body.get("expose"):
            self.complain(f"{where}.expose", "not built in minijuju yet")
        for endpoint, space in (body.get("bindings") or {}).items():
            if space not in ("", "alpha"):
                self.complain(f"{where}.bindings.{endpoint}", f'space "{space}" not found')
        scale = self.scale(body, where)
        path = self.charm_path(body.get("charm"), name, where)
        if body.get("revision") is not None and body.get("channel") is None:
            self.complain(
                f"{where}.revision", "application with a revision requires a channel for upgrades"
            )
        charm = self.charm(path, where) if path else None
        if path is None or charm is None:
            return None
        trust = body.get("trust", False)
        if not isinstance(trust, bool):
            self.complain(f"{where}.trust", f"expected true or false, got {_brief(trust)}")
        return Application(
            name=name,
            path=path,
            charm=charm,
            base=self.base(body, charm, where),
            scale=scale,
            options=MappingProxyType(self.options(body, charm, where)),
            resources=MappingProxyType(self.resources(body, charm, where)),
            constraints=self.constraints(body, where),
            storage=MappingProxyType(self.storage(body, charm, where)),
            trust=trust is True,
        )

    def scale(self, body: dict[str, Any], where: str) -> int | None:
        key = "num_units" if body.get("num_units") is not None else "scale"
        value = body.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.complain(f"{where}.{key}", f"expected a whole number, got {_brief(value)}")
            return None
        if value < 0:
            self.complain(f"{where}.{key}", f"negative number of units ({value})")
        return value

    def charm_path(self, charm: Any, name: str, where: str) -> Path | None:
        at = f"{where}.charm"
        if charm is None or charm == "":
            self.complain(at, "empty charm path")
        elif not isinstance(charm, str):
            self.complain(at, f"expected a path, got {_brief(charm)}")
        elif not charm.startswith("/"):
            self.complain(
                at,
                f'"{charm}" is on Charmhub, which minijuju does not fetch from; '
                "name a local charm by a path that starts with . or /",
            )
        elif "\0" in charm or not os.path.exists(charm):
            self.complain(at, f'charm path in application "{name}" does not exist: {charm}')
        else:
            return Path(charm)
        return None

    def charm(self, path: Path, where: str) -> Charm | None:
        try:
            charm = Charm.load(path)
        except CharmError as error:
            self.complain(f"{where}.charm", str(error))
            return None
        if charm.subordinate:
            self.complain(f"{where}.charm", "subordinate charms are not valid on Kubernetes")
        return charm

    def base(self, body: dict[str, Any], charm: Charm, where: str) -> str | None:
        if body.get("base") and body.get("series"):
            self.complain(where, "cannot specify both series and base")
        base = body.get("base") or self.data.get("default-base")
        if base is None:
            return None
        if not isinstance(base, str) or not re.fullmatch(r"[a-z]+@[0-9.]+(/\w+)?", base):
            self.complain(f"{where}.base", f"expected a base such as ubuntu@24.04, got {base!r}")
            return None
        short = base.partition("/")[0]
        supported = [str(item) for item in charm.bases]
        if body.get("base") and supported and short not in supported:
            self.complain(
                f"{where}.base",
                f'base "{base}" not supported by charm, the charm supported bases are: '
                + ", ".join(supported),
            )
        return short

    def options(self, body: dict[str, Any], charm: Charm, where: str) -> dict[str, options.Value]:
        found = {}
        for key, value in (body.get("options") or {}).items():
            try:
                found[key] = options.check(options.find(charm.options, key), value)
            except options.OptionError as error:
                self.complain(f"{where}.options.{key}", str(error))
        return found

    def resources(self, body: dict[str, Any], charm: Charm, where: str) -> dict[str, str]:
        found = {}
        for key, value in (body.get("resources") or {}).items():
            at = f"{where}.resources.{key}"
            if key not in charm.resources:
                self.complain(at, f'charm "{charm.name}" has no resource "{key}"')
            elif isinstance(value, int):
                self.complain(at, "a resource's revision is Charmhub's; give a path or an image")
            elif not isinstance(value, str) or not value:
                self.complain(at, f"expected a path or an image, got {_brief(value)}")
            elif value.startswith("/") and not os.path.exists(value):
                self.complain(at, f"{value} does not exist")
            elif charm.resources[key].type == "file" and not value.startswith("/"):
                self.complain(at, f'expected a path that starts with . or /, got "{value}"')
            else:
                found[key] = value
        return found

    def constraints(self, body: dict[str, Any], where: str) -> str:
        text = body.get("constraints")
        if text is None:
            return ""
        try:
            return constraints.render(constraints.parse(str(text)))
        except constraints.ConstraintError as error:
            self.complain(f"{where}.constraints", f'invalid constraints "{text}": {error}')
            return ""

    def storage(self, body: dict[str, Any], charm: Charm, where: str) -> dict[str, str]:
        found = {}
        for key, value in (body.get("storage") or {}).items():
            try:
                directive = constraints.parse_storage(str(value))
                if key not in charm.storage:
                    raise constraints.ConstraintError(
                        f'charm "{charm.name}" has no store called "{key}"'
                    )
                constraints.check_storage(charm.storage[key], directive)
                found[key] = str(value)
            except constraints.ConstraintError as error:
                self.complain(f"{where}.storage.{key}", str(error))
        return found

    # Relations.

    def relations(
        self, applications: Mapping[str, Application]
    ) -> list[tuple[endpoints.Endpoint, endpoints.Endpoint]]:
        declared = self.data.get("applications") or {}
        found: list[tuple[endpoints.Endpoint, endpoints.Endpoint]] = []
        seen: set[frozenset[str]] = set()
        for index, relation in enumerate(self.data.get("relations") or []):
            where = f"relations[{index}]"
            sides = self.sides(relation, declared, where)
            if sides is None or any(side.partition(":")[0] not in applications for side in sides):
                continue
            charms = {name: application.charm for name, application in applications.items()}
            try:
                pair = endpoints.resolve(sides[0], sides[1], charms)
            except endpoints.EndpointError as error:
                self.complain(where, str(error))
                continue
            key = frozenset(str(endpoint) for endpoint in pair)
            if key in seen:
                self.complain(where, f"relation {_brief(relation)} is defined more than once")
            seen.add(key)
            found.append(pair)
        return found

    def sides(self, relation: Any, declared: dict[str, Any], where: str) -> list[str] | None:
        if not isinstance(relation, list):
            self.complain(where, f"expected a list of two endpoints, got {_brief(relation)}")
            return None
        if len(relation) != 2:
            self.complain(
                where, f"relation {_brief(relation)} has {len(relation)} endpoint(s), not 2"
            )
            return None
        before = len(self.problems)
        for side in relation:
            if not isinstance(side, str) or not re.fullmatch(r"[^:]+(:[^:]+)?", side):
                self.complain(where, f"expected application:endpoint, got {_brief(side)}")
            elif side.partition(":")[0] not in declared:
                self.complain(
                    where,
                    f'relation {_brief(relation)} refers to application "{side.partition(":")[0]}"'
                    " not defined in this bundle",
                )
        return relation if len(self.problems) == before else None


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
