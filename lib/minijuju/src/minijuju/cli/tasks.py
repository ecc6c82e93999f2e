"""`run` an action, `exec` a command line, `ssh` into a container."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from pathlib import Path
from typing import Any

from minijuju import documents

from .output import emit, plain, structured
from .session import Session
from .verb import CommandError, Parser, UsageError, Verb, duration, names

_UNIT = re.compile(r"[a-z][a-z0-9-]*/(0|[1-9][0-9]*|leader)")
_KEY = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
WAIT = 60.0
EXEC_WAIT = 300.0


def _run_options(parser: Parser) -> None:
    parser.add_argument(
        "--wait", type=duration, default=WAIT, metavar="TIME", help="how long (default: 60s)"
    )
    parser.add_argument("--params", metavar="FILE", help="a YAML file of parameters")
    parser.add_argument("--string-args", action="store_true", help="take every value as a string")


def run(session: Session, arguments: argparse.Namespace) -> int:
    """Run an action on units and wait for its results."""
    words = list(arguments.args)
    units = []
    while words and "/" in words[0]:
        units.append(words.pop(0))
    if not units:
        raise UsageError(f"no unit specified; try: {session.program} run --help")
    if not words:
        raise UsageError("no action specified")
    for unit in units:
        if not _UNIT.fullmatch(unit):
            raise CommandError(f'invalid unit name "{unit}"')
    action, *rest = words
    params = read_params(rest, arguments.params, strings=arguments.string_args)
    model = session.model(arguments.model)
    found = expand(session, model, units)
    if not found:
        return 0
    results = session.call(
        "run", model=model, units=found, action=action, params=params, timeout=arguments.wait
    )
    return show_tasks(session, arguments, results)


def expand(session: Session, model: str, units: list[str]) -> list[str]:
    """Unit names with `app/leader` replaced; units that are not there are said to be missing.

    As Juju does, a missing unit alone is no failure: it yields no result.
    """
    applications = session.call("status", model=model).get("applications") or {}
    found = []
    for unit in units:
        application, _, number = unit.partition("/")
        known = (applications.get(application) or {}).get("units") or {}
        if number == "leader":
            leaders = [name for name, body in known.items() if body.get("leader")]
            if leaders:
                found.append(leaders[0])
            else:
                session.say(f"could not determine leader for {application!r}")
        elif unit in known:
            found.append(unit)
        else:
            session.say(f'unit "{unit}" not found')
    return found


def read_params(words: list[str], path: str | None, *, strings: bool) -> dict[str, Any]:
    """Parameters of an action: a file, then `key.sub=value` words over it."""
    params: dict[str, Any] = {}
    if path:
        data = documents.read(Path(path))
        if data is not None and not isinstance(data, dict):
            raise CommandError(f"{path}: expected a mapping of parameters")
        params.update(data or {})
    for word in words:
        key, separator, text = word.partition("=")
        if not separator:
            raise CommandError(f'argument "{word}" must be of the form key.key.key...=value')
        keys = key.split(".")
        for part in keys:
            if not _KEY.fullmatch(part):
                raise CommandError(
                    f'key "{part}" must start and end with lowercase alphanumeric, and contain '
                    "only lowercase alphanumeric and hyphens"
                )
        value = text if strings else documents.load(text, word)
        here = params
        for part in keys[:-1]:
            below = here.setdefault(part, {})
            if not isinstance(below, dict):
                raise CommandError(f'"{part}" in "{key}" already has a value')
            here = below
        here[keys[-1]] = value
    return params


def show_tasks(
    session: Session, arguments: argparse.Namespace, results: dict[str, dict[str, Any]]
) -> int:
    """Print what tasks yielded; 1 if one failed, with Juju's words for it."""
    if arguments.format == "plain":
        text = "".join(_plain_task(unit, task, len(results) > 1) for unit, task in results.items())
    else:
        text = structured(results, arguments.format)
    emit(text, session.stdout, arguments.output)
    failed = [
        task for task in results.values() if task.get("status") != "completed" or _code(task)
    ]
    if not failed:
        return 0
    noun = "task" if len(failed) == 1 else "tasks"
    lines = [f"the following {noun} failed:"]
    for task in failed:
        detail = f" with return code {_code(task)}" if _code(task) else ""
        message = f": {plain(task['message'])}" if task.get("message") else ""
        lines.append(f' - id "{task.get("id")}"{detail}{message}')
    raise CommandError("\n".join(lines))


def _code(task: dict[str, Any]) -> int:
    return int((task.get("results") or {}).get("return-code") or 0)


def _plain_task(unit: str, task: dict[str, Any], several: bool) -> str:
    results = dict(task.get("results") or {})
    code = results.pop("return-code", 0)
    stdout, stderr = results.pop("stdout", ""), results.pop("stderr", "")
    lines = [f"{unit}:\n"] if several else []
    lines += [f"{line}\n" for line in task.get("log") or []]
    if stdout:
        lines.append(stdout if stdout.endswith("\n") else f"{stdout}\n")
    if stderr:
        lines.append(stderr if stderr.endswith("\n") else f"{stderr}\n")
    if results:
        lines.append(documents.dump(results))
    if task.get("status") != "completed" or code:
        lines.append(f"{task.get('status')}: {task.get('message') or f'return code {code}'}\n")
    return "".join(lines)


