"""Probes, life cycle hooks and restart rules of containers: shape, defaults, validity."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from tinykube import names
from tinykube.objects import JSON
from tinykube.schema import Fields, Many, Shape
from tinykube.status import Cause, forbidden_field, required, unsupported, wrong

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "sleep")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_RULES, _MAX_CODES = 20, 255

_HTTP_GET = Fields(
    {
        "path": "str",
        "port": "int-or-str",
        "host": "str",
        "scheme": "str",
        "httpHeaders": Many(
            Fields(
                {"name": "str", "value": "str"},
                always=("name", "value"),
            )
        ),
    }
)
_EXEC = Fields({"command": Many("str")})
_TCP_SOCKET = Fields({"port": "int-or-str", "host": "str"})
_PROBE = Fields(
    {
        "exec": _EXEC,
        "httpGet": _HTTP_GET,
        "tcpSocket": _TCP_SOCKET,
        "grpc": Fields({"port": "int", "service": "str"}, optional=("service",), always=("port",)),
        "initialDelaySeconds": "int",
        "timeoutSeconds": "int",
        "periodSeconds": "int",
        "successThreshold": "int",
        "failureThreshold": "int",
        "terminationGracePeriodSeconds": "int",
    },
    optional=("terminationGracePeriodSeconds",),
)
_HOOK = Fields(
    {
        "exec": _EXEC,
        "httpGet": _HTTP_GET,
        "tcpSocket": _TCP_SOCKET,
        "sleep": Fields({"seconds": "int"}, always=("seconds",)),
    }
)
SHAPES: dict[str, Shape] = {
    **dict.fromkeys(PROBES, _PROBE),
    "lifecycle": Fields(
        {"postStart": _HOOK, "preStop": _HOOK, "stopSignal": "str"}, optional=("stopSignal",)
    ),
    "restartPolicy": "str",
    "restartPolicyRules": Many(
        Fields(
            {
                "action": "str",
                "exitCodes": Fields({"operator": "str", "values": Many("int", key="*")}),
            }
        )
    ),
}
_DEFAULTS = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
}


def default(container: JSON) -> None:
    """Fill in what Kubernetes fills in."""
    for name in PROBES:
        if (probe := container.get(name)) is not None:
            for field, value in _DEFAULTS.items():
                # Nothing and 0 are the same to Kubernetes here.
                probe[field] = probe.get(field) or value
            _default_http(probe)
            if "grpc" in probe:
                probe["grpc"].setdefault("service", "")
    for name in ("postStart", "preStop"):
        if (hook := (container.get("lifecycle") or {}).get(name)) is not None:
            _default_http(hook)


def _default_http(handler: JSON) -> None:
    if "httpGet" in handler:
        action = handler["httpGet"]
        action["path"] = action.get("path") or "/"
        action["scheme"] = action.get("scheme") or "HTTP"


def validate(path: str, container: Mapping[str, Any], *, init: bool) -> Iterator[Cause]:
    """The faults of a container's probes, hooks and restart rules."""
    beside = init and container.get("restartPolicy") == "Always"
    for name in PROBES:
        if (probe := container.get(name)) is not None:
            if init and not beside:
                yield forbidden_field(
                    f"{path}.{name}",
                    "may not be set for init containers without restartPolicy=Always",
                )
            yield from _probe(f"{path}.{name}", name, probe)
    if lifecycle := container.get("lifecycle"):
        if init and not beside:
            yield forbidden_field(
                f"{path}.lifecycle",
                "may not be set for init containers without restartPolicy=Always",
            )
        for name in ("postStart", "preStop"):
            if name in lifecycle:
                where = f"{path}.lifecycle.{name}"
                yield from _handler(where, lifecycle[name], _HOOK_HANDLERS)
        number = lifecycle.get("stopSignal")
        if number is not None and number not in signal.Signals.__members__:
            allowed = sorted(signal.Signals.__members__)
            yield unsupported(f"{path}.lifecycle.stopSignal", number, allowed)
    yield from _restarts(path, container)


