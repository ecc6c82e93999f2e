"""The status document as tables and lines: pure functions from JSON to text."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .output import STATUS_COLOURS, paint, plain, table

Document = Mapping[str, Any]


def tabular(
    status: Document, *, colour: bool = False, relations: bool = False, storage: bool = False
) -> str:
    """What `status` prints by default."""
    sections = [_model(status), _saas(status, colour)]
    applications = status.get("applications") or {}
    if not applications and not status.get("application-endpoints"):
        name = (status.get("model") or {}).get("name", "")
        return f'{sections[0]}\nModel "admin/{name}" is empty.\n'
    if applications:
        sections.append(_applications(applications, colour))
    if any(application.get("units") for application in applications.values()):
        sections.append(_units(applications, colour))
    sections.append(_offers(status, colour))
    if relations:
        sections.append(_relations(status, colour))
    if storage:
        sections.append(_storage(status.get("storage") or {}, colour))
    return "\n".join(section for section in sections if section)


def _model(status: Document) -> str:
    model = status.get("model") or {}
    timestamp = (status.get("controller") or {}).get("timestamp", "")
    rows = [
        ["Model", "Controller", "Cloud/Region", "Version", "Timestamp"],
        [
            model.get("name", ""),
            model.get("controller", ""),
            "/".join(part for part in (model.get("cloud"), model.get("region")) if part),
            model.get("version", ""),
            timestamp,
        ],
    ]
    notice = (model.get("model-status") or {}).get("message")
    if notice:
        for row, text in zip(rows, ("Notes", plain(notice)), strict=True):
            row.append(text)
    return table(rows)


def _saas(status: Document, colour: bool) -> str:
    found = status.get("application-endpoints") or {}
    if not found:
        return ""
    rows = [["SAAS", "Status", "Store", "URL"]]
    colours: list[list[str | None]] = [["bold"] * 4]
    store = (status.get("model") or {}).get("controller", "")
    for name, saas in sorted(found.items()):
        state = (saas.get("application-status") or {}).get("current", "")
        rows.append([name, state, store, saas.get("url", "")])
        colours.append([None, STATUS_COLOURS.get(state), None, None])
    return table(rows, colours if colour else ())


def _offers(status: Document, colour: bool) -> str:
    found = status.get("offers") or {}
    if not found:
        return ""
    rows = [["Offer", "Application", "Charm", "Connected", "Endpoint", "Interface", "Role"]]
    for name, offer in sorted(found.items()):
        counts = (offer.get("active-connected-count", 0), offer.get("total-connected-count", 0))
        connected = f"{counts[0]}/{counts[1]}"
        words = [name, offer.get("application", ""), offer.get("charm", ""), connected]
        for endpoint, end in (offer.get("endpoints") or {}).items():
            rows.append([*words, endpoint, end.get("interface", ""), end.get("role", "")])
    colours: list[list[str | None]] = [["bold"] * 7]
    colours += [[None] * 7 for _ in rows[1:]]
    return table(rows, colours if colour else ())


def _applications(applications: Mapping[str, Document], colour: bool) -> str:
    rows = [
        [
            "App",
            "Version",
            "Status",
            "Scale",
            "Charm",
            "Channel",
            "Rev",
            "Address",
            "Exposed",
            "Message",
        ]
    ]
    colours: list[list[str | None]] = [["bold"] * 10]
    for name, application in sorted(applications.items()):
        status = application.get("application-status") or {}
        state = status.get("current", "")
        units = application.get("units") or {}
        wanted = application.get("scale", len(units))
        have = len(units)
        rows.append(
            [
                name,
                plain(application.get("version", "")),
                state if application.get("life", "") in ("", "alive") else "terminating",
                str(wanted) if have == wanted else f"{have}/{wanted}",
                application.get("charm-name", ""),
                application.get("charm-channel", ""),
                str(application.get("charm-rev", "")),
                application.get("address", ""),
                "yes" if application.get("exposed") else "no",
                plain(status.get("message", "")),
            ]
        )
        shade = STATUS_COLOURS.get(state)
        scale = None if have == wanted else "yellow"
        colours.append([None, None, shade, scale, None, None, None, None, None, _loud(state)])
    return table(rows, colours if colour else ())


def _units(applications: Mapping[str, Document], colour: bool) -> str:
    rows = [["Unit", "Workload", "Agent", "Address", "Ports", "Message"]]
    colours: list[list[str | None]] = [["bold"] * 6]
    for name, unit in _sorted_units(applications):
        workload = unit.get("workload-status") or {}
        agent = unit.get("juju-status") or {}
        message = plain(workload.get("message") or "")
        if agent.get("message") and agent.get("current") != "idle":
            message = f"({plain(agent['message'])}) {message}".rstrip()
        rows.append(
            [
                name + ("*" if unit.get("leader") else ""),
                workload.get("current", ""),
                agent.get("current", ""),
                unit.get("address", ""),
                _ports(unit.get("open-ports") or []),
                message,
            ]
        )
        colours.append(
            [
                None,
                STATUS_COLOURS.get(workload.get("current", "")),
                STATUS_COLOURS.get(agent.get("current", "")),
                None,
                None,
                _loud(workload.get("current", "")),
            ]
        )
    return table(rows, colours if colour else ())


def _loud(state: str) -> str | None:
    """The colour of a message: only what asks for attention has one."""
    return "red" if state in ("error", "blocked") else None


def _sorted_units(applications: Mapping[str, Document]) -> Iterable[tuple[str, Document]]:
    for _, application in sorted(applications.items()):
        units = application.get("units") or {}
        yield from sorted(units.items(), key=lambda item: int(item[0].rpartition("/")[2]))


def _ports(ports: Sequence[str]) -> str:
    """`80,443/tcp` for `["80/tcp", "443/tcp"]`."""
    protocols: dict[str, list[str]] = {}
    for port in ports:
        number, _, protocol = port.partition("/")
        protocols.setdefault(protocol, []).append(number)
    return " ".join(
        f"{','.join(numbers)}/{protocol}" if protocol else ",".join(numbers)
        for protocol, numbers in protocols.items()
    )


def _relations(status: Document, colour: bool) -> str:
    found = pairs(status)
    if not found:
        return ""
    rows = [["Integration provider", "Requirer", "Interface", "Type", "Message"]]
    rows += [[plain(cell) for cell in row] for row in found]
    colours: list[list[str | None]] = [["bold"] * 5]
    colours += [[None, None, None, None, "yellow"] for _ in found]
    return table(rows, colours if colour else ())


def pairs(status: Document) -> list[tuple[str, str, str, str, str]]:
    """Provider, requirer, interface, type (`regular` or `peer`) and message of each relation.

    Juju's document names for each endpoint only the applications it is related to, without
    roles; the controller adds `relations` at the top for this table.
    """
    return sorted(
        (
            entry["provider"],
            entry["requirer"],
            entry["interface"],
            entry["type"],
            entry.get("message", ""),
        )
        for entry in status.get("relations") or []
    )


def storage(document: Document) -> str:
    """What `storage` prints by default."""
    return _storage(document, False, first="Unit")


def filesystems(document: Document) -> str:
    """What `storage --filesystem` prints by default."""
    rows = [["Unit", "Storage ID", "Filesystem", "Provider ID", "Size", "State"]]
    for number, filesystem in sorted((document.get("filesystems") or {}).items()):
        units = (filesystem.get("attachments") or {}).get("units") or {"": None}
        rows += [
            [
                unit,
                filesystem.get("storage", ""),
                number,
                filesystem.get("provider-id", ""),
                f"{filesystem.get('size', 0)} MiB",
                (filesystem.get("status") or {}).get("current", ""),
            ]
            for unit in units
        ]
    return table(rows)


def _storage(storage: Document, colour: bool, first: str = "Storage Unit") -> str:
    details = storage.get("storage") or {}
    if not details:
        return ""
    rows = [[first, "Storage ID", "Type", "Pool", "Size", "Status", "Message"]]
    colours: list[list[str | None]] = [["bold"] * 7]
    sizes = {
        filesystem.get("storage"): filesystem
        for filesystem in (storage.get("filesystems") or {}).values()
    }
    for identifier, entry in sorted(details.items()):
        filesystem = sizes.get(identifier) or {}
        size = filesystem.get("size")
        status = entry.get("status") or {}
        for unit in (entry.get("attachments") or {}).get("units") or {"": None}:
            rows.append(
                [
                    unit,
                    identifier,
                    entry.get("kind", ""),
                    filesystem.get("pool", ""),
                    f"{size} MiB" if size else "",
                    status.get("current", ""),
                    plain(status.get("message", "")),
                ]
            )
            shade = STATUS_COLOURS.get(status.get("current", ""))
            colours.append([None, None, None, None, None, shade, None])
    return table(rows, colours if colour else ())


def line(status: Document) -> str:
    """`status --format line`: every unit on one line."""
    lines = []
    for name, unit in _sorted_units(status.get("applications") or {}):
        agent = (unit.get("juju-status") or {}).get("current", "")
        workload = (unit.get("workload-status") or {}).get("current", "")
        ports = _ports(unit.get("open-ports") or [])
        words = [f"{name}:", unit.get("address", ""), f"(agent:{agent}, workload:{workload})"]
        lines.append(" ".join(word for word in [*words, ports] if word))
    return "".join(f"- {text}\n" for text in lines)


def short(status: Document) -> str:
    """`status --format oneline`, which is `line` by another name."""
    return line(status)


def select(status: Document, patterns: Sequence[str]) -> dict[str, Any]:
    """The status of only the applications and units that the patterns name.

    A pattern is an application, a unit, or one of these with `*`, or a workload status, as
    Juju's are; an application that is related to a chosen one is not shown.
    """
    if not patterns:
        return dict(status)
    chosen: dict[str, Any] = {}
    for name, application in (status.get("applications") or {}).items():
        units = application.get("units") or {}
        if any(_matches(name, pattern) for pattern in patterns):
            chosen[name] = application
            continue
        kept = {
            unit: body
            for unit, body in units.items()
            if any(
                _matches(unit, pattern)
                or pattern == (body.get("workload-status") or {}).get("current")
                for pattern in patterns
            )
        }
        if kept:
            chosen[name] = {**application, "units": kept}
    selected = {**status, "applications": chosen}
    if "relations" in status:
        selected["relations"] = [
            entry
            for entry in status["relations"]
            if entry["provider"].partition(":")[0] in chosen
            or entry["requirer"].partition(":")[0] in chosen
        ]
    if status.get("storage"):
        selected["storage"] = _select_storage(status["storage"], chosen)
    return selected


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)


def _select_storage(storage: Document, applications: Mapping[str, Document]) -> dict[str, Any]:
    units = {
        unit for application in applications.values() for unit in application.get("units") or {}
    }
    details = {
        identifier: entry
        for identifier, entry in (storage.get("storage") or {}).items()
        if units & set((entry.get("attachments") or {}).get("units") or {})
    }
    filesystems = {
        identifier: entry
        for identifier, entry in (storage.get("filesystems") or {}).items()
        if entry.get("storage") in details
    }
    return {**storage, "storage": details, "filesystems": filesystems}


def models(document: Document, *, colour: bool = False, uuid: bool = False) -> str:
    """What `models` prints by default."""
    found = document.get("models") or []
    current = document.get("current-model")
    rows = [["Model", "Cloud/Region", "Type", "Status", "Units", "Access", "Last connection"]]
    for model in found:
        name = model.get("short-name", "")
        rows.append(
            [
                f"{name}*" if name == current else name,
                model.get("cloud", ""),
                model.get("type", ""),
                (model.get("status") or {}).get("current", ""),
                str(model.get("unit-count", "-")),
                "admin",
                "now",
            ]
        )
    header = f"Controller: {paint('minijuju', 'bold', colour)}\n\n"
    if not found:
        return f"{header}There are no models. Add one: minijuju add-model NAME\n"
    if uuid:
        for row, text in zip(rows, ["UUID", *(one["model-uuid"] for one in found)], strict=True):
            row.insert(1, text)
    return header + table(rows)
