"""Actions that there are, and what became of those that were run: operations and tasks."""

from __future__ import annotations

import argparse
from typing import Any

from minijuju import documents

from .output import emit, plain, structured, table, visible
from .session import Session
from .tasks import UNIT, plain_run
from .verb import CommandError, Parser, UsageError, Verb, count, names, span


def actions(session: Session, arguments: argparse.Namespace) -> int:
    """List the actions of an application."""
    application = arguments.args[0]
    found = session.call("actions", model=session.model(arguments.model), application=application)
    if arguments.schema:
        document = {name: action["schema"] for name, action in found.items()}
        form = "yaml" if arguments.format in ("default", "tabular") else arguments.format
        emit(structured(document, form), session.stdout, arguments.output)
        return 0
    described = {name: action["description"] for name, action in found.items()}
    if arguments.format in ("json", "yaml"):
        text = structured(described, arguments.format)
    elif not described:
        session.say(f"No actions defined for {application}.")
        return 0
    else:
        rows = [["Action", "Description"]]
        rows += [[name, plain(text.partition("\n")[0])] for name, text in described.items()]
        text = table(rows)
    emit(text, session.stdout, arguments.output)
    return 0


def show_action(session: Session, arguments: argparse.Namespace) -> int:
    """Show one action with its parameters."""
    application, name = arguments.args
    found = session.call("actions", model=session.model(arguments.model), application=application)
    if name not in found:
        raise CommandError(f'unknown action "{name}"')
    schema = found[name]["schema"]
    if arguments.format != "plain":
        emit(structured({name: schema}, arguments.format), session.stdout, arguments.output)
        return 0
    shown = [found[name]["description"] or "No description", "", "Arguments"]
    for parameter, declared in sorted(schema["properties"].items()):
        shown += [f"{parameter}:", *_indented(documents.dump(declared))]
    emit(visible("\n".join(shown)) + "\n", session.stdout, arguments.output)
    return 0


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def operations(session: Session, arguments: argparse.Namespace) -> int:
    """List operations, those that are under way or ended."""
    wanted = {
        "actions": {name for group in arguments.actions for name in group},
        "units": {name for group in arguments.units for name in group},
        "applications": {name for group in arguments.apps for name in group},
    }
    states = {name for group in arguments.status for name in group}
    _check(wanted["units"], states)
    found: dict[str, Any] = session.call("operations", model=session.model(arguments.model))
    chosen = {
        key: {**one, "tasks": members}
        for key, one in found.items()
        if (members := _members(one, wanted)) and (not states or one["status"] in states)
    }
    if not chosen:
        session.say("no matching operations")
        return 0
    first, limit = arguments.offset, arguments.limit or MOST
    shown = dict(list(chosen.items())[first : first + limit])
    if arguments.format != "plain":
        text = structured(shown, arguments.format)
    else:
        text = _page(first, limit, len(shown), len(chosen)) + _table(shown)
    emit(text, session.stdout, arguments.output)
    return 0


MOST = 50
MOST_TASKS = 5
STATES = ("pending", "running", "completed", "failed", "cancelled", "aborting", "aborted")
_TIMES = ("started", "completed")
# What `show-operation` and `show-task` are for.
_DETAILS = ("results", "log")


def _check(units: set[str], states: set[str]) -> None:
    wrong = [f'invalid unit name "{unit}"' for unit in sorted(units) if not UNIT.fullmatch(unit)]
    wrong += [
        f'"{state}" is not a valid task status, want one of [{" ".join(STATES)}]'
        for state in sorted(states - set(STATES))
    ]
    if wrong:
        raise UsageError("\n".join(wrong))


def _members(operation: dict[str, Any], wanted: dict[str, set[str]]) -> dict[str, Any]:
    """The tasks of an operation that are asked for, without what can be long."""
    name = operation.get("action", {}).get("name")
    if wanted["actions"] and name not in wanted["actions"]:
        return {}
    hosts = wanted["units"], wanted["applications"]
    return {
        key: {word: value for word, value in task.items() if word not in _DETAILS}
        for key, task in operation["tasks"].items()
        if not any(hosts) or task["host"] in hosts[0] or task["host"].partition("/")[0] in hosts[1]
    }


def _page(first: int, limit: int, shown: int, found: int) -> str:
    more = first + limit < found
    if not first and not more:
        return ""
    text = f"Displaying operation results {first + 1} to {first + shown}.\n"
    if more:
        text += (
            f"Run the command again with --offset={first + limit} --limit={limit} to see the next "
            "batch.\n\n"
        )
    return text


def _table(operations: dict[str, Any]) -> str:
    rows = [["ID", "Status", "Started", "Finished", "Task IDs", "Summary"]]
    for key, one in operations.items():
        times = [one["timing"].get(name, "")[:19].replace(" ", "T") for name in _TIMES]
        ids = list(one["tasks"])
        listed = ",".join(ids[:MOST_TASKS]) + ("..." if len(ids) > MOST_TASKS else "")
        rows.append([key, one["status"], *times, listed, plain(one["summary"])])
    return table(rows)