def _probe(path: str, name: str, probe: Mapping[str, Any]) -> Iterator[Cause]:
    yield from _handler(path, probe, _HANDLERS)
    for field in (*_DEFAULTS, "initialDelaySeconds"):
        if probe.get(field, 0) < 0:
            yield wrong(f"{path}.{field}", probe[field], "must be greater than or equal to 0")
    if name != "readinessProbe" and probe.get("successThreshold") not in (None, 1):
        yield wrong(f"{path}.successThreshold", probe["successThreshold"], "must be 1")
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and name == "readinessProbe":
        yield wrong(
            f"{path}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes"
        )
    elif grace is not None and grace <= 0:
        yield wrong(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")


def _handler(path: str, handler: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[Cause]:
    found = [name for name in (*_HANDLERS, "sleep") if name in handler]
    if not found:
        yield required(path, "must specify a handler type")
    for name in found[1:]:
        yield forbidden_field(f"{path}.{name}", "may not specify more than 1 handler type")
    for name in found[:1]:
        where, action = f"{path}.{name}", handler[name]
        if name not in known:
            yield forbidden_field(where, f"hooks are run by {', '.join(known)} here")
        elif name == "exec":
            if not action.get("command"):
                yield required(f"{where}.command")
        elif name == "sleep":
            if action.get("seconds", 0) < 0:
                yield wrong(f"{where}.seconds", action["seconds"], "must be at least 0")
        else:
            yield from _port(f"{where}.port", action.get("port"))
            if name == "httpGet":
                yield from _http(where, action)


def _port(path: str, value: int | str | None) -> Iterator[Cause]:
    if isinstance(value, str):
        if not _PORT_NAME.fullmatch(value):
            yield wrong(path, value, "must be the name of a port of this container")
    elif value is None or not 1 <= value <= 65535:
        yield wrong(path, value or 0, "must be between 1 and 65535, inclusive")


def _http(path: str, action: Mapping[str, Any]) -> Iterator[Cause]:
    if action["scheme"] not in ("HTTP", "HTTPS"):
        yield unsupported(f"{path}.scheme", action["scheme"], ("HTTP", "HTTPS"))
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in action["path"]):
        yield wrong(
            f"{path}.path", action["path"], "must not contain spaces or control characters"
        )
    host = action.get("host")
    if host and ":" not in host and (fault := names.subdomain_fault(host)):
        yield wrong(f"{path}.host", host, fault)
    for index, header in enumerate(action.get("httpHeaders") or ()):
        name, value = header.get("name", ""), header.get("value", "")
        where = f"{path}.httpHeaders[{index}]"
        if not _HEADER.fullmatch(name):
            yield wrong(f"{where}.name", name, "a valid HTTP header must consist of tokens")
        if not value.isprintable():
            yield wrong(f"{where}.value", value, "must not contain control characters")


def _restarts(path: str, container: Mapping[str, Any]) -> Iterator[Cause]:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    allowed = ("Always", "Never", "OnFailure")
    if policy is not None and policy not in allowed:
        yield unsupported(f"{path}.restartPolicy", policy, allowed)
    if rules and policy is None:
        yield required(f"{path}.restartPolicy", "must specify restartPolicy when rules are used")
    if len(rules) > _MAX_RULES:
        yield wrong(f"{path}.restartPolicyRules", len(rules), f"must be at most {_MAX_RULES}")
    for index, rule in enumerate(rules):
        where = f"{path}.restartPolicyRules[{index}]"
        if rule.get("action") != "Restart":
            yield unsupported(f"{where}.action", rule.get("action", ""), ("Restart",))
        codes = rule.get("exitCodes")
        if codes is None:
            yield required(f"{where}.exitCodes", "must be specified")
            continue
        if codes.get("operator") not in ("In", "NotIn"):
            yield unsupported(
                f"{where}.exitCodes.operator", codes.get("operator", ""), ("In", "NotIn")
            )
        if not 1 <= len(codes.get("values") or ()) <= _MAX_CODES:
            yield wrong(
                f"{where}.exitCodes.values", "", f"must have between 1 and {_MAX_CODES} items"
            )
