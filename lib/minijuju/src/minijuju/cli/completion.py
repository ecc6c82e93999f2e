"""Completion of the command line in bash and zsh: verbs, options, and the names in the model.

The shell's part is argcomplete's. Completing must be quick and change nothing: only the verb's own
module is read, and a controller that does not run is not started.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minijuju.client import Client, data_folder
from minijuju.errors import JujuError

from . import catalog
from .session import Session
from .verb import Verb

_SHELLS = ("bash", "zsh")
_UNITS = frozenset(["run", "resolved", "show-unit", "ssh", "scp"])
_MODELS = frozenset(["destroy-model", "show-model", "switch"])
_FILES = frozenset(["deploy", "diff-bundle"])


def completion(session: Session, arguments: argparse.Namespace) -> int:
    """Print what makes a shell complete this command."""
    from argcomplete.shell_integration import shellcode

    session.stdout.write(shellcode([session.program], shell=arguments.args[0]))
    return 0


def complete(program: str) -> None:
    """Answer the shell, which asks through the environment, and end the process."""
    import argcomplete

    line = os.environ.get("COMP_LINE", "")
    point = int(os.environ.get("COMP_POINT", len(line)))
    argcomplete.autocomplete(parser(program, _words(line[:point])), always_complete_options=False)


def _words(line: str) -> list[str]:
    """The words before the one that is being typed."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    return words[1:] if line[-1:].isspace() else words[1:-1]


def parser(program: str, words: Sequence[str]) -> argparse.ArgumentParser:
    """A parser that knows all verbs, and the options of the one that is typed."""
    top = argparse.ArgumentParser(prog=program, add_help=False)
    verbs = top.add_subparsers()
    typed = next((word for word in words if not word.startswith("-")), None)
    for name in sorted([*catalog.names(), *catalog.ALIASES]):
        if name != typed:
            verbs.add_parser(name, add_help=False)
            continue
        verb = next(
            verb
            for verb in catalog.load(catalog.module_of(name))
            if verb.name == catalog.ALIASES.get(name, name)
        )
        made = verbs.add_parser(name, parents=[verb.parser(program)], add_help=False)
        for action in made._actions:
            if action.dest == "args":
                action.help = None
                action.completer = (  # type: ignore[attr-defined]
                    lambda verb=verb, **_: names(verb, words)
                )
            elif action.dest == "model":
                action.completer = lambda **_: _models()  # type: ignore[attr-defined]
    return top


def _models() -> list[str]:
    return [model["short-name"] for model in _ask("models", {}).get("models", [])]


def names(verb: Verb, words: Sequence[str] = ()) -> list[str]:
    """What the positional arguments of a verb may name in the model that is worked in.

    `words` are those that are typed already: behind a unit stands an action, behind an
    application its options.
    """
    if verb.name in _MODELS:
        return _models()
    if not verb.model or verb.maximum == 0 or verb.name in _FILES:
        return _files() if verb.name in _FILES else []
    model = os.environ.get("JUJU_MODEL") or Session("juju").current_model()
    if not model:
        return []
    named = [word for word in words[1:] if not word.startswith("-")]
    if named and verb.name == "run":
        application = named[0].partition("/")[0]
        return list(_ask("actions", {"model": model, "application": application}))
    if named and verb.name == "config":
        found = _ask("config_get", {"model": model, "application": named[0]})
        return [f"{option}=" for option in found.get("settings") or {}]
    applications = _ask("status", {"model": model}).get("applications") or {}
    units = [unit for body in applications.values() for unit in body.get("units") or {}]
    if verb.name in _UNITS:
        return units
    both = verb.name in ("status", "show-status-log")
    return [*applications, *(units if both else ())]


def _files() -> list[str]:
    kinds = (".charm", ".yaml", ".yml")
    here = sorted(Path.cwd().iterdir())
    return [f"./{path.name}" for path in here if path.is_dir() or path.suffix in kinds]


def _ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
    client = Client(data_folder(), start=False)
    try:
        found: dict[str, Any] = client.call(method, **params)
    except (JujuError, OSError):
        # Nobody to ask, or no such model: there is nothing to complete.
        return {}
    return found


VERBS = (
    Verb(
        name="completion",
        arguments="bash|zsh",
        summary="Print what makes a shell complete this command.",
        details=(
            'Juju has no such verb. For this shell: eval "$(minijuju completion bash)".\n'
            "For every shell: write it to a file that the shell reads when it starts."
        ),
        example=("completion bash", "completion zsh"),
        run=completion,
        minimum=1,
        maximum=1,
        model=False,
        choices=_SHELLS,
    ),
)
