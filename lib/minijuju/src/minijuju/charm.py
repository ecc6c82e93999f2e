"""What a charm says about itself: its metadata, options, actions and bases.

`Charm.load` reads a charm folder or a `.charm` archive, in either of the two layouts: the
unified `charmcraft.yaml` of the source, or the `metadata.yaml`, `config.yaml`,
`actions.yaml` and `manifest.yaml` that charmcraft packs. Keys Juju does not know are left
alone, as Juju leaves them; what it does know must be well formed. `charm_rules` holds what Juju
checks besides.
"""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal, NoReturn, cast

from . import charm_rules, documents
from .documents import brief
from .errors import BadRequestError

Role = Literal["provider", "requirer", "peer"]
OptionType = Literal["string", "int", "float", "boolean", "secret"]

OPTION_TYPES: tuple[OptionType, ...] = ("string", "int", "float", "boolean", "secret")
CHARM_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_ACTION = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_FILES = ("charmcraft.yaml", "metadata.yaml", "config.yaml", "actions.yaml", "manifest.yaml")


class CharmError(BadRequestError):
    """A charm that cannot be used: `path` of the charm, `what` in it, and `why`."""

    def __init__(self, path: Path | str, what: str, why: str) -> None:
        super().__init__(f"charm {path}: {what}: {why}" if what else f"charm {path}: {why}")
        self.path = path
        self.what = what
        self.why = why


@dataclass(frozen=True)
class ContainerMeta:
    """A workload container; `mounts` are pairs of a storage's name and a folder inside."""

    name: str
    resource: str | None = None
    mounts: tuple[tuple[str, str], ...] = ()
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class ResourceMeta:
    """A resource: `type` is `oci-image` or `file`; only a file has a `filename`."""

    name: str
    type: Literal["oci-image", "file"]
    filename: str = ""
    description: str = ""
    upstream: str = ""


@dataclass(frozen=True)
class EndpointMeta:
    """One end of a relation; `limit` None means as many relations as wanted."""

    name: str
    role: Role
    interface: str
    limit: int | None = None
    optional: bool = False
    scope: Literal["global", "container"] = "global"


@dataclass(frozen=True)
class StorageMeta:
    """A storage; `maximum` None means no bound. `location` is the charm container's own."""

    name: str
    type: Literal["filesystem", "block"]
    location: str = ""
    minimum: int = 1
    maximum: int | None = 1
    read_only: bool = False
    description: str = ""
    minimum_size: str = ""

    @property
    def multiple(self) -> bool:
        """Whether a unit may have more than one, so that locations get the id appended."""
        return self.maximum is None or self.maximum > 1


@dataclass(frozen=True)
class OptionMeta:
    """A config option; `default` None means that the option is unset by default."""

    name: str
    type: OptionType
    default: str | int | float | bool | None = None
    description: str = ""


@dataclass(frozen=True)
class ActionMeta:
    """An action; `params` maps each parameter to its JSON schema."""

    name: str
    description: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    additional_properties: bool = True
    parallel: bool = False
    execution_group: str = ""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a call's parameters."""
        return {
            "title": self.name,
            "description": self.description,
            "type": "object",
            "properties": dict(self.params),
            "required": list(self.required),
            "additionalProperties": self.additional_properties,
        }


@dataclass(frozen=True)
class Base:
    """A system that the charm runs on, such as `ubuntu` and `24.04`."""

    name: str
    channel: str
    architectures: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}@{self.channel}"


@dataclass(frozen=True)
class Charm:
    """Everything a charm declares. Mappings are read-only and keyed by name."""

    name: str
    summary: str = ""
    description: str = ""
    containers: Mapping[str, ContainerMeta] = field(default_factory=dict)
    resources: Mapping[str, ResourceMeta] = field(default_factory=dict)
    provides: Mapping[str, EndpointMeta] = field(default_factory=dict)
    requires: Mapping[str, EndpointMeta] = field(default_factory=dict)
    peers: Mapping[str, EndpointMeta] = field(default_factory=dict)
    storage: Mapping[str, StorageMeta] = field(default_factory=dict)
    options: Mapping[str, OptionMeta] = field(default_factory=dict)
    actions: Mapping[str, ActionMeta] = field(default_factory=dict)
    assumes: tuple[Any, ...] = ()
    charm_user: Literal["root", "sudoer", "non-root"] = "root"
    bases: tuple[Base, ...] = ()
    extra_bindings: tuple[str, ...] = ()
    subordinate: bool = False

    @property
    def endpoints(self) -> Mapping[str, EndpointMeta]:
        """Every endpoint by name, `juju-info` too, which Juju gives every charm."""
        implicit = EndpointMeta("juju-info", "provider", "juju-info")
        return {"juju-info": implicit, **self.provides, **self.requires, **self.peers}

    @classmethod
    def load(cls, path: Path, *, accepted: bool = False) -> Charm:
        """Read the charm in a folder or `.charm` archive.

        Args:
            path: The folder or archive.
            accepted: It is in the controller's store: what Juju checks of an upload was checked.

        Raises:
            CharmError: It is missing, no charm, or says something malformed.
        """
        reader = _Reader(path, _read_files(path))
        if not accepted:
            reader.check_rules()
        return reader.charm()


