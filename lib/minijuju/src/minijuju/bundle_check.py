"""A merged bundle held against its charms and Juju's rules: every problem, in Juju's words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import bundle_relations, channels, constraints, documents, options
from .applications import APPLICATION_KEYS
from .charm import CHARM_NAME, Charm, CharmError
from .charm_store import CharmStore, Release
from .documents import brief
from .endpoints import Endpoint
from .errors import BadRequestError, JujuError

MAX_APPLICATIONS = 500

_URL = re.compile(r"(?:(?P<schema>[a-z]+):)?(?:[a-z0-9]+/){0,2}(?P<name>[a-z][a-z0-9-]*)")
_REVISION = re.compile(r"(.+)-(\d+)")
_SERIES = re.compile(r"[a-z]+([a-z0-9]+)?")
_STORE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")
_OFFER_URL = re.compile(r"(?:[^:/\s]+:)?(?:[^/:.\s]+/)?[^/:.\s]+\.[^/:\s]+(?::[^/:\s]+)?")
# Juju's, which make no sense here.
_REFUSED = {
    "devices": "this machine shares out no devices",
    "exposed-endpoints": "an exposed application is no more than marked so: no firewall stands "
    "in between; say expose: true",
}


class BundleError(BadRequestError):
    """A bundle that cannot be deployed; `problems` are all that were found."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"the provided bundle has the following errors:\n{listed}")


