"""Applications: the table of them, their charm, options, resources and leader."""

from __future__ import annotations

import json
import platform
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minijuju.errors import NotFoundError
from minijuju.state import State
from minijuju.uniter import Life

APPLICATION_KEYS: Mapping[str, str] = {
    "juju-external-hostname": "the external hostname of an exposed application",
}
"""Keys of the configuration that Juju gives every application of a Kubernetes model."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """This machine's, as Juju calls it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


@dataclass(frozen=True, slots=True)
class CharmRef:
    """Which charm an application runs.

    Attributes:
        name: the charm's own name.
        path: the unpacked, immutable copy in the controller's store.
        source: what the user named.
        revision: counts the local charms of that name, from 0; a store's charm has the store's.
        base: `ubuntu@24.04`.
        channel: the store's; empty for a local charm.
    """

    name: str
    path: str
    source: str
    revision: int
    base: str
    channel: str = ""

    @property
    def local(self) -> bool:
        """Whether it came from no store."""
        return not self.channel

    @property
    def url(self) -> str:
        """The name Juju gives a charm."""
        if self.local:
            return f"local:{self.name}-{self.revision}"
        return f"ch:{architecture()}/{self.name}-{self.revision}"


@dataclass(frozen=True, slots=True)
class Application:
    """One application; `config` holds what was set, without the defaults.

    Attributes:
        charm_version: counts up with every refresh and attached resource.
        resources: by name, `{"type": "oci-image", "reference": ...}` or
            `{"type": "file", "path": ...}`.
        storage: by name, `{"count": 1, "size": bytes}`.
        leader: the unit that leads; empty if there is none.
        address: the service address.
        settings: what is set of `APPLICATION_KEYS`.
        template: the digest of the pods' template in the cluster; empty before anyone changed it.
        memory: the limits that it gives containers, in bytes.
    """

    model: str
    name: str
    life: Life
    charm: CharmRef
    charm_version: int
    config: Mapping[str, Any]
    trust: bool
    resources: Mapping[str, Mapping[str, Any]]
    storage: Mapping[str, Mapping[str, Any]]
    constraints: Mapping[str, Any]
    scale: int
    leader: str
    version: str
    address: str
    created: float
    destroy_storage: bool
    exposed: bool
    settings: Mapping[str, str]
    annotations: Mapping[str, str]
    template: str
    memory: Mapping[str, int]

    def memory_limit(self, container: str) -> int | None:
        """What a workload container may take, in bytes; None if nobody bounds it.

        A limit in the cluster's template is for its container; the constraint `mem` is for each,
        as Juju gives it.
        """
        constraint = int(self.constraints.get("mem") or 0) * 1024**2
        return self.memory.get(container) or constraint or None

    @property
    def charm_path(self) -> Path:
        """The folder with the charm."""
        return Path(self.charm.path)


def _application(row: sqlite3.Row) -> Application:
    return Application(
        model=row["model"],
        name=row["name"],
        life=Life(row["life"]),
        charm=CharmRef(**json.loads(row["charm"])),
        charm_version=row["charm_version"],
        config=json.loads(row["config"]),
        trust=bool(row["trust"]),
        resources=json.loads(row["resources"]),
        storage=json.loads(row["storage"]),
        constraints=json.loads(row["constraints"]),
        scale=row["scale"],
        leader=row["leader"],
        version=row["version"],
        address=row["address"],
        created=row["created"],
        destroy_storage=bool(row["destroy_storage"]),
        exposed=bool(row["exposed"]),
        settings=json.loads(row["settings"]),
        annotations=json.loads(row["annotations"]),
        template=row["template"],
        memory=json.loads(row["memory"]),
    )


def every(state: State, model: str) -> list[Application]:
    """All applications of a model by name."""
    return [
        _application(row)
        for row in state.rows("SELECT * FROM application WHERE model = ? ORDER BY name", model)
    ]


def find(state: State, model: str, name: str) -> Application | None:
    """The application, or None."""
    row = state.row("SELECT * FROM application WHERE model = ? AND name = ?", model, name)
    return _application(row) if row else None


def get(state: State, model: str, name: str) -> Application:
    """The application.

    Raises:
        NotFoundError: there is none.
    """
    found = find(state, model, name)
    if found is None:
        raise NotFoundError(f"application {name!r} not found")
    return found


def add(
    state: State,
    model: str,
    name: str,
    *,
    charm: CharmRef,
    config: Mapping[str, Any],
    trust: bool,
    resources: Mapping[str, Any],
    storage: Mapping[str, Any],
    constraints: Mapping[str, Any],
    address: str,
) -> Application:
    """Record a new application, without units."""
    state.execute(
        "INSERT INTO application (model, name, life, charm, charm_version, config, trust,"
        " resources, storage, constraints, scale, address, created)"
        " VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, 0, ?, ?)",
        model,
        name,
        Life.ALIVE,
        json.dumps(asdict(charm)),
        json.dumps(dict(config)),
        int(trust),
        json.dumps(dict(resources)),
        json.dumps(dict(storage)),
        json.dumps(dict(constraints)),
        address,
        time.time(),
    )
    state.touch(model)
    return get(state, model, name)


_JSON = ("config", "resources", "storage", "constraints", "settings", "annotations", "memory")
_PLAIN = (
    "life",
    "trust",
    "scale",
    "leader",
    "version",
    "destroy_storage",
    "charm_version",
    "exposed",
    "template",
)


def update(state: State, application: Application, **values: Any) -> None:
    """Change columns of an application; what units must know of wakes them."""
    for key, value in values.items():
        if key == "charm":
            value = json.dumps(asdict(value))
        elif key in _JSON:
            value = json.dumps(dict(value))
        elif key not in _PLAIN:
            raise KeyError(key)
        elif isinstance(value, bool):
            value = int(value)
        state.execute(
            f"UPDATE application SET {key} = ? WHERE model = ? AND name = ?",  # noqa: S608 - key is one of ours
            value,
            application.model,
            application.name,
        )
    if set(values) != {"version"}:
        state.touch(application.model)


def remove(state: State, application: Application) -> None:
    """Forget the application with its statuses."""
    state.execute(
        "DELETE FROM application WHERE model = ? AND name = ?", application.model, application.name
    )
    state.execute(
        "DELETE FROM status WHERE model = ? AND entity = ?", application.model, application.name
    )
    state.touch(application.model)