def _read_files(path: Path) -> dict[str, Any]:
    """The parsed YAML files at the charm's top, by file name."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CharmError(path, "", f"cannot be read: {error.strerror}") from None
    try:
        if stat.S_ISDIR(mode):
            found = [name for name in _FILES if (path / name).is_file()]
            return {
                name: documents.load(documents.read_bytes(path / name), name) for name in found
            }
        return {name: documents.load(data, name) for name, data in _read_archive(path).items()}
    except documents.DocumentError as error:
        raise CharmError(path, error.source, error.problem) from None


def _read_archive(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            found = {}
            for name in _FILES:
                if name not in names:
                    continue
                if archive.getinfo(name).file_size > documents.MAX_BYTES:
                    raise CharmError(path, name, f"more than {documents.MAX_BYTES} bytes")
                with archive.open(name) as file:
                    found[name] = file.read(documents.MAX_BYTES + 1)
            return found
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise CharmError(path, "", f"not a charm archive (a zip file): {error}") from None
    except OSError as error:
        raise CharmError(path, "", f"cannot be read: {error.strerror}") from None


class _Reader:
    """Checks shapes while it builds; every complaint names the file and the key."""

    def __init__(self, path: Path, files: Mapping[str, Any]) -> None:
        self.path = path
        packed = "metadata.yaml" in files
        if not packed and "charmcraft.yaml" not in files:
            raise CharmError(path, "", "no metadata.yaml and no charmcraft.yaml in it")
        self.craft = self.mapping(files.get("charmcraft.yaml"), "charmcraft.yaml")
        self.where = "metadata.yaml" if packed else "charmcraft.yaml"
        self.meta = self.mapping(files.get(self.where), self.where)
        self.packed = packed
        self.has_config = "config.yaml" in files
        if self.has_config:
            self.config = self.mapping(files["config.yaml"], "config.yaml")
            self.config_where = "config.yaml"
        else:
            self.config = self.mapping(self.craft.get("config"), "charmcraft.yaml: config")
            self.config_where = "charmcraft.yaml: config"
        if "actions.yaml" in files:
            self.actions = self.mapping(files["actions.yaml"], "actions.yaml")
            self.actions_where = "actions.yaml"
        else:
            self.actions = self.mapping(self.craft.get("actions"), "charmcraft.yaml: actions")
            self.actions_where = "charmcraft.yaml: actions"
        self.manifest = self.mapping(files.get("manifest.yaml"), "manifest.yaml")

    def check_rules(self) -> None:
        """Hold it against what Juju checks of an upload."""
        for key in ("storage", "provides", "requires", "peers"):
            for name, body in self.section(key).items():
                if not isinstance(body, str):
                    self.mapping(body, f"{self.where}: {key}.{name}")
        for name, body in self.actions.items():
            self.mapping(body, f"{self.actions_where}: {name}")
            self.mapping((body or {}).get("params"), f"{self.actions_where}: {name}.params")
        charm_rules.check(
            self.meta,
            self.config if self.packed and self.has_config else None,
            self.actions,
            self.manifest,
            packed=self.packed,
            where=self.where,
            fail=self.fail,
        )

    def charm(self) -> Charm:
        name = self.text(self.meta.get("name"), f"{self.where}: name")
        if not CHARM_NAME.fullmatch(name):
            self.fail(f"{self.where}: name", f"{name!r} is not a charm name")
        user = self.text(self.meta.get("charm-user"), f"{self.where}: charm-user", "root")
        if user not in ("root", "sudoer", "non-root"):
            self.fail(f"{self.where}: charm-user", f"{user!r} is not root, sudoer or non-root")
        resources = self.each("resources", self.resource)
        storage = self.each("storage", self.storage)
        containers = {
            name: self.container(name, value, resources, storage)
            for name, value in self.section("containers").items()
        }
        endpoints = {role: self.endpoints(role) for role in ("provides", "requires", "peers")}
        self.check_endpoints(endpoints)
        return Charm(
            name=name,
            summary=self.text(self.meta.get("summary"), f"{self.where}: summary", ""),
            description=self.text(self.meta.get("description"), f"{self.where}: description", ""),
            containers=MappingProxyType(containers),
            resources=MappingProxyType(resources),
            provides=MappingProxyType(endpoints["provides"]),
            requires=MappingProxyType(endpoints["requires"]),
            peers=MappingProxyType(endpoints["peers"]),
            storage=MappingProxyType(storage),
            options=MappingProxyType(self.options()),
            actions=MappingProxyType(self.all_actions()),
            assumes=tuple(self.sequence(self.meta.get("assumes"), f"{self.where}: assumes")),
            charm_user=cast("Any", user),
            bases=self.bases(),
            extra_bindings=tuple(self.section("extra-bindings")),
            subordinate=self.flag(self.meta.get("subordinate"), f"{self.where}: subordinate"),
        )

    # Parts of the metadata.

    def container(
        self,
        name: str,
        value: Any,
        resources: Mapping[str, ResourceMeta],
        storage: Mapping[str, StorageMeta],
    ) -> ContainerMeta:
        where = f"{self.where}: containers.{name}"
        if not _LABEL.fullmatch(name):
            self.fail(where, "a container's name has lower-case letters, digits and hyphens only")
        body = self.mapping(value, where)
        resource = body.get("resource")
        if resource is not None:
            resource = self.text(resource, f"{where}.resource")
            if resource not in resources:
                self.fail(f"{where}.resource", f"{resource!r} is not one of the charm's resources")
            if resources[resource].type != "oci-image":
                self.fail(f"{where}.resource", f"{resource!r} is not of type oci-image")
        mounts = []
        for index, item in enumerate(self.sequence(body.get("mounts"), f"{where}.mounts")):
            at = f"{where}.mounts[{index}]"
            mount = self.mapping(item, at)
            source = self.text(mount.get("storage"), f"{at}.storage")
            if source not in storage:
                self.fail(f"{at}.storage", f"{source!r} is not one of the charm's storages")
            mounts.append((source, self.folder(mount.get("location"), f"{at}.location")))
        return ContainerMeta(
            name=name,
            resource=resource,
            mounts=tuple(mounts),
            uid=self.identity(body.get("uid"), f"{where}.uid"),
            gid=self.identity(body.get("gid"), f"{where}.gid"),
        )

    def identity(self, value: Any, where: str) -> int:
        number = self.number(value, where, 0)
        if 1000 <= number < 10000 or number < 0:
            self.fail(where, f"{number} is not 0-999 or at least 10000")
        return number

    def resource(self, name: str, value: Any, where: str) -> ResourceMeta:
        body = self.mapping(value, where)
        kind = self.text(body.get("type"), f"{where}.type", "file")
        if kind not in ("oci-image", "file"):
            self.fail(f"{where}.type", f"{kind!r} is not oci-image or file")
        filename = self.text(body.get("filename"), f"{where}.filename", "")
        if kind == "file" and (not filename or "/" in filename or filename in (".", "..")):
            self.fail(f"{where}.filename", "a file resource needs a file name without a folder")
        return ResourceMeta(
            name=name,
            type=cast("Any", kind),
            filename=filename if kind == "file" else "",
            description=self.text(body.get("description"), f"{where}.description", ""),
            upstream=self.text(body.get("upstream-source"), f"{where}.upstream-source", ""),
        )

    def storage(self, name: str, value: Any, where: str) -> StorageMeta:
        body = self.mapping(value, where)
        kind = self.text(body.get("type"), f"{where}.type")
        if kind not in ("filesystem", "block"):
            self.fail(f"{where}.type", f"{kind!r} is not filesystem or block")
        if not _LABEL.fullmatch(name):
            self.fail(where, "a storage's name has lower-case letters, digits and hyphens only")
        minimum, maximum = self.storage_range(body.get("multiple"), f"{where}.multiple")
        location = body.get("location")
        return StorageMeta(
            name=name,
            type=cast("Any", kind),
            location=self.folder(location, f"{where}.location") if location else "",
            minimum=minimum,
            maximum=maximum,
            read_only=self.flag(body.get("read-only"), f"{where}.read-only"),
            description=self.text(body.get("description"), f"{where}.description", ""),
            minimum_size=str(body.get("minimum-size") or ""),
        )

    def storage_range(self, value: Any, where: str) -> tuple[int, int | None]:
        if value is None:
            return 1, 1
        wanted = str(self.mapping(value, where).get("range", ""))
        match = re.fullmatch(r"(\d{1,6})(?:(-)(\d{1,6})?|(\+))?", wanted)
        if not match:
            self.fail(f"{where}.range", f"{wanted!r} is not a number or a range such as 1-3 or 0-")
        low = int(match[1])
        if match[4] or (match[2] and match[3] is None):
            return low, None
        high = int(match[3]) if match[3] else low
        if high < max(low, 1):
            self.fail(f"{where}.range", f"{wanted!r} allows no storage")
        return low, high

    def endpoints(self, section: str) -> dict[str, EndpointMeta]:
        roles: dict[str, Role] = {
            "provides": "provider",
            "requires": "requirer",
            "peers": "peer",
        }
        found = {}
        for name, value in self.section(section).items():
            where = f"{self.where}: {section}.{name}"
            # The short form names the interface only.
            body = {"interface": value} if isinstance(value, str) else self.mapping(value, where)
            limit = body.get("limit")
            scope = self.text(body.get("scope"), f"{where}.scope", "global")
            if scope not in ("global", "container"):
                self.fail(f"{where}.scope", f"{scope!r} is not global or container")
            found[name] = EndpointMeta(
                name=name,
                role=roles[section],
                interface=self.text(body.get("interface"), f"{where}.interface"),
                limit=None if limit is None else self.number(limit, f"{where}.limit", 0),
                optional=self.flag(body.get("optional"), f"{where}.optional"),
                scope=cast("Any", scope),
            )
        return found

    def check_endpoints(self, sections: Mapping[str, Mapping[str, EndpointMeta]]) -> None:
        seen: set[str] = set()
        for section, endpoints in sections.items():
            for name, endpoint in endpoints.items():
                where = f"{self.where}: {section}.{name}"
                if name in seen:
                    self.fail(where, "the charm has another relation of this name")
                seen.add(name)
                within = section == "requires" and endpoint.scope == "container"
                if _reserved(name) and not (within and self.meta.get("subordinate") is True):
                    self.fail(where, "names that start with juju are Juju's own")
                if section != "requires" and _reserved(endpoint.interface):
                    self.fail(where, f"interface {endpoint.interface!r} is Juju's own")

    def options(self) -> dict[str, OptionMeta]:
        where = f"{self.config_where}: options"
        found = {}
        for name, value in self.mapping(self.config.get("options"), where).items():
            at = f"{where}.{name}"
            body = self.mapping(value, at)
            kind = self.text(body.get("type"), f"{at}.type", "string")
            if kind not in OPTION_TYPES:
                self.fail(f"{at}.type", f"{kind!r} is not one of {', '.join(OPTION_TYPES)}")
            found[name] = OptionMeta(
                name=name,
                type=kind,
                default=self.default(body.get("default"), kind, f"{at}.default"),
                description=self.text(body.get("description"), f"{at}.description", ""),
            )
        return found

    def default(self, value: Any, kind: OptionType, where: str) -> Any:
        types: dict[str, tuple[type, ...]] = {
            "string": (str,),
            "secret": (str,),
            "int": (int,),
            "float": (float, int),
            "boolean": (bool,),
        }
        if value is None:
            return None
        wrong = not isinstance(value, types[kind])
        if wrong or (isinstance(value, bool) and kind != "boolean"):
            self.fail(where, f"expected {kind}, got {value!r}")
        if kind == "secret" and value and not value.startswith("secret:"):
            self.fail(where, f"expected secret, got {value!r}")
        return float(value) if kind == "float" else value

    def all_actions(self) -> dict[str, ActionMeta]:
        found = {}
        for name, value in self.actions.items():
            where = f"{self.actions_where}: {name}"
            if not _ACTION.fullmatch(name):
                self.fail(where, "not an action's name")
            if _reserved(name):
                self.fail(where, "names that start with juju are Juju's own")
            found[name] = self.action(name, value, where)
        return found

    def action(self, name: str, value: Any, where: str) -> ActionMeta:
        body = self.mapping(value, where)
        params = self.mapping(body.get("params"), f"{where}.params")
        for key, schema in params.items():
            self.mapping(schema, f"{where}.params.{key}")
        required = self.sequence(body.get("required"), f"{where}.required")
        return ActionMeta(
            name=name,
            description=self.text(body.get("description"), f"{where}.description", ""),
            params=MappingProxyType(params),
            required=tuple(self.text(key, f"{where}.required") for key in required),
            additional_properties=self.flag(
                body.get("additionalProperties"), f"{where}.additionalProperties", default=True
            ),
            parallel=self.flag(body.get("parallel"), f"{where}.parallel"),
            execution_group=self.text(body.get("execution-group"), f"{where}.execution-group", ""),
        )

    def bases(self) -> tuple[Base, ...]:
        if self.manifest:
            listed = self.sequence(self.manifest.get("bases"), "manifest.yaml: bases")
            return tuple(self.base(value, "manifest.yaml: bases") for value in listed)
        if "bases" in self.craft:
            where = "charmcraft.yaml: bases"
            found: list[Base] = []
            for value in self.sequence(self.craft["bases"], where):
                body = self.mapping(value, where)
                run_on = self.sequence(body.get("run-on"), f"{where}.run-on") or [body]
                found += [self.base(item, f"{where}.run-on") for item in run_on]
            return tuple(found)
        return self.platforms()

    def base(self, value: Any, where: str) -> Base:
        body = self.mapping(value, where)
        channel = str(body.get("channel") or "")
        architectures = self.sequence(body.get("architectures"), f"{where}.architectures")
        return Base(
            name=self.text(body.get("name"), f"{where}.name"),
            channel=channel.split("/")[0],
            architectures=tuple(
                self.text(item, f"{where}.architectures") for item in architectures
            ),
        )

    def platforms(self) -> tuple[Base, ...]:
        """Bases of the unified form: `base` with `platforms`, or `ubuntu@24.04:amd64` keys."""
        common = self.text(self.craft.get("base"), "charmcraft.yaml: base", "")
        architectures: dict[str, list[str]] = {common: []} if common else {}
        platforms = self.mapping(self.craft.get("platforms"), "charmcraft.yaml: platforms")
        for name, value in platforms.items():
            where = f"charmcraft.yaml: platforms.{name}"
            prefix, _, rest = name.rpartition(":")
            body = self.mapping(value, where)
            build_for = body.get("build-for", rest)
            for target in build_for if isinstance(build_for, list) else [build_for]:
                system, _, architecture = str(target).rpartition(":")
                at = architectures.setdefault(system or prefix or common, [])
                if architecture not in at:
                    at.append(architecture)
        found = []
        for text, names in architectures.items():
            system, separator, channel = text.partition("@")
            if not separator:
                self.fail("charmcraft.yaml: base", f"{text!r} is not of the form ubuntu@24.04")
            found.append(Base(system, channel, tuple(names)))
        return tuple(found)

    # Shapes.

    def each(self, section: str, build: Any) -> dict[str, Any]:
        return {
            name: build(name, value, f"{self.where}: {section}.{name}")
            for name, value in self.section(section).items()
        }

    def section(self, name: str) -> dict[str, Any]:
        where = f"{self.where}: {name}"
        found = self.mapping(self.meta.get(name), where)
        for key in found:
            if not _NAME.fullmatch(key):
                self.fail(f"{where}.{key}", "not a name (letters, digits, hyphens, underscores)")
        return found

    def mapping(self, value: Any, where: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fail(where, f"expected a mapping, got {brief(value)}")
        for key in value:
            if not isinstance(key, str):
                self.fail(where, f"expected a name as key, got {brief(key)}")
        return value

    def sequence(self, value: Any, where: str) -> Sequence[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self.fail(where, f"expected a list, got {brief(value)}")
        return value

    def text(self, value: Any, where: str, default: str | None = None) -> str:
        if value is None and default is not None:
            return default
        if value is None:
            self.fail(where, "is missing")
        if not isinstance(value, str):
            self.fail(where, f"expected a string, got {brief(value)}")
        return value

    def number(self, value: Any, where: str, default: int) -> int:
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(where, f"expected a whole number, got {brief(value)}")
        return value

    def flag(self, value: Any, where: str, *, default: bool = False) -> bool:
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(where, f"expected true or false, got {brief(value)}")
        return value

    def folder(self, value: Any, where: str) -> str:
        text = self.text(value, where)
        path = PurePosixPath(text)
        if not path.is_absolute() or ".." in path.parts or "\0" in text:
            self.fail(where, f"{text!r} is not an absolute path without '..'")
        return str(path)

    def fail(self, what: str, why: str) -> NoReturn:
        raise CharmError(self.path, what, why)


def _reserved(name: str) -> bool:
    return name == "juju" or name.startswith("juju-")
