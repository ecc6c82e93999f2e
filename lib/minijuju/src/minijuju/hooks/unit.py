"""State, status, ports, storage, network, resources: what concerns the unit itself."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from minijuju import crossings, relations, resources, statuses, storages, tasks, units
from minijuju.hooks.context import CommandError, Context, alive_units
from minijuju.hooks.output import pairs, render, settings
from minijuju.hooks.parser import UsageError, parse
from minijuju.uniter import Life
from sandbox.network import LINK

MAX_STATE_KEY, MAX_STATE_VALUE = 256, 64 * 1024
"""Bytes of what a charm may keep with the controller; of all of it, see `context.MAX_STATE`."""
_FORMAT = {"format": "format"}
_STORAGE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*/(?:0|[1-9][0-9]*)")
_COUNT = re.compile(r"[1-9][0-9]{0,2}")
_NUMBER = re.compile(r"[0-9]{1,9}")


def state_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """What the charm keeps with the controller."""
    arguments = parse(argv, _FORMAT, ("strict",))
    arguments.at_most(1)
    found: dict[str, str | None] = {**context.own().charm_state, **context.writes.charm_state}
    kept = {key: value for key, value in found.items() if value is not None}
    key = arguments.rest[0] if arguments.rest else "-"
    if key in ("-", ""):
        return render(kept, arguments.get("format"))
    if arguments.on("strict") and key not in kept:
        raise CommandError(f'"{key}" not found')
    return render(kept.get(key), arguments.get("format"))


def state_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Keep something with the controller."""
    arguments = parse(argv, {"file": "file"})
    overrides = pairs(arguments.rest)
    changes = settings(stdin, "state-set") if arguments.get("file") else {}
    changes.update(overrides)
    for key, value in changes.items():
        for what, words, most in (("key", key, MAX_STATE_KEY), ("value", value, MAX_STATE_VALUE)):
            if len(words.encode()) > most:
                raise CommandError(f"max allowed {what} length ({most}) exceeded")
    context.writes.charm_state.update(changes)
    return ""


