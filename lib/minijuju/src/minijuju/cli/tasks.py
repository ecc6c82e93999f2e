"""`run` an action, `exec` a command line."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minijuju import documents

from .output import emit, plain, structured
from .session import Session
from .verb import CommandError, Parser, UsageError, Verb, names, span

UNIT = re.compile(r"([a-z][a-z0-9-]*)/(0|[1-9][0-9]*|leader)")
_APPLICATION = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")
# Names of actions and of their parameters.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
WAIT = 60.0
EXEC_WAIT = 300.0


def _run_options(parser: Parser) -> None:
    _wait_options(parser, "60s")
    parser.add_argument("--params", metavar="FILE", help="a YAML file of parameters")
    parser.add_argument("--string-args", action="store_true", help="take every value as a string")


def _wait_options(parser: Parser, default: str) -> None:
    parser.add_argument(
        "--wait",
        type=span,
        default=0.0,
        metavar="TIME",
        help=f"how long, without end if negative (default: {default})",
    )
    parser.add_argument("--background", action="store_true", help="do not wait for results")
    parser.add_argument("--utc", action="store_true", help=argparse.SUPPRESS)


def _wait(arguments: argparse.Namespace, default: float) -> float:
    if arguments.background and arguments.wait > 0:
        raise UsageError("cannot specify both --wait and --background")
    return float(arguments.wait or default)


def run(session: Session, arguments: argparse.Namespace) -> int:
    """Run an action on units and wait for its results."""
    wait = _wait(arguments, WAIT)
    units: list[str] = []
    action = ""
    for word in arguments.args:
        if UNIT.fullmatch(word):
            units.append(word)
        elif _NAME.fullmatch(word):
            action = word
            break
        else:
            raise UsageError(f'invalid unit or action name "{word}"')
    if not units:
        raise UsageError(f"no unit specified; try: {session.program} run --help")
    if not action:
        raise UsageError("no action specified")
    if len({unit.partition("/")[0] for unit in units}) > 1:
        raise UsageError("all units must be of the same application")
    rest = arguments.args[len(units) + 1 :]
    params = read_params(rest, arguments.params, strings=arguments.string_args)
    results = session.call(
        "run",
        model=session.model(arguments.model),
        units=units,
        action=action,
        params=params,
        timeout=wait,
        background=arguments.background,
    )
    if arguments.background:
        return scheduled(session, results)
    return show_tasks(session, arguments, results, plain_run)


def scheduled(session: Session, results: dict[str, Any]) -> int:
    """Say what will be done, and how to hear of it; of several tasks each is printed."""
    made, operation = results["tasks"], results["operation"]
    if not made:
        return 0
    if len(made) == 1:
        ((_, only),) = made.items()
        what, which = f"task {only['id']}", only["id"]
    else:
        what, which = f"{len(made)} tasks", "<id>"
        emit(documents.dump(made), session.stdout, None)
    session.say(
        f"Scheduled operation {operation} with {what}\n"
        f"Check operation status with '{session.program} show-operation {operation}'\n"
        f"Check task status with '{session.program} show-task {which}'"
    )
    return 0


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
            raise UsageError(f'argument "{word}" must be of the form key.key.key...=value')
        keys = key.split(".")
        for part in keys:
            if not _NAME.fullmatch(part):
                raise UsageError(
                    f'key "{part}" must start and end with lowercase alphanumeric, and contain '
                    "only lowercase alphanumeric and hyphens"
                )
        value = text if strings else documents.load(text, word)
        here = params
        for part in keys[:-1]:
            below = here.get(part)
            if not isinstance(below, dict):
                below = here[part] = {}
            here = below
        here[keys[-1]] = value
    return params


def show_tasks(
    session: Session,
    arguments: argparse.Namespace,
    results: dict[str, dict[str, Any]],
    readable: Callable[[dict[str, dict[str, Any]]], str],
) -> int:
    """Print what tasks yielded; 1 if one ended with a code other than 0, with Juju's words."""
    if not results:
        return 0
    form = arguments.format
    text = readable(results) if form == "plain" else structured(results, form)
    emit(text, session.stdout, arguments.output)
    codes = {
        task["id"]: int(task.get("results", {}).get("return-code", 0)) for task in results.values()
    }
    failed = [
        f' - id "{name}" with return code {codes[name]}' for name in sorted(codes) if codes[name]
    ]
    if not failed:
        return 0
    several = "s" if len(failed) > 1 else ""
    lines = "\n".join(failed)
    raise CommandError(
        f"the following task{several} failed:\n{lines}\n\n"
        f"use '{session.program} show-task' to inspect the failure{several}\n"
    )


_STREAMS = ("stdout", "stderr")