def _exec_options(parser: Parser) -> None:
    parser.add_argument(
        "-u", "--unit", action="append", default=[], type=names, metavar="UNIT,...", help="where"
    )
    parser.add_argument(
        "-a",
        "--app",
        "--application",
        action="append",
        default=[],
        type=names,
        metavar="APP,...",
        help="on all units of these",
    )
    parser.add_argument(
        "--wait", type=duration, default=EXEC_WAIT, metavar="TIME", help="how long (default: 5m)"
    )


def execute(session: Session, arguments: argparse.Namespace) -> int:
    """Run a command line in the charm container, with the hook commands on its PATH."""
    words = list(arguments.args)
    if words and words[0] == "--":
        words.pop(0)
    if not words:
        raise UsageError("no commands specified")
    units = [unit for group in arguments.unit for unit in group]
    applications = [name for group in arguments.app for name in group]
    if not units and not applications:
        raise UsageError("You must specify a target with --application or --unit")
    for unit in units:
        if not _UNIT.fullmatch(unit):
            raise CommandError(f'invalid unit name "{unit}"')
    model = session.model(arguments.model)
    found = expand(session, model, units)
    if applications:
        known = session.call("status", model=model).get("applications") or {}
        for name in applications:
            found += [u for u in (known.get(name) or {}).get("units") or {} if u not in found]
    if not found:
        session.say("no units to run on")
        return 0
    # One word is a line for the shell, as Juju hands it on; several are quoted back into one.
    line = words[0] if len(words) == 1 else shlex.join(words)
    results = session.call(
        "exec",
        model=model,
        units=found,
        command=["/bin/bash", "-c", line],
        timeout=arguments.wait,
    )
    return show_tasks(session, arguments, results)


def _ssh_options(parser: Parser) -> None:
    parser.add_argument("--container", metavar="NAME", help="a workload's, not the charm's")
    parser.add_argument("--no-host-key-checks", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--pty", nargs="?", const="true", help=argparse.SUPPRESS)


def ssh(session: Session, arguments: argparse.Namespace) -> int:
    """Run a command, or a shell, inside a unit's container."""
    words = [word for word in arguments.args if word != "--"] if arguments.args else []
    if not words:
        raise UsageError("no target name specified")
    target = words[0].rpartition("@")[2]
    command = arguments.args[arguments.args.index(words[0]) + 1 :]
    if command and command[0] == "--":
        command = command[1:]
    if command and command[0].startswith("-"):
        raise UsageError(
            f"{session.program} ssh: there is no SSH in between: option {command[0]} means nothing"
        )
    if not _UNIT.fullmatch(target):
        raise CommandError(f'"{target}" is not a unit; on Kubernetes, name one such as metadata/0')
    model = session.model(arguments.model)
    found = expand(session, model, [target])
    if not found:
        raise CommandError(f'unit "{target}" not found')
    # Words are joined by spaces for the shell on the other side, as ssh does.
    shell = ["/bin/sh", "-c", " ".join(command)] if command else []
    place = session.call(
        "ssh", model=model, unit=found[0], container=arguments.container, command=shell
    )
    session.stdout.flush()
    session.stderr.flush()
    argv = [str(word) for word in place["argv"]]
    environment = {str(key): str(value) for key, value in (place.get("env") or {}).items()}
    os.execvpe(argv[0], argv, {**os.environ, **environment})  # noqa: S606 - a list from our own controller


VERBS = (
    Verb(
        name="run",
        arguments="<unit> [<unit> ...] <action> [<key>=<value> ...]",
        summary="Run an action on one or more units and wait for its results.",
        details="app/leader is the unit that leads. Values are read as YAML.",
        example=("run metadata/leader get-token",),
        run=run,
        options=_run_options,
        minimum=1,
        maximum=None,
        formats=("plain", "json", "yaml"),
        unbuilt=("--background", "--utc", "--parallel", "--execution-group"),
    ),
    Verb(
        name="exec",
        arguments="[--] <command> [<argument> ...]",
        summary="Run a command line in the charm's container of units.",
        example=("exec --unit metadata/0 -- config-get --format=json",),
        run=execute,
        options=_exec_options,
        maximum=None,
        formats=("plain", "json", "yaml"),
        passthrough=True,
        unbuilt=("--all", "--machine", "--background", "--operator", "--parallel", "--utc"),
    ),
    Verb(
        name="ssh",
        arguments="<unit> [<command> ...]",
        summary="Run a command or a shell inside a unit's charm or workload container.",
        example=("ssh --container metadata metadata/0 ps aux",),
        run=ssh,
        options=_ssh_options,
        maximum=None,
        passthrough=True,
        unbuilt=("--proxy", "--remote"),
    ),
)