def state_delete(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Forget what the charm kept under a key."""
    arguments = parse(argv)
    arguments.at_most(1)
    if arguments.rest and arguments.rest[0]:
        context.writes.charm_state[arguments.rest[0]] = None
    return ""


def status_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Set the status of the unit, or as leader of the application, at once."""
    arguments = parse(argv, switches=("application",))
    if not arguments.rest:
        raise UsageError("invalid args, require <status> [message]")
    status, message = (*arguments.rest, "")[:2]
    if status not in statuses.SETTABLE:
        known = " ".join(statuses.SETTABLE)
        raise UsageError(f'invalid status "{status}", expected one of [{known}]')
    arguments.at_most(2)
    if arguments.on("application"):
        if not context.leader():
            raise CommandError("this unit is not the leader")
        entity, kind = context.application_name, "application"
    else:
        entity, kind = context.unit, "workload"
    statuses.put(context.state, context.model.uuid, entity, kind, status, message)
    return ""


def _status(found: statuses.Status | None, *, data: bool) -> dict[str, Any]:
    status = found or statuses.Status("unknown")
    if not data:
        return {"status": status.status}
    return {
        "status": status.status,
        "message": status.message,
        "status-data": dict(status.data),
    }


def status_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The status of the unit, or for the leader of the application and its units.

    Of the application the units stand in `application-status`, where Juju has them, and beside it.
    """
    arguments = parse(argv, _FORMAT, ("application", "include-data"))
    arguments.at_most(0)
    model, form, data = context.model.uuid, arguments.get("format"), arguments.on("include-data")
    brief = not data and form in ("", "smart")
    if not arguments.on("application"):
        own = _status(statuses.get(context.state, model, context.unit, "workload"), data=data)
        return render(own["status"] if brief else own, form)
    if not context.leader():
        raise CommandError("finding application status: this unit is not the leader")
    members = {
        unit.name: statuses.get(context.state, model, unit.name, "workload")
        or statuses.Status("unknown")
        for unit in alive_units(context)
    }
    whole = statuses.get(context.state, model, context.application_name, "application")
    whole = whole or statuses.derived(members.values())
    if brief:
        return render(whole.status, form)
    shown = {name: _status(status, data=data) for name, status in members.items()}
    answer = {"application-status": {**_status(whole, data=data), "units": shown}, "units": shown}
    return render(answer, form)


def _port(text: str) -> dict[str, Any]:
    """A port by Juju's rules for Kubernetes, where there are no ranges."""
    numbers, _, protocol = text.lower().partition("/")
    if numbers == "icmp":
        return {"protocol": "icmp", "from": -1, "to": -1}
    bounds = numbers.split("-")
    if len(bounds) > 2:
        raise UsageError(f'invalid port range "{numbers}"')
    for bound in bounds:
        if not _NUMBER.fullmatch(bound):
            raise UsageError(f'invalid port "{bound}"')
    low, high = int(bounds[0]), int(bounds[-1])
    protocol = protocol or "tcp"
    if protocol not in ("tcp", "udp"):
        if protocol == "icmp":
            raise UsageError(f'protocol "icmp" doesn\'t support any ports; got "{low}"')
        raise UsageError(f'invalid protocol "{protocol}", expected "tcp", "udp", or "icmp"')
    if low > high:
        raise UsageError(f"invalid port range {low}-{high}/{protocol}")
    if not 1 <= low <= high <= 65535:
        raise UsageError(f"port range bounds must be between 1 and 65535, got {low}-{high}")
    if low != high:
        raise CommandError(
            "port ranges are not supported for k8s applications, please specify a single port"
        )
    return {"protocol": protocol, "from": low, "to": high}


def port_text(port: Mapping[str, Any]) -> str:
    """`80/tcp`, `80-90/udp` or `icmp`."""
    if port["protocol"] == "icmp":
        return "icmp"
    span = f"{port['from']}" if port["from"] == port["to"] else f"{port['from']}-{port['to']}"
    return f"{span}/{port['protocol']}"


def _port_change(context: Context, argv: Sequence[str], *, opened: bool) -> str:
    arguments = parse(argv, {"endpoints": "endpoints", "format": "format"})
    port = _port(arguments.first("no port or range specified"))
    given = arguments.get("endpoints")
    names = [name.strip() for name in given.split(",")] if given else []
    for name in names:
        if name not in context.charm.endpoints and name not in context.charm.extra_bindings:
            raise CommandError(f'endpoint "{name}" not found')
    context.writes.ports.extend((opened, {"endpoint": name, **port}) for name in names or [""])
    return ""


def open_port(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Open a port."""
    return _port_change(context, argv, opened=True)


def close_port(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Close a port."""
    return _port_change(context, argv, opened=False)


def opened_ports(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The open ports."""
    arguments = parse(argv, _FORMAT, ("endpoints",))
    arguments.at_most(0)
    grouped: dict[str, list[str]] = {}
    for port in context.ports():
        grouped.setdefault(port_text(port), []).append(port["endpoint"])
    shown = list(grouped)
    if arguments.on("endpoints"):
        shown = [
            f"{text} ({'*' if '' in names else ', '.join(sorted(names))})"
            for text, names in grouped.items()
        ]
    return render(shown, arguments.get("format"))


def _storages(context: Context) -> dict[str, storages.Storage]:
    """What the unit has, as Juju lists it: also what is not mounted yet, not what was detached."""
    current = context.hook.storage if context.hook else ""
    alive = units.get(context.state, context.model.uuid, context.unit).life is Life.ALIVE
    return {
        storage.id: storage
        for storage in storages.every(context.state, context.model.uuid, context.unit)
        if alive or storage.id in context.local.storages or storage.id == current
    }


def _mounted(context: Context, storage: storages.Storage) -> bool:
    pod = units.get(context.state, context.model.uuid, context.unit).pod
    return pod is not None and storage.id in pod.storages


def storage_list(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The storages that the unit has."""
    arguments = parse(argv, _FORMAT)
    arguments.at_most(1)
    name = arguments.rest[0] if arguments.rest else ""
    found = [one.id for one in _storages(context).values() if name in ("", one.name)]
    return render(found, arguments.get("format"))


def storage_location(context: Context, storage: storages.Storage) -> str:
    """Where the charm container sees a storage."""
    declared = context.charm.storage[storage.name]
    base = declared.location or f"/var/lib/juju/storage/{storage.name}"
    if not declared.location or declared.multiple:
        return f"{base}/{storage.id.rpartition('/')[2]}"
    return base


def storage_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Where a storage is."""
    arguments = parse(argv, {"s": "storage", "format": "format"})
    identity = arguments.get("storage") or (context.hook.storage if context.hook else "")
    if not identity:
        raise UsageError("no storage instance specified")
    arguments.at_most(1)
    if not _STORAGE.fullmatch(identity):
        raise UsageError(f'invalid value "{identity}" for option -s: invalid storage ID')
    storage = _storages(context).get(identity)
    if storage is None or not _mounted(context, storage):
        why = "storage not found" if storage is None else f'storage "{identity}" not provisioned'
        raise CommandError(f'invalid value "{identity}" for option -s: {why}')
    shown = {"kind": "filesystem", "location": storage_location(context, storage)}
    key = arguments.rest[0] if arguments.rest else ""
    if key and key not in shown:
        raise CommandError(f'invalid storage attribute "{key}"')
    return render(shown[key] if key else shown, arguments.get("format"))


def storage_add(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Ask for more storage."""
    arguments = parse(argv)
    if not arguments.rest:
        raise UsageError("storage add requires a storage directive")
    for item in arguments.rest:
        name, _, count = item.partition("=")
        if count and not _COUNT.fullmatch(count):
            raise UsageError(
                f'cannot parse directive for storage "{name}": '
                f"only a count can be specified, got {json.dumps(count)}"
            )
        declared = context.charm.storage.get(name)
        if declared is None:
            raise CommandError(f'charm storage "{name}" not found')
        wanted = context.writes.storages.get(name, 0) + int(count or 1)
        held = [
            one
            for one in storages.every(context.state, context.model.uuid, context.unit)
            if one.name == name
        ]
        if declared.maximum is not None and len(held) + wanted > declared.maximum:
            raise CommandError(
                f'cannot add {wanted} of storage "{name}": at most {declared.maximum} allowed,'
                f" {len(held)} there"
            )
        context.writes.storages[name] = wanted
    return ""


def network_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The addresses of a binding."""
    arguments = parse(
        argv,
        {"r": "relation", "relation": "relation", "format": "format"},
        ("bind-address", "ingress-address", "egress-subnets", "primary-address"),
    )
    binding = arguments.first("no arguments specified")
    if arguments.get("relation"):
        context.relation(arguments.get("relation"))
    known = {*context.charm.endpoints, *context.charm.extra_bindings, "juju-info"}
    if binding not in known:
        raise CommandError(f'no network config found for binding "{binding}"')
    bind, ingress = addresses(context)
    subnets = [f"{ingress}/32"]
    parts = {"bind-address": bind, "ingress-address": ingress, "egress-subnets": subnets}
    asked = {name: value for name, value in parts.items() if arguments.on(name)}
    form = arguments.get("format")
    if arguments.on("primary-address"):
        if asked:
            raise CommandError("--primary-address must be the only flag specified")
        return render(bind, form)
    if asked:
        return render(asked if len(asked) > 1 else next(iter(asked.values())), form)
    address = {"hostname": "", "value": bind, "cidr": f"{bind}/32"}
    link = LINK if context.model.isolated else "lo"
    shown = {
        "bind-addresses": [{"mac-address": "", "interface-name": link, "addresses": [address]}],
        "egress-subnets": subnets,
        "ingress-addresses": [ingress],
    }
    return render(shown, form)


def addresses(context: Context) -> tuple[str, str]:
    """The unit's own address and the one that others reach it at."""
    own = context.own().address
    return own, context.application().address or own


def unit_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The unit's private or public address."""
    arguments = parse(argv, _FORMAT)
    key = arguments.first("no setting specified")
    if key not in ("private-address", "public-address"):
        raise UsageError(f'unknown setting "{key}"')
    own, ingress = addresses(context)
    return render(own if key == "private-address" else ingress, arguments.get("format"))


def is_leader(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Whether the unit leads."""
    arguments = parse(argv, _FORMAT)
    arguments.at_most(0)
    return render(context.leader(), arguments.get("format"))


def config_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The configuration, or one option's value."""
    arguments = parse(argv, _FORMAT, ("a", "all"))
    key = arguments.rest[0] if arguments.rest else ""
    whole = arguments.on("a") or arguments.on("all")
    if key and whole:
        raise UsageError(f'cannot use argument --all together with key "{key}"')
    arguments.at_most(1)
    found = context.settings()
    if key:
        return render(found.get(key), arguments.get("format"))
    if whole:
        found = {name: found.get(name) for name in context.charm.options}
    return render(found, arguments.get("format"))


def goal_state(context: Context, argv: Sequence[str], stdin: str) -> str:
    """What there is and shall be: the units, and the other side of every relation."""
    arguments = parse(argv, _FORMAT)
    arguments.at_most(0)
    model = context.model.uuid

    def members(application: str, model: str = model, alias: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for unit in units.every(context.state, model, application):
            status = statuses.get(context.state, model, unit.name, "workload")
            shown = status.status if status else "waiting"
            if unit.life is not Life.ALIVE:
                shown = "dying"
            since = status.since if status else unit.created
            name = f"{alias or application}/{unit.number}"
            found[name] = {"status": shown, "since": _since(since)}
        return found

    joined: dict[str, dict[str, Any]] = {}
    for relation in relations.every(context.state, model, context.application_name):
        if relation.peer:
            continue
        other = relation.other(context.application_name).application
        entry = joined.setdefault(relation.end(context.application_name).endpoint, {})
        entry[other] = {"status": relation.status, "since": _since(relation.created)}
        twin = crossings.twin(context.state, model, relation.id)
        half = crossings.twin(context.state, twin.model, twin.relation) if twin else None
        if twin and half:
            entry.update(members(half.own, twin.model, other))
        else:
            entry.update(members(other))
    shown = {"units": members(context.application_name), "relations": joined}
    return render(shown, arguments.get("format") or "yaml")


def _since(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(moment))


def resource_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The path of a resource's file; for an image, of a file that says where it is."""
    name = parse(argv).first("missing required resource name")
    attached = context.application().resources.get(name)
    if attached is None or name not in context.charm.resources:
        raise CommandError(f'could not download resource: resource "{name}" not found')
    return str(resources.place(context.folder, context.charm.resources[name], attached))


def application_version_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Say which version of the workload runs."""
    from minijuju import applications

    version = parse(argv).first("no version specified")
    with context.state.transaction():
        applications.update(context.state, context.application(), version=version)
    return ""


def juju_log(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Write to the model's log."""
    arguments = parse(argv, {"l": "level", "log-level": "level", "format": "format"}, ("debug",))
    if not arguments.rest:
        raise UsageError("no message specified")
    level = "DEBUG" if arguments.on("debug") else arguments.get("level", "INFO")
    prefix = ""
    if context.hook and context.hook.relation >= 0:
        prefix = f"{context.hook.endpoint}:{context.hook.relation}: "
    context.log(level, "juju-log", prefix + " ".join(arguments.rest))
    return ""


def action_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The action's parameters, or one of them."""
    arguments = parse(argv, _FORMAT)
    arguments.at_most(1)
    value: Any = dict(_action(context).params)
    for part in arguments.rest[0].split(".") if arguments.rest else ():
        value = value.get(part) if isinstance(value, dict) else None
    return render(value, arguments.get("format"))


def _action(context: Context) -> tasks.Task:
    if context.task is None:
        raise CommandError("not running an action")
    return context.task


_RESULT = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_RESERVED = ("stdout", "stdout-encoding", "stderr", "stderr-encoding")


def action_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Add to the action's results."""
    found: dict[str, str] = {}
    for word in parse(argv).rest:
        key, mark, value = word.partition("=")
        if not mark:
            raise UsageError(f'argument "{word}" must be of the form key...=value')
        for part in key.split("."):
            if not _RESULT.fullmatch(part):
                raise UsageError(
                    f'key "{part}" must start and end with lowercase alphanumeric, and contain'
                    " only lowercase alphanumeric, hyphens and periods"
                )
            if part in _RESERVED:
                raise UsageError(f'cannot set reserved action key "{part}"')
        found[key] = value
    _action(context)
    context.results.update(found)
    return ""


def action_fail(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Mark the action as failed; what it wrote is kept all the same."""
    arguments = parse(argv)
    arguments.at_most(1)
    _action(context)
    missing = "action failed without reason given, check action for errors"
    context.failure = arguments.rest[0] if arguments.rest else missing
    return ""


def action_log(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Tell the one who waits for the action how it goes."""
    from minijuju import logs

    words = parse(argv).rest
    if not words:
        raise UsageError("no message specified")
    task = _action(context)
    with context.state.transaction():
        tasks.log(context.state, task, logs.clean(" ".join(words)))
        context.state.touch(context.model.uuid)
    return ""


def not_on_kubernetes(context: Context, argv: Sequence[str], stdin: str) -> str:
    """A reboot makes no sense in a pod."""
    raise CommandError("juju-reboot is not supported on Kubernetes")