def plain_run(results: dict[str, dict[str, Any]]) -> str:
    """What actions yielded, for people: of one what it set and said, of several a list."""
    if len(results) > 1:
        return documents.dump({unit: _summary(task) for unit, task in results.items()})
    ((_, task),) = results.items()
    shown = _summary(task)
    lines = []
    if task["status"] == "failed":
        lines.append(f"Action id {task['id']} failed: {plain(task.get('message', ''))}")
    lines.append(str(shown["output"]))
    said = task.get("results", {})
    lines += [str(said[name]).strip("\n") for name in _STREAMS if said.get(name)]
    return "\n".join(lines) + "\n"


def _summary(task: dict[str, Any]) -> dict[str, Any]:
    results = task.get("results")
    output = f"Task {task['id']} {task['status']}\n"
    if results is not None:
        own = {key: value for key, value in results.items() if key not in _HIDDEN}
        output = documents.dump(own) if own else ""
    shown = {"id": task["id"], "output": output, "status": task["status"]}
    return {**shown, "message": task["message"]} if task.get("message") else shown


_HIDDEN = ("return-code", *_STREAMS)


def plain_exec(results: dict[str, dict[str, Any]]) -> str:
    """What command lines printed; with the units if there are several."""
    said = {}
    for unit in sorted(results, key=natural):
        found = results[unit].get("results", {})
        texts = [str(found[name]) for name in _STREAMS if found.get(name)]
        said[unit] = "".join(text if text.endswith("\n") else f"{text}\n" for text in texts)
    if len(results) == 1:
        return "".join(said.values())
    return "".join(f"{unit}:\n{text}\n" for unit, text in said.items())


def natural(unit: str) -> tuple[str, int]:
    """A key that sorts units by their numbers."""
    application, _, number = unit.partition("/")
    return application, int(number)


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
    parser.add_argument("--all", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--machine", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--operator", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--parallel", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--execution-group", help=argparse.SUPPRESS)
    _wait_options(parser, "5m")


def execute(session: Session, arguments: argparse.Namespace) -> int:
    """Run a command line in the charm container, with the hook commands on its PATH."""
    words = list(arguments.args)
    if words and words[0] == "--":
        words.pop(0)
    if not words:
        raise UsageError("no commands specified")
    units = [unit for group in arguments.unit for unit in group]
    applications = [name for group in arguments.app for name in group]
    if arguments.machine:
        raise CommandError("--machine: a Kubernetes model has no machines; name units")
    if arguments.all and (units or applications):
        raise UsageError("You cannot specify --all and individual units or applications")
    if not (arguments.all or units or applications):
        raise UsageError("You must specify a target with --application or --unit")
    wrong = [
        f'  "{name}" is not a valid application name'
        for name in applications
        if not _APPLICATION.fullmatch(name)
    ]
    wrong += [f'  "{unit}" is not a valid unit name' for unit in units if not UNIT.fullmatch(unit)]
    if wrong:
        raise UsageError("\n".join(["The following exec targets are not valid:", *wrong]))
    if arguments.all:
        raise CommandError(
            "cannot run on all machines with a caas model: name applications or units"
        )
    # One word is a line for the shell, as Juju hands it on; several are quoted back into one.
    line = words[0] if len(words) == 1 else shlex.join(words)
    results = session.call(
        "exec",
        model=session.model(arguments.model),
        units=units,
        applications=applications,
        command=["/bin/bash", "-c", line],
        timeout=_wait(arguments, EXEC_WAIT),
        background=arguments.background,
    )
    if arguments.background:
        return scheduled(session, results)
    return show_tasks(session, arguments, results, plain_exec)


VERBS = (
    Verb(
        name="run",
        arguments="<unit> [<unit> ...] <action> [<key>=<value> ...]",
        summary="Run an action on one or more units and wait for its results.",
        details="app/leader is the unit that leads. Values are read as YAML.",
        example=("run metadata/leader get-token", "run metadata/0 backup --background"),
        run=run,
        options=_run_options,
        minimum=1,
        maximum=None,
        formats=("plain", "json", "yaml"),
    ),
    Verb(
        name="exec",
        arguments="[--] <command> [<argument> ...]",
        summary="Run a command line in the charm's container of units.",
        details=(
            "Those of one unit run one after the other, as its hooks do; those of several units,\n"
            "beside each other. As on Juju's Kubernetes, --operator, --parallel and\n"
            "--execution-group change nothing of that; --all and --machine are for machines."
        ),
        example=("exec --unit metadata/0 -- config-get --format=json",),
        run=execute,
        options=_exec_options,
        maximum=None,
        formats=("plain", "json", "yaml"),
        passthrough=True,
    ),
)
