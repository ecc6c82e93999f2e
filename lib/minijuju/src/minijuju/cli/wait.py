"""`wait-for`: until a query holds for an application, a unit or a model."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from minijuju.errors import NotFoundError

from .query import QueryError, compile_query
from .session import Session
from .verb import CommandError, Parser, UsageError, Verb, duration

TIMEOUT = 600.0
POLL = 0.5

_QUERIES = {
    "application": 'life=="alive" && status=="active"',
    "unit": 'life=="alive" && workload-status=="active"',
    "model": 'life=="alive" && status=="available"',
}


def _options(parser: Parser) -> None:
    parser.add_argument("--query", metavar="QUERY", help="what must hold")
    parser.add_argument(
        "--timeout",
        type=duration,
        default=TIMEOUT,
        metavar="TIME",
        help="how long to wait (default: 10m)",
    )
    parser.add_argument("--summary", action="store_true", help=argparse.SUPPRESS)


def wait_for(session: Session, arguments: argparse.Namespace) -> int:
    """Poll the status until the query holds."""
    kind = arguments.args[0]
    if kind not in _QUERIES:
        if kind == "machine":
            raise CommandError("wait-for machine: a Kubernetes model has no machines")
        raise UsageError(f"wait-for: expected one of {', '.join(_QUERIES)}, got {kind!r}")
    if len(arguments.args) != 2:
        raise UsageError(f"wait-for {kind} needs one name")
    name = arguments.args[1]
    try:
        holds = compile_query(arguments.query or _QUERIES[kind])
    except QueryError as error:
        raise CommandError(f"cannot read the query: {error}") from None
    model = session.short_name(name) if kind == "model" else session.model(arguments.model)
    deadline = time.monotonic() + arguments.timeout
    last = ""
    while True:
        try:
            scope = scope_of(session.call("status", model=model), kind, name)
        except NotFoundError:
            if kind != "model":
                raise
            scope = None
        try:
            if scope is not None and holds(scope):
                break
        except QueryError as error:
            raise CommandError(f"cannot answer the query: {error}") from None
        shown = _shown(kind, name, scope)
        if shown != last:
            session.say(shown)
            last = shown
        if time.monotonic() >= deadline:
            raise CommandError(f'timed out waiting for "{name}" to reach goal state')
        time.sleep(min(POLL, max(0.0, deadline - time.monotonic())))
    session.say(f'{kind} "{name}" has reached its goal state')
    return 0


def _shown(kind: str, name: str, scope: Mapping[str, Any] | None) -> str:
    if scope is None:
        return f'waiting for {kind} "{name}" to appear'
    status = scope.get("workload-status", scope.get("status", ""))
    message = scope.get("workload-message", scope.get("message", ""))
    return f'{kind} "{name}" is {status}' + (f": {message}" if message else "")


def scope_of(status: Mapping[str, Any], kind: str, name: str) -> dict[str, Any] | None:
    """What a query about this entity may name; None while there is no such entity."""
    applications = status.get("applications") or {}
    if kind == "model":
        return _model_scope(status)
    if kind == "application":
        return _application_scope(name, applications[name]) if name in applications else None
    application = name.partition("/")[0]
    unit = ((applications.get(application) or {}).get("units") or {}).get(name)
    return _unit_scope(name, unit, applications[application]) if unit else None


def _model_scope(status: Mapping[str, Any]) -> dict[str, Any]:
    model = status.get("model") or {}
    applications = {
        name: _application_scope(name, body)
        for name, body in (status.get("applications") or {}).items()
    }
    units = {key: unit for body in applications.values() for key, unit in body["units"].items()}
    current = (model.get("model-status") or {}).get("current", "available")
    return {
        "name": model.get("name", ""),
        "life": "dying" if current == "destroying" else "alive",
        "status": current,
        "is-controller": False,
        "applications": applications,
        "units": units,
        "machines": {},
    }


def _application_scope(name: str, application: Mapping[str, Any]) -> dict[str, Any]:
    status = application.get("application-status") or {}
    return {
        "name": name,
        "life": application.get("life") or "alive",
        "exposed": bool(application.get("exposed")),
        "charm-url": application.get("charm", ""),
        "subordinate": False,
        "scale": application.get("scale", 0),
        "workload-version": application.get("version", ""),
        "status": status.get("current", ""),
        "message": status.get("message", ""),
        "units": {
            unit: _unit_scope(unit, body, application)
            for unit, body in (application.get("units") or {}).items()
        },
        "machines": {},
    }


def _unit_scope(
    name: str, unit: Mapping[str, Any], application: Mapping[str, Any]
) -> dict[str, Any]:
    workload = unit.get("workload-status") or {}
    agent = unit.get("juju-status") or {}
    return {
        "name": name,
        "application": name.partition("/")[0],
        "life": agent.get("life") or "alive",
        "leader": bool(unit.get("leader")),
        "charm-url": application.get("charm", ""),
        "public-address": unit.get("address", ""),
        "private-address": unit.get("address", ""),
        "subordinate": False,
        "workload-status": workload.get("current", ""),
        "workload-message": workload.get("message", ""),
        "agent-status": agent.get("current", ""),
    }


VERBS = (
    Verb(
        name="wait-for",
        arguments="application|unit|model <name>",
        summary="Wait until an application, unit or model reaches a state.",
        details=(
            'A query compares names with values: status=="active" && len(units)==2, or\n'
            "forEach(units, unit => unit.workload-status=='active'). What is named need not\n"
            "exist yet."
        ),
        example=(
            "wait-for application metadata --timeout 5m",
            "wait-for unit metadata/0 --query 'workload-status==\"blocked\"'",
        ),
        run=wait_for,
        options=_options,
        minimum=1,
        maximum=2,
    ),
)
