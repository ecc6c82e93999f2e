"""What a verb is, and the parsing of its arguments with Juju's rules and words."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from .session import Session


class UsageError(Exception):
    """The command line makes no sense: the process ends with 2."""


class CommandError(Exception):
    """The command cannot be done: the process ends with 1, or with `code`."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that every error takes the one way out."""

    def error(self, message: str) -> NoReturn:
        """Turn argparse's complaint into Juju's."""
        match = re.match(r"unrecognized arguments: (--?[^ =]+)", message)
        if match:
            message = f"option provided but not defined: {match[1]}"
        raise UsageError(message)


@dataclass(frozen=True)
class Verb:
    """One verb of the command line.

    Attributes:
        name: What is typed.
        arguments: The positional arguments as the usage line shows them.
        summary: One sentence.
        run: Does it and returns the exit code.
        example: Lines to type, without the program's name.
        details: More, after the options.
        options: Adds the verb's own options to its parser.
        minimum: How many positional arguments it needs.
        maximum: How many it takes; None is any number.
        model: Whether it takes `-m`.
        formats: Values of `--format`, the default first; empty for verbs that print no data.
        passthrough: Whether everything after the first positional argument is left alone.
        refused: Options of Juju's that make no sense here, each with the reason.
        choices: What a positional argument may be; empty for anything.
    """

    name: str
    arguments: str
    summary: str
    run: Callable[[Session, argparse.Namespace], int]
    example: tuple[str, ...]
    details: str = ""
    options: Callable[[Parser], None] | None = None
    minimum: int = 0
    maximum: int | None = 0
    model: bool = True
    formats: tuple[str, ...] = ()
    passthrough: bool = False
    refused: tuple[tuple[str, str], ...] = ()
    choices: tuple[str, ...] = ()

    def parser(self, program: str) -> Parser:
        """The parser of this verb's arguments; the positional ones end up in `args`."""
        parser = Parser(
            prog=f"{program} {self.name}",
            usage=f"{program} {self.name} [options]"
            + (f" {self.arguments}" if self.arguments else ""),
            description=self.summary,
            epilog=self._epilog(program),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
            argument_default=None,
        )
        parser.add_argument("-h", "--help", action="store_true", help="show this help and exit")
        if self.model:
            parser.add_argument("-m", "--model", metavar="MODEL", help="the model to work in")
        if self.formats:
            parser.add_argument(
                "--format",
                choices=self.formats,
                default=self.formats[0],
                help="how to print (default: %(default)s)",
            )
            parser.add_argument("-o", "--output", metavar="FILE", help="print to this file")
        if self.options:
            self.options(parser)
        from . import common

        common.options(parser)
        parser.add_argument(
            "args",
            nargs=argparse.REMAINDER if self.passthrough else "*",
            help=argparse.SUPPRESS,
        )
        return parser

    def parse(self, program: str, argv: Sequence[str]) -> argparse.Namespace:
        """Read the arguments.

        Raises:
            UsageError: They make no sense.
            CommandError: One is Juju's, and makes none here.
        """
        parser = self.parser(program)
        reasons = dict(self.refused)
        for word in self._flags(argv):
            if reason := reasons.get(word.partition("=")[0]):
                raise CommandError(f"{word.partition('=')[0]}: {reason}")
        words, rest = self._switched(parser, argv), list[str]()
        if not self.passthrough and "--" in words:
            # argparse forgets of a word where it stood when options and others are mixed.
            mark = words.index("--")
            words, rest = words[:mark], words[mark + 1 :]
        parse: Any = parser.parse_args if self.passthrough else parser.parse_intermixed_args
        arguments: argparse.Namespace = parse(words)
        arguments.args = [*arguments.args, *rest]
        if arguments.help:
            return arguments
        if len(arguments.args) < self.minimum:
            raise UsageError(f"expected {self.arguments}; try: {program} {self.name} --help")
        if self.maximum is not None and len(arguments.args) > self.maximum:
            extra = " ".join(arguments.args[self.maximum :])
            raise UsageError(f"unrecognized args: {extra!r}")
        for word in arguments.args if self.choices else ():
            if word not in self.choices:
                raise UsageError(f"expected {self.arguments}, got {word!r}")
        return arguments

    def _switched(self, parser: Parser, argv: Sequence[str]) -> list[str]:
        """The arguments with `--flag=true` as `--flag`, as in Go; `--flag=false` is left out.

        Where there is a `--no-flag`, that is what it means.
        """
        switches = {
            name for item in parser._actions if item.nargs == 0 for name in item.option_strings
        }
        words: list[str] = []
        valued = False
        for at, word in enumerate(argv):
            if word == "--" or (self.passthrough and not valued and not word.startswith("-")):
                return [*words, *argv[at:]]
            name, given, value = word.partition("=")
            if not valued and given and name in switches:
                if value not in _TRUE | _FALSE:
                    raise UsageError(
                        f'invalid value "{value}" for flag {name}: write true or false'
                    )
                opposite = f"--no-{name.lstrip('-')}"
                chosen = name if value in _TRUE else opposite if opposite in switches else ""
                words += [chosen] if chosen else []
                continue
            words.append(word)
            valued = not valued and not given and word[:1] == "-" and word not in switches
        return words

    def _flags(self, argv: Sequence[str]) -> list[str]:
        flags = []
        for word in argv:
            if word == "--":
                break
            if word.startswith("-"):
                flags.append(word)
        return flags

    def _epilog(self, program: str) -> str:
        lines = ["examples:", *(f"  {program} {line}" for line in self.example)]
        return "\n".join([*([self.details, ""] if self.details else []), *lines])


_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


def duration(text: str) -> float:
    """Seconds of a duration such as `90s`, `1h30m`, `500ms` or a bare number of seconds.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * units[unit] for number, unit in parts)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    raise argparse.ArgumentTypeError(f"invalid duration {text!r}; write 30s, 5m or 1h30m")


def span(text: str) -> float:
    """A duration that may be negative, as Juju takes it for waits.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    return -duration(text[1:]) if text.startswith("-") else duration(text)


def count(text: str) -> int:
    """A whole number, zero or more.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number, zero or more, got {text!r}")
    return int(text)


def names(text: str) -> list[str]:
    """Names separated by commas."""
    return [name for name in text.split(",") if name]