@dataclass(frozen=True)
class Application:
    """One application.

    Attributes:
        path: The charm's folder or archive.
        release: Where in a store of charms it is from; None for a local charm.
        scale: None leaves it as it is, or is one unit for a new one.
        resources: Absolute paths or image references.
        annotations: Notes by key, of no meaning to Juju.
        offers: The endpoints of each offer to other models.
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
    expose: bool
    annotations: Mapping[str, str]
    release: Release | None = None
    offers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """What `charm:` says in a bundle that is exported: a name, or a path."""
        return self.release.name if self.release else str(self.path)


@dataclass(frozen=True)
class Bundle:
    """A whole bundle, checked.

    Attributes:
        relations: Pairs of resolved endpoints.
        saas: The addresses of offers of other models, by the name under which they are consumed.
        crossings: Relations with those, as the bundle has them; the application stands first.
        ignored: What Juju does not know and leaves out, each by its path.
    """

    applications: Mapping[str, Application]
    relations: tuple[tuple[Endpoint, Endpoint], ...]
    ignored: tuple[str, ...] = ()
    saas: Mapping[str, str] = field(default_factory=dict)
    crossings: tuple[tuple[str, str], ...] = ()

    @property
    def untrusting(self) -> tuple[str, ...]:
        """Applications that need `--trust`."""
        return tuple(name for name, application in self.applications.items() if application.trust)


class _Checker:
    """Checks a merged bundle and collects every problem."""

    def __init__(
        self, data: dict[str, Any], store: CharmStore | None, ignored: tuple[str, ...]
    ) -> None:
        self.data = data
        self.store = store
        self.ignored = ignored
        self.problems: list[str] = []

    def bundle(self) -> Bundle:
        self.top()
        self.saas()
        applications = {}
        for name, body in (self.data.get("applications") or {}).items():
            before = len(self.problems)
            application = self.application(name, body)
            if application and len(self.problems) == before:
                applications[name] = application
        charms = {name: application.charm for name, application in applications.items()}
        relations = bundle_relations.resolve(self.data, charms, self.complain)
        if self.problems:
            raise BundleError(self.problems)
        saas = {name: body["url"] for name, body in (self.data.get("saas") or {}).items()}
        return Bundle(
            MappingProxyType(applications),
            tuple(relations),
            self.ignored,
            MappingProxyType(saas),
            bundle_relations.crossings(self.data),
        )

    def complain(self, where: str, problem: str) -> None:
        self.problems.append(f"{where}: {problem}" if where else problem)

    def top(self) -> None:
        kind = self.data.get("bundle")
        if kind not in (None, "", "kubernetes"):
            self.complain("bundle", f'bundle has an invalid type "{kind}"')
        if self.data.get("machines"):
            self.complain("machines", "bundle machines not valid for Kubernetes bundles")
        series = self.data.get("series")
        if series and not (isinstance(series, str) and _SERIES.fullmatch(series)):
            self.complain("series", f'bundle declares an invalid series "{series}"')
        base = self.data.get("default-base")
        if base and self.parsed_base(base) is None:
            self.complain("default-base", f'bundle declares an invalid base "{base}"')
        applications = self.data.get("applications")
        if not applications:
            self.complain("applications", "at least one application must be specified")
        elif len(applications) > MAX_APPLICATIONS:
            self.complain("applications", f"more than {MAX_APPLICATIONS} applications")
            self.data["applications"] = {}

    def saas(self) -> None:
        applications = self.data.get("applications") or {}
        for name, body in (self.data.get("saas") or {}).items():
            where = f"saas.{name}"
            if name in applications:
                self.complain(
                    where, f'application "{name}" already exists with SAAS "{name}" name'
                )
            if not isinstance(name, str) or not CHARM_NAME.fullmatch(name):
                self.complain(where, f'invalid SAAS name "{name}" found')
            url = body.get("url") if isinstance(body, dict) else None
            if url and not (isinstance(url, str) and _OFFER_URL.fullmatch(url)):
                self.complain(where, f'invalid offer URL "{url}" for SAAS {name}')
            elif not url:
                self.complain(where, f"no offer URL for SAAS {name}")

    @staticmethod
    def parsed_base(text: Any) -> str | None:
        try:
            return channels.parse_base(str(text))
        except channels.ChannelError:
            return None

    # One application.

    def application(self, name: Any, body: dict[str, Any]) -> Application | None:
        where = f"applications.{name}"
        if not isinstance(name, str) or not CHARM_NAME.fullmatch(name):
            self.complain(where, f'invalid application name "{name}"')
        for key, reason in _REFUSED.items():
            if body.get(key):
                self.complain(f"{where}.{key}", reason)
        offers = self.offers(body, name, where)
        self.placement(body, name, where)
        scale = self.scale(body, name, where)
        found = self.charm_place(body, name, where)
        charm = self.charm(found[0], where) if found else None
        if found is None or charm is None:
            return None
        path, release = found
        self.bindings(body, charm, name, where)
        return Application(
            name=name,
            path=path,
            charm=charm,
            base=self.base(body, charm, name, where),
            scale=scale,
            options=MappingProxyType(self.options(body, charm, name, where)),
            resources=MappingProxyType(self.resources(body, charm, release, name, where)),
            constraints=self.constraints(body, name, where),
            storage=MappingProxyType(self.storage(body, charm, name, where)),
            trust=self.flag(body, "trust", where),
            expose=self.flag(body, "expose", where),
            annotations=MappingProxyType(self.annotations(body, where)),
            release=release,
            offers=MappingProxyType(offers),
        )

    def flag(self, body: dict[str, Any], key: str, where: str) -> bool:
        value = body.get(key)
        if value is not None and not isinstance(value, bool):
            self.complain(f"{where}.{key}", f"expected true or false, got {brief(value)}")
        return value is True

    def offers(self, body: dict[str, Any], name: str, where: str) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for offer, spec in (body.get("offers") or {}).items():
            at = f"{where}.offers.{offer}"
            if not isinstance(offer, str) or not CHARM_NAME.fullmatch(offer):
                self.complain(at, f'invalid offer name "{offer}" in application "{name}"')
            listed = (spec.get("endpoints") if isinstance(spec, dict) else None) or []
            found[offer] = tuple(listed)
            for user in (spec.get("acl") if isinstance(spec, dict) else None) or {}:
                if user != "admin":
                    self.complain(f"{at}.acl", f'user "{user}" not found: there is one, admin')
            for endpoint in listed:
                if not isinstance(endpoint, str) or not bundle_relations.ENDPOINT.fullmatch(
                    endpoint
                ):
                    self.complain(
                        at,
                        f'invalid endpoint name "{endpoint}" for offer "{offer}" in '
                        f'application "{name}"',
                    )
        return found

    def placement(self, body: dict[str, Any], name: str, where: str) -> None:
        placement, to = body.get("placement"), body.get("to")
        if placement and self.data.get("bundle") != "kubernetes":
            self.complain(
                f"{where}.placement",
                f'placement ({placement}) not valid for non-Kubernetes application "{name}"',
            )
        if isinstance(to, list) and len(to) > 1:
            self.complain(f"{where}.to", f'too many placement directives for application "{name}"')
        for key in ("placement", "to"):
            if body.get(key):
                self.complain(
                    f"{where}.{key}",
                    "there is one node, this machine, without labels: leave placement out",
                )

    def scale(self, body: dict[str, Any], name: str, where: str) -> int | None:
        key = "scale" if body.get("scale") else "num_units"
        if body.get(key) is None:
            key = "scale"
        value = body.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.complain(f"{where}.{key}", f"expected a whole number, got {brief(value)}")
            return None
        if value < 0:
            self.complain(
                f"{where}.{key}", f'negative number of units specified on application "{name}"'
            )
        return value

    # Charms.

    def charm_place(
        self, body: dict[str, Any], name: str, where: str
    ) -> tuple[Path, Release | None] | None:
        at, charm = f"{where}.charm", body.get("charm")
        if charm is None or charm == "":
            self.complain(at, "empty charm path")
        elif not isinstance(charm, str):
            self.complain(at, f"expected a path or a name, got {brief(charm)}")
        elif not charm.startswith("/"):
            return self.stored(body, charm, name, where)
        elif "\0" in charm or not os.path.exists(charm):
            self.complain(at, f'charm path in application "{name}" does not exist: {charm}')
        else:
            return Path(charm), None
        return None

    def stored(
        self, body: dict[str, Any], charm: str, name: str, where: str
    ) -> tuple[Path, Release | None] | None:
        """The charm that a name means in the store."""
        before = len(self.problems)
        found = _URL.fullmatch(charm)
        if not found or found["schema"] not in (None, "ch"):
            self.complain(
                f"{where}.charm", f'invalid charm URL in application "{name}": "{charm}"'
            )
            return None
        if _REVISION.fullmatch(found["name"]):
            self.complain(
                f"{where}.charm",
                f'cannot specify revision in "ch:{found["name"]}", please use revision',
            )
        revision, channel = body.get("revision"), body.get("channel")
        if revision is not None and (isinstance(revision, bool) or not isinstance(revision, int)):
            self.complain(f"{where}.revision", f"expected a whole number, got {brief(revision)}")
        elif revision is not None and not channel:
            self.complain(
                f"{where}.revision",
                f'application "{name}" with a revision requires a channel for future upgrades, '
                "please use channel",
            )
        if isinstance(revision, int) and revision < 0:
            self.complain(
                f"{where}.revision",
                f'the revision for application "{name}" must be zero or greater',
            )
        if channel is not None and not isinstance(channel, str):
            self.complain(f"{where}.channel", f"expected a channel, got {brief(channel)}")
        if len(self.problems) > before:
            return None
        if self.store is None:
            self.complain(
                f"{where}.charm",
                f'"{charm}" is on Charmhub, which minijuju does not fetch from; name a local '
                "charm by a path that starts with . or /, or a folder of charms by --charm-store",
            )
            return None
        try:
            release = self.store.release(found["name"], channel, revision)
        except JujuError as error:
            self.complain(f"{where}.charm", str(error))
            return None
        return release.path, release

    def charm(self, path: Path, where: str) -> Charm | None:
        try:
            charm = Charm.load(path)
        except CharmError as error:
            self.complain(f"{where}.charm", str(error))
            return None
        if charm.subordinate:
            self.complain(f"{where}.charm", "subordinate charms are not valid on Kubernetes")
        return charm

    def base(self, body: dict[str, Any], charm: Charm, name: str, where: str) -> str | None:
        series = body.get("series")
        if series and not (isinstance(series, str) and _SERIES.fullmatch(series)):
            self.complain(
                f"{where}.series", f'application "{name}" declares an invalid series "{series}"'
            )
        text = body.get("base") or self.data.get("default-base")
        if not text:
            release = channels.SERIES.get(str(series or self.data.get("series")))
            return f"ubuntu@{release}" if release else None
        base = self.parsed_base(text)
        if base is None:
            if body.get("base"):
                self.complain(
                    f"{where}.base", f'application "{name}" declares an invalid base "{text}"'
                )
            return None
        supported = [str(item) for item in charm.bases]
        if body.get("base") and supported and base not in supported:
            self.complain(
                f"{where}.base",
                f'base "{text}" not supported by charm, the charm supported bases are: '
                + ", ".join(supported),
            )
        return base

    # Settings.

    def bindings(self, body: dict[str, Any], charm: Charm, name: str, where: str) -> None:
        known = {"", *charm.provides, *charm.requires, *charm.peers, *charm.extra_bindings}
        for endpoint, space in (body.get("bindings") or {}).items():
            at = f"{where}.bindings.{endpoint}"
            if endpoint not in known:
                self.complain(
                    at,
                    f'application "{name}" wants to bind endpoint "{endpoint}" to space '
                    f'"{space}", but the endpoint is not defined by the charm',
                )
            if space not in ("", None, "alpha"):
                self.complain(at, f'space "{space}" not found')

    def options(
        self, body: dict[str, Any], charm: Charm, name: str, where: str
    ) -> dict[str, options.Value]:
        found: dict[str, options.Value] = {}
        for key, value in (body.get("options") or {}).items():
            at = f"{where}.options.{key}"
            if key in APPLICATION_KEYS and key not in charm.options:
                found[key] = documents.scalar(value)
            elif key not in charm.options:
                self.complain(
                    at,
                    f'cannot validate application "{name}": configuration option "{key}" not '
                    f'found in charm "{charm.name}"',
                )
            elif value is not None:
                # As Juju's library: text will do for whole numbers and truth, not for fractions.
                option = charm.options[key]
                fit = options.check if option.type == "float" else options.coerce
                try:
                    found[key] = fit(option, value)
                except options.OptionError as error:
                    self.complain(at, f'cannot validate application "{name}": {error}')
        return found

    def resources(
        self,
        body: dict[str, Any],
        charm: Charm,
        release: Release | None,
        name: str,
        where: str,
    ) -> dict[str, str]:
        found = {}
        if release is not None:
            found = {
                key: place
                for key, (_, place) in release.resources.items()
                if key in charm.resources
            }
        for key, value in (body.get("resources") or {}).items():
            at = f"{where}.resources.{key}"
            if isinstance(value, bool) or not isinstance(value, int | str):
                self.complain(at, f'resource revision "{name}" is not int or string')
            elif key not in charm.resources:
                self.complain(at, f'charm "{charm.name}" has no resource "{key}"')
            elif isinstance(value, int):
                self.stored_resource(found, key, value, release, at)
            elif value.startswith("/") and not os.path.exists(value):
                self.complain(at, f"{value} does not exist")
            elif not value or (charm.resources[key].type == "file" and value[0] != "/"):
                self.complain(at, f'expected a path that starts with . or /, got "{value}"')
            elif value[0] != "/" and self.store is not None:
                found[key] = self.store.image(value)
            else:
                found[key] = value
        return found

    def stored_resource(
        self, found: dict[str, str], key: str, revision: int, release: Release | None, at: str
    ) -> None:
        if release is None or self.store is None:
            self.complain(
                at, "a revision means a charm store's resource; this charm is local: give a path"
            )
            return
        try:
            found[key] = self.store.entry(release.name).resource(key, revision)
        except JujuError as error:
            self.complain(at, str(error))

    def constraints(self, body: dict[str, Any], name: str, where: str) -> str:
        text = body.get("constraints")
        if text is None:
            return ""
        try:
            return constraints.render(constraints.parse(str(text)))
        except constraints.ConstraintError as error:
            self.complain(
                f"{where}.constraints",
                f'invalid constraints "{text}" in application "{name}": {error}',
            )
            return ""

    def storage(self, body: dict[str, Any], charm: Charm, name: str, where: str) -> dict[str, str]:
        found = {}
        for key, value in (body.get("storage") or {}).items():
            at = f"{where}.storage.{key}"
            if not isinstance(key, str) or not _STORE.fullmatch(key):
                self.complain(at, f'invalid storage name "{key}" in application "{name}"')
                continue
            try:
                directive = constraints.parse_storage(str(value))
                if key not in charm.storage:
                    raise constraints.ConstraintError(
                        f'charm "{charm.name}" has no store called "{key}"'
                    )
                constraints.check_storage(charm.storage[key], directive)
                found[key] = str(value)
            except constraints.ConstraintError as error:
                self.complain(at, f'invalid storage "{key}" in application "{name}": {error}')
        return found

    def annotations(self, body: dict[str, Any], where: str) -> dict[str, str]:
        found = {}
        for key, value in (body.get("annotations") or {}).items():
            if isinstance(value, dict | list) or not isinstance(key, str):
                self.complain(f"{where}.annotations.{key}", f"expected text, got {brief(value)}")
            else:
                found[key] = documents.scalar(value)
        return found


def check(data: dict[str, Any], store: CharmStore | None, ignored: tuple[str, ...]) -> Bundle:
    """Hold a merged bundle against Juju's rules and its charms.

    Args:
        data: The bundle; its paths are absolute.
        store: Has the charms that are named without a path.
        ignored: What was left out while reading.

    Raises:
        BundleError: something is wrong; has all problems.
    """
    return _Checker(data, store, ignored).bundle()
