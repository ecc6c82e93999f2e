"""What a container shall run, and how it is brought to run exactly that."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import ops


@dataclass(frozen=True, slots=True)
class File:
    """A file in the workload's container, readable by its owner alone.

    Attributes:
        path: absolute.
        content: the text; may be secret.
        restart: True if the services must restart to see a change.
    """

    path: str
    content: str
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """The desired state of one container.

    Attributes:
        layer: services and checks, as Pebble takes them; complete, no environment left out.
        files: the files beside it.
        ports: the TCP ports that clients may reach.
        halt: why nothing must run in this unit, or None if it may.
    """

    layer: ops.pebble.LayerDict
    files: tuple[File, ...] = ()
    ports: tuple[int, ...] = ()
    halt: str | None = None


def _halted(layer: ops.pebble.LayerDict) -> ops.pebble.Layer:
    """Give the same layer with nothing that runs.

    The readiness check stays and fails, so that Kubernetes sends nobody here; the liveness check
    goes, so that it does not restart the container for it.
    """
    halted = ops.pebble.Layer(copy.deepcopy(layer))
    for service in halted.services.values():
        service.startup = "disabled"
        service.on_check_failure = {}
    for check in halted.checks.values():
        if check.level is ops.pebble.CheckLevel.ALIVE:
            check.startup = ops.pebble.CheckStartup.DISABLED
    return halted


def _is_written(container: ops.Container, file: File) -> bool:
    try:
        (found,) = container.list_files(file.path, itself=True)
    except ops.pebble.APIError as error:
        if error.code == 404:
            return False
        raise
    if found.permissions != 0o600:
        return False
    with container.pull(file.path) as opened:
        content: str = opened.read()
    return content == file.content


def _push(container: ops.Container, file: File) -> bool:
    """Write a file unless it is as it should be; tell whether it was written."""
    if _is_written(container, file):
        return False
    # Pebble writes a temporary file with this mode and renames it: never readable by others,
    # never half there.
    container.push(file.path, file.content, permissions=0o600, make_dirs=True)
    return True


def _includes(plan: ops.pebble.Plan, wanted: ops.pebble.Layer) -> bool:
    """Tell whether a plan has all of a layer; Pebble fills in defaults of checks."""
    for name, service in wanted.services.items():
        if name not in plan.services or plan.services[name] != service:
            return False
    for name, check in wanted.checks.items():
        if name not in plan.checks:
            return False
        found = plan.checks[name].to_dict()
        if any(found.get(key) != value for key, value in check.to_dict().items()):
            return False
    return True


def apply(container: ops.Container, workload: Workload, label: str) -> bool:
    """Bring a container to run the workload; tell whether anything was started or restarted.

    A halted workload is stopped, and its files are left alone.

    Nothing is touched that is already as it should be, so that an event that changes nothing
    disturbs nothing.

    Raises:
        ops.pebble.ChangeError: a service did not start.
    """
    stale = False
    if workload.halt is None:
        for file in workload.files:
            stale |= _push(container, file) and file.restart
    wanted = ops.pebble.Layer(workload.layer) if workload.halt is None else _halted(workload.layer)
    changed = not _includes(container.get_plan(), wanted)
    if changed:
        container.add_layer(label, wanted, combine=True)
    running = {name for name, info in container.get_services().items() if info.is_running()}
    if workload.halt is not None:
        if running:
            container.stop(*running)
        if idle := [n for n, c in wanted.checks.items() if c.level is ops.pebble.CheckLevel.ALIVE]:
            container.stop_checks(*idle)
        return False
    enabled = list(wanted.services)
    replanned = changed or not running.issuperset(enabled)
    if replanned:
        container.replan()
    # What has not changed in the plan runs on over that, with the files of before.
    old = running.intersection(enabled)
    if stale and old:
        container.restart(*sorted(old))
    return replanned or bool(stale and old)
