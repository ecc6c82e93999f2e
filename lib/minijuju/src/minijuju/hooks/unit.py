"""State, status, ports, storage, network, resources: what concerns the unit itself."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from minijuju import relations, resources, statuses, storages, units
from minijuju.hooks.context import CommandError, Context, alive_units
from minijuju.hooks.output import pairs, render, settings
from minijuju.hooks.parser import parse
from minijuju.uniter import Life

_FORMAT = {"format": "format"}
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp))?|(icmp)")


def state_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """What the charm keeps with the controller."""
    arguments = parse(argv, _FORMAT)
    found: dict[str, str | None] = {**context.own().charm_state, **context.writes.charm_state}
    kept = {key: value for key, value in found.items() if value is not None}
    if arguments.rest and arguments.rest[0] not in ("-", ""):
        return render(kept.get(arguments.one("a key")), arguments.get("format"))
    return render(kept, arguments.get("format"))


def state_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Keep something with the controller."""
    arguments = parse(argv, {"file": "file"})
    changes = settings(stdin, "state-set") if arguments.get("file") else {}
    changes.update(pairs(arguments.rest, "state-set"))
    context.writes.charm_state.update(changes)
    return ""


def state_delete(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Forget what the charm kept under a key."""
    context.writes.charm_state[parse(argv).one("a key")] = None
    return ""


def status_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Set the status of the unit, or as leader of the application, at once."""
    arguments = parse(argv, switches=("application",))
    if not arguments.rest:
        raise CommandError("invalid args, require <status> [message]")
    status, *message = arguments.rest
    if status not in statuses.SETTABLE:
        raise CommandError(f'invalid status "{status}", expected one of {list(statuses.SETTABLE)}')
    if arguments.on("application"):
        if not context.leader():
            raise CommandError("this unit is not the leader")
        entity, kind = context.application_name, "application"
    else:
        entity, kind = context.unit, "workload"
    statuses.put(context.state, context.model.uuid, entity, kind, status, " ".join(message))
    return ""


def _status(status: statuses.Status | None) -> dict[str, Any]:
    found = status or statuses.Status("unknown")
    return {
        "status": found.status,
        "message": found.message,
        "status-data": dict(found.data),
    }


def status_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The status of the unit, or for the leader of the application and its units."""
    arguments = parse(argv, _FORMAT, ("application", "include-data"))
    model, form = context.model.uuid, arguments.get("format")
    if not arguments.on("application"):
        own = _status(statuses.get(context.state, model, context.unit, "workload"))
        return render(own if arguments.on("include-data") else own["status"], form)
    if not context.leader():
        raise CommandError("this unit is not the leader")
    members = {
        unit.name: statuses.get(context.state, model, unit.name, "workload")
        or statuses.Status("unknown")
        for unit in alive_units(context)
    }
    whole = statuses.get(context.state, model, context.application_name, "application")
    whole = whole or statuses.derived(members.values())
    shown = {
        "application-status": {
            **_status(whole),
            "units": {name: _status(status) for name, status in members.items()},
        },
        "units": {name: _status(status) for name, status in members.items()},
    }
    return render(shown if arguments.on("include-data") else whole.status, form)


def _port(text: str) -> dict[str, Any]:
    match = _PORTS.fullmatch(text)
    if not match:
        raise CommandError(
            f'expected <port>[/<protocol>] or <from>-<to>[/<protocol>], got "{text}"'
        )
    if match[4]:
        return {"protocol": "icmp", "from": -1, "to": -1}
    low = int(match[1])
    high = int(match[2] or low)
    if not 1 <= low <= high <= 65535:
        raise CommandError(f'port range "{text}" not valid')
    return {"protocol": match[3] or "tcp", "from": low, "to": high}


def port_text(port: Mapping[str, Any]) -> str:
    """`80/tcp`, `80-90/udp` or `icmp`."""
    if port["protocol"] == "icmp":
        return "icmp"
    span = f"{port['from']}" if port["from"] == port["to"] else f"{port['from']}-{port['to']}"
    return f"{span}/{port['protocol']}"


def _port_change(context: Context, argv: Sequence[str], *, opened: bool) -> str:
    arguments = parse(argv, {"endpoints": "endpoints", "format": "format"})
    port = _port(arguments.one("a port or a range of ports"))
    names = [name for name in arguments.get("endpoints").split(",") if name]
    for name in names:
        if name not in context.charm.endpoints and name not in context.charm.extra_bindings:
            raise CommandError(f'endpoint "{name}" not found')
    context.writes.ports.extend((opened, {"endpoint": name, **port}) for name in names or [""])
    return ""


def open_port(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Open a port or a range of ports."""
    return _port_change(context, argv, opened=True)


def close_port(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Close a port or a range of ports."""
    return _port_change(context, argv, opened=False)


def opened_ports(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The open ports."""
    arguments = parse(argv, _FORMAT, ("endpoints",))
    grouped: dict[str, list[str]] = {}
    for port in context.ports():
        grouped.setdefault(port_text(port), []).append(port["endpoint"] or "*")
    shown = [
        f"{text} ({', '.join(names)})" if arguments.on("endpoints") else text
        for text, names in grouped.items()
    ]
    return render(shown, arguments.get("format"))


def _storages(context: Context) -> list[storages.Storage]:
    """What is attached, with what the hook at hand is about."""
    current = context.hook.storage if context.hook else ""
    return [
        storage
        for storage in storages.every(context.state, context.model.uuid, context.unit)
        if storage.id in context.local.storages or storage.id == current
    ]


def storage_list(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The storages that are attached."""
    arguments = parse(argv, _FORMAT)
    name = arguments.rest[0] if arguments.rest else ""
    found = [one.id for one in _storages(context) if name in ("", one.name)]
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
        raise CommandError("no storage id specified")
    for storage in _storages(context):
        if storage.id == identity:
            shown = {"kind": "filesystem", "location": storage_location(context, storage)}
            key = arguments.rest[0] if arguments.rest else ""
            if key and key not in shown:
                raise CommandError(f'invalid storage attribute "{key}"')
            return render(shown[key] if key else shown, arguments.get("format"))
    raise CommandError(f'storage "{identity}" not found')


def storage_add(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Ask for more storage."""
    arguments = parse(argv)
    if not arguments.rest:
        raise CommandError("storage add requires a storage directive")
    for item in arguments.rest:
        name, _, count = item.partition("=")
        declared = context.charm.storage.get(name)
        if declared is None:
            raise CommandError(f'charm storage "{name}" not found')
        if count and (not count.isdecimal() or not 0 < int(count) <= 100):
            raise CommandError(f'storage count "{count}" not valid')
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
    binding = arguments.one("an endpoint name")
    if arguments.get("relation"):
        context.relation(arguments.get("relation"))
    if binding not in context.charm.endpoints and binding not in context.charm.extra_bindings:
        raise CommandError(f'no network config found for binding "{binding}"')
    bind, ingress = addresses(context)
    for flag, value in (
        ("bind-address", bind),
        ("primary-address", bind),
        ("ingress-address", ingress),
        ("egress-subnets", f"{ingress}/32"),
    ):
        if arguments.on(flag):
            return render(value, arguments.get("format"))
    address = {"hostname": "", "value": bind, "cidr": f"{bind}/32"}
    shown = {
        "bind-addresses": [{"mac-address": "", "interface-name": "lo", "addresses": [address]}],
        "egress-subnets": [f"{ingress}/32"],
        "ingress-addresses": [ingress],
    }
    return render(shown, arguments.get("format") or "yaml")


def addresses(context: Context) -> tuple[str, str]:
    """The unit's own address and the one that others reach it at."""
    own = context.own().address
    return own, context.application().address or own


def unit_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The unit's private or public address."""
    arguments = parse(argv, _FORMAT)
    key = arguments.one("an attribute")
    if key not in ("private-address", "public-address"):
        raise CommandError(f'unknown attribute "{key}"')
    own, ingress = addresses(context)
    return render(own if key == "private-address" else ingress, arguments.get("format"))


def is_leader(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Whether the unit leads."""
    return render(context.leader(), parse(argv, _FORMAT).get("format"))


def config_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The configuration, or one option's value."""
    arguments = parse(argv, _FORMAT, ("a", "all"))
    found = context.settings()
    if arguments.on("a") or arguments.on("all"):
        found = {name: found.get(name) for name in context.charm.options}
    if arguments.rest:
        return render(found.get(arguments.one("an option")), arguments.get("format"))
    return render(found, arguments.get("format"))


def goal_state(context: Context, argv: Sequence[str], stdin: str) -> str:
    """What there is and shall be: the units, and the other side of every relation."""
    arguments = parse(argv, _FORMAT)
    model = context.model.uuid

    def members(application: str, prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for unit in units.every(context.state, model, application):
            status = statuses.get(context.state, model, unit.name, "workload")
            shown = status.status if status else "waiting"
            if unit.life is not Life.ALIVE:
                shown = "dying"
            since = status.since if status else unit.created
            found[unit.name] = {"status": shown, "since": _since(since)}
        return found

    joined: dict[str, dict[str, Any]] = {}
    for relation in relations.every(context.state, model, context.application_name):
        if relation.peer:
            continue
        other = relation.other(context.application_name).application
        status = "joined" if relation.life is Life.ALIVE else "dying"
        entry = joined.setdefault(relation.end(context.application_name).endpoint, {})
        entry[other] = {"status": status, "since": _since(relation.created)}
        entry.update(members(other))
    shown = {"units": members(context.application_name), "relations": joined}
    return render(shown, arguments.get("format") or "yaml")


def _since(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(moment))


def resource_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The path of a resource's file; for an image, of a file that says where it is."""
    name = parse(argv).one("a resource name")
    if name not in context.charm.resources:
        raise CommandError(f'could not download resource: resource "{name}" not found')
    attached = context.application().resources.get(name)
    if attached is None:
        raise CommandError(f'could not download resource: resource "{name}" not found')
    return f"{resources.place(context.folder, context.charm.resources[name], attached)}\n"


def application_version_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Say which version of the workload runs."""
    from minijuju import applications

    version = parse(argv).one("a version")
    with context.state.transaction():
        applications.update(context.state, context.application(), version=version)
    return ""


def juju_log(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Write to the model's log."""
    arguments = parse(argv, {"l": "level", "log-level": "level", "format": "format"}, ("debug",))
    if not arguments.rest:
        raise CommandError("no message specified")
    level = "DEBUG" if arguments.on("debug") else arguments.get("level", "INFO")
    prefix = ""
    if context.hook and context.hook.relation >= 0:
        prefix = f"{context.hook.endpoint}:{context.hook.relation}: "
    context.log(level, "juju-log", prefix + " ".join(arguments.rest))
    return ""


def action_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The action's parameters, or one of them."""
    arguments = parse(argv, _FORMAT)
    if context.task is None:
        raise CommandError("not running an action")
    value: Any = dict(context.task.params)
    if arguments.rest:
        for part in arguments.one("a key").split("."):
            value = value.get(part) if isinstance(value, dict) else None
    return render(value, arguments.get("format"))


_RESULT = re.compile(r"[a-z0-9](([a-z0-9.-]*[a-z0-9])|[a-z0-9]*)")
_RESERVED = ("stdout", "stdout-encoding", "stderr", "stderr-encoding")


def action_set(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Add to the action's results."""
    if context.task is None:
        raise CommandError("not running an action")
    for key, value in pairs(parse(argv).rest, "action-set").items():
        if key in _RESERVED:
            raise CommandError(f'cannot set reserved action key "{key}"')
        if not _RESULT.fullmatch(key):
            raise CommandError(
                f'key "{key}" must start and end with lowercase alphanumeric, and contain only'
                " lowercase alphanumeric, hyphens and periods"
            )
        context.results[key] = value
    return ""


def action_fail(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Mark the action as failed; what it wrote is kept all the same."""
    if context.task is None:
        raise CommandError("not running an action")
    words = parse(argv).rest
    context.failure = (
        " ".join(words) or "action failed without reason given, check action for errors"
    )
    return ""


def action_log(context: Context, argv: Sequence[str], stdin: str) -> str:
    """Tell the one who waits for the action how it goes."""
    from minijuju import logs, tasks

    if context.task is None:
        raise CommandError("not running an action")
    words = parse(argv).rest
    if not words:
        raise CommandError("no message specified")
    with context.state.transaction():
        tasks.log(context.state, context.task, logs.clean(" ".join(words)))
        context.state.touch(context.model.uuid)
    return ""


def not_on_kubernetes(context: Context, argv: Sequence[str], stdin: str) -> str:
    """A reboot makes no sense in a pod."""
    raise CommandError("juju-reboot is not supported on Kubernetes")


def credential_get(context: Context, argv: Sequence[str], stdin: str) -> str:
    """The cloud's credential is not handed out; charms use their service account."""
    raise CommandError("credential-get is not supported; use the pod's service account")


def parameters(params: Mapping[str, Any]) -> str:
    """Parameters as text, for messages."""
    return json.dumps(dict(params), sort_keys=True)