def _number(text: str, what: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f'{what} ID "{text}" not valid')
    return int(text)


def _patience(arguments: argparse.Namespace) -> float:
    """How long to wait as the controller takes it: 0 is not at all, a negative number for ever."""
    if arguments.watch:
        if arguments.wait is not None:
            raise UsageError("specify either --watch or --wait but not both")
        return -1.0
    if arguments.wait is None or arguments.wait < 0:
        return 0.0
    return float(arguments.wait) or -1.0


def show_operation(session: Session, arguments: argparse.Namespace) -> int:
    """Show an operation with its tasks."""
    document = session.call(
        "show_operation",
        model=session.model(arguments.model),
        operation=_number(arguments.args[0], "operation"),
        timeout=_patience(arguments),
    )
    ((_, shown),) = document.items()
    emit(structured(shown, arguments.format), session.stdout, arguments.output)
    return 0


def show_task(session: Session, arguments: argparse.Namespace) -> int:
    """Show a task and its results."""
    document = session.call(
        "show_task",
        model=session.model(arguments.model),
        task=_number(arguments.args[0], "task"),
        timeout=_patience(arguments),
    )
    if arguments.format != "plain":
        text = structured(document, arguments.format)
    else:
        text = plain_run({document["unit"]: document})
    emit(text, session.stdout, arguments.output)
    return 0


def cancel_task(session: Session, arguments: argparse.Namespace) -> int:
    """Cancel tasks, and say what became of them."""
    document = session.call(
        "cancel_task",
        model=session.model(arguments.model),
        ids=[_number(text, "task") for text in arguments.args],
    )
    done = [
        {
            "action": task["action"],
            "completed at": task["timing"].get("completed", "n/a").removesuffix(" +0000 UTC"),
            "id": task["id"],
            "status": task["status"],
            "unit": task["unit"],
        }
        for task in document.values()
        if "error" not in task
    ]
    if done:
        emit(structured({"actions": done}, arguments.format), session.stdout, arguments.output)
    wrong = [
        f"task: {name}, error: {task['error']}"
        for name, task in document.items()
        if "error" in task
    ]
    if wrong:
        session.say("\n".join(["WARNING The following tasks could not be canceled:", *wrong]))
    return 0


def _actions_options(parser: Parser) -> None:
    parser.add_argument("--schema", action="store_true", help="show the parameters' schemas")


def _operations_options(parser: Parser) -> None:
    add = parser.add_argument
    for option, metavar in (("actions", "ACTION"), ("units", "UNIT"), ("status", "STATUS")):
        add(f"--{option}", action="append", default=[], type=names, metavar=f"{metavar},...")
    add("--apps", "--applications", action="append", default=[], type=names, metavar="APP,...")
    add("--limit", type=count, default=0, metavar="N", help=f"as many at most (default: {MOST})")
    add("--offset", type=count, default=0, metavar="N", help="without the first N")
    add("--utc", action="store_true", help=argparse.SUPPRESS)


def _wait_option(parser: Parser) -> None:
    parser.add_argument(
        "--wait", type=span, metavar="TIME", help="until it is done, but no longer than this"
    )
    parser.add_argument("--watch", action="store_true", help="until it is done")
    parser.add_argument("--utc", action="store_true", help=argparse.SUPPRESS)


VERBS = (
    Verb(
        name="actions",
        arguments="<application>",
        summary="List the actions of an application.",
        example=("actions metadata", "actions metadata --schema"),
        run=actions,
        options=_actions_options,
        minimum=1,
        maximum=1,
        formats=("default", "tabular", "json", "yaml"),
    ),
    Verb(
        name="show-action",
        arguments="<application> <action>",
        summary="Show an action with its parameters.",
        example=("show-action metadata get-token",),
        run=show_action,
        minimum=2,
        maximum=2,
        formats=("plain", "json", "yaml"),
    ),
    Verb(
        name="operations",
        arguments="",
        summary="List what was run: actions and command lines, with their tasks.",
        details="Times are UTC.",
        example=("operations --status running,failed", "operations --units metadata/0 --limit 5"),
        run=operations,
        options=_operations_options,
        formats=("plain", "json", "yaml"),
    ),
    Verb(
        name="show-operation",
        arguments="<operation>",
        summary="Show an operation with the tasks that it has.",
        example=("show-operation 7 --wait 1m",),
        run=show_operation,
        options=_wait_option,
        minimum=1,
        maximum=1,
        formats=("yaml", "json"),
    ),
    Verb(
        name="show-task",
        arguments="<task>",
        summary="Show a task and its results.",
        example=("show-task 8 --wait 1m",),
        run=show_task,
        options=_wait_option,
        minimum=1,
        maximum=1,
        formats=("plain", "json", "yaml"),
    ),
    Verb(
        name="cancel-task",
        arguments="<task> ...",
        summary="Cancel tasks: what waits is not begun, what runs is killed.",
        details="A task that runs is aborting until its process is gone, then aborted.",
        example=("cancel-task 8",),
        run=cancel_task,
        minimum=1,
        maximum=None,
        formats=("yaml", "json"),
    ),
)
