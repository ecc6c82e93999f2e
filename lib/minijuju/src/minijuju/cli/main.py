"""The command line's way in and its one way out: errors and exit codes.

0 is success, 1 an error (`ERROR ...` on stderr), 2 a command line that makes no sense, 130 an
interrupt.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from minijuju.errors import JujuError, NotSupportedError

from . import catalog, common
from .output import paint, visible
from .session import Session
from .verb import CommandError, UsageError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments after the program's name; the process's own by default.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    program = "juju" if Path(sys.argv[0]).name == "juju" else "minijuju"
    if "_ARGCOMPLETE" in os.environ:
        from .completion import complete

        complete(program)
    session = Session(program=program, colour=_colour())
    try:
        return _run(session, words)
    except KeyboardInterrupt:
        session.stderr.write("\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; Python must not complain about it once more at the end.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except UsageError as error:
        return _fail(session, str(error), 2)
    except CommandError as error:
        return _fail(session, str(error), error.code)
    except NotSupportedError as error:
        return _fail(session, str(error), 2)
    except JujuError as error:
        return _fail(session, str(error), 1)
    except OSError as error:
        return _fail(session, f"{error.filename or 'cannot'}: {error.strerror or error}", 1)


def _run(session: Session, words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        session.stdout.write(overview(session.program))
        return 0
    before, words = common.leading(words)
    if not words:
        raise UsageError(f"no command specified; try: {session.program} --help")
    name, *rest = words
    if name == "--version":
        name = "version"
    if name == "help":
        if not rest or rest[0] in ("commands", "topics"):
            session.stdout.write(overview(session.program))
            return 0
        name, rest = rest[0], ["--help"]
    if name.startswith("-"):
        raise UsageError(f"option provided but not defined: {name}")
    verb = catalog.find(session.program, name)
    arguments = verb.parse(session.program, [*before, *rest])
    if arguments.help:
        session.stdout.write(verb.parser(session.program).format_help())
        return 0
    common.apply(session, arguments)
    return verb.run(session, arguments)


def _fail(session: Session, message: str, code: int) -> int:
    first, separator, rest = visible(message).partition("\n")
    session.stderr.write(
        f"{paint('ERROR', 'red', _colour(sys.stderr))} {first}{separator}{rest}\n"
    )
    return code


def _colour(stream: object = None) -> bool:
    wanted = sys.stdout if stream is None else stream
    tty = getattr(wanted, "isatty", lambda: False)()
    return bool(tty) and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def overview(program: str) -> str:
    """What `--help` prints without a verb."""
    lines = [
        f"Usage: {program} <command> [options] [<argument> ...]",
        "",
        "Juju on one machine: charms run as sandboxed processes, without root or a cluster.",
        "",
        "Commands:",
    ]
    verbs = sorted(
        (verb for module in catalog.MODULES for verb in catalog.load(module)),
        key=lambda verb: verb.name,
    )
    width = max(len(verb.name) for verb in verbs)
    lines += [f"  {verb.name:<{width}}  {verb.summary}" for verb in verbs]
    aliases = ", ".join(f"{alias} ({name})" for alias, name in sorted(catalog.ALIASES.items()))
    lines += [
        "",
        f"Aliases: {aliases}",
        "",
        "Start with:",
        f"  {program} add-model toolkit",
        f"  {program} deploy ./metadata.charm",
        f"  {program} status --watch 1",
        "",
        f"Help for a command: {program} help <command>",
    ]
    return "\n".join(lines) + "\n"
