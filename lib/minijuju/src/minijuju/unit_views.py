"""What a cluster is to show of applications and their units (see `kubernetes_units`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from minijuju import applications, models, units
from minijuju.house import load_charm
from minijuju.state import State
from minijuju.uniter import Life

APPLICATION = "app.kubernetes.io/name"
MANAGED_BY = "app.kubernetes.io/managed-by"
UNTOUCHED = "untouched"
"""The digest of a template that nobody has changed."""

NO_IMAGE = "ubuntu:24.04"
"""What is shown as the image of a container that names no resource."""


@dataclass(frozen=True, slots=True)
class UnitView:
    """One unit that has a pod; `generation` counts its pods."""

    name: str
    address: str
    generation: int
    ready: bool

    @property
    def pod(self) -> str:
        """The pod's name."""
        return self.name.replace("/", "-")


@dataclass(frozen=True, slots=True)
class ApplicationView:
    """One application.

    Attributes:
        containers: the workload containers with their images.
        ports: what the units have opened: numbers with TCP or UDP.
        units: those that have a pod.
    """

    model: str
    model_uuid: str
    name: str
    scale: int
    containers: tuple[tuple[str, str], ...]
    ports: tuple[tuple[int, str], ...]
    units: tuple[UnitView, ...]

    @property
    def labels(self) -> dict[str, str]:
        """What its objects are labelled with."""
        return {
            APPLICATION: self.name,
            MANAGED_BY: "juju",
            "model.juju.is/name": self.model,
            "model.juju.is/id": self.model_uuid,
        }


@dataclass(frozen=True, slots=True)
class Template:
    """What the cluster makes pods of, as far as anyone but its owner changes it.

    Attributes:
        model: the model's name.
        application: its name.
        digest: tells one template from another; `UNTOUCHED` if nobody has changed it.
        memory: the limits of containers, in bytes.
    """

    model: str
    application: str
    digest: str
    memory: Mapping[str, int] = field(default_factory=dict)


def every(state: State) -> Iterator[tuple[str, str]]:
    """The applications that have pods: their models' uuids and names."""
    for model in models.every(state):
        if model.life is not Life.ALIVE:
            continue
        for application in applications.every(state, model.uuid):
            members = units.every(state, model.uuid, application.name)
            if application.life is Life.ALIVE and any(unit.pod for unit in members):
                yield model.uuid, application.name


def view(
    state: State, uuid: str, name: str, coming: UnitView | None = None
) -> ApplicationView | None:
    """What there is to see of an application; None once it goes.

    Args:
        state: the database.
        uuid: the model's.
        name: the application's.
        coming: a unit whose pod is about to start.
    """
    model, application = models.get(state, uuid), applications.find(state, uuid, name)
    if model is None or application is None or application.life is not Life.ALIVE:
        return None
    charm = load_charm(application.charm.path)
    seen = {
        unit.name: UnitView(unit.name, unit.address, unit.pod.version, unit.local.started)
        for unit in units.every(state, uuid, name)
        if unit.pod and unit.boot
    }
    if coming:
        seen[coming.name] = coming
    ports = {
        (port["from"], port["protocol"].upper())
        for unit in units.every(state, uuid, name)
        for port in unit.ports
        if port["from"] > 0
    }
    images = {
        container.name: application.resources.get(container.resource or "", {}).get("reference")
        for container in charm.containers.values()
    }
    return ApplicationView(
        model=model.name,
        model_uuid=uuid,
        name=name,
        scale=application.scale,
        containers=tuple((key, image or NO_IMAGE) for key, image in sorted(images.items())),
        ports=tuple(sorted(ports)),
        units=tuple(seen[key] for key in sorted(seen)),
    )
