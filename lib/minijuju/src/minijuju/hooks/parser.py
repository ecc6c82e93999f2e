"""The arguments of hook commands, parsed as Juju parses them, and refused in its words.

Flags may stand anywhere before `--`; they are written `--flag value`, `--flag=value`, with one
dash or two; a boolean flag takes a value only by `=`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minijuju.charm import CHARM_NAME


class UsageError(Exception):
    """Arguments that make no sense; the text is for the charm's author."""


FORMATS = ("smart", "json", "yaml")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The flags by their long name, and the rest in order."""

    flags: Mapping[str, str] = field(default_factory=dict)
    rest: tuple[str, ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """A flag's value."""
        return self.flags.get(name, default)

    def on(self, name: str) -> bool:
        """Whether a boolean flag is set.

        Raises:
            UsageError: its value is no boolean.
        """
        value = self.flags.get(name, "false").lower()
        if value in ("true", "1", "t"):
            return True
        if value in ("false", "0", "f"):
            return False
        raise UsageError(f'invalid value "{value}" for option {dashed(name)}')

    def first(self, missing: str) -> str:
        """The only positional argument.

        Raises:
            UsageError: there is none, which `missing` says, or more than one.
        """
        if not self.rest:
            raise UsageError(missing)
        self.at_most(1)
        return self.rest[0]

    def at_most(self, count: int) -> None:
        """See that there are no more positional arguments than these.

        Raises:
            UsageError: there are.
        """
        if len(self.rest) > count:
            extra = " ".join(json.dumps(word) for word in self.rest[count:])
            raise UsageError(f"unrecognized args: [{extra}]")


_UNIT = re.compile(CHARM_NAME.pattern + "/(0|[1-9][0-9]*)")


def is_application(name: str) -> bool:
    """Whether an application could be called so."""
    return CHARM_NAME.fullmatch(name) is not None


def is_unit(name: str) -> bool:
    """Whether a unit could be called so."""
    return _UNIT.fullmatch(name) is not None


def dashed(name: str) -> str:
    """A flag as it is written: one dash before a letter, two before a word."""
    return f"-{name}" if len(name) == 1 else f"--{name}"


def parse(
    argv: Sequence[str], values: Mapping[str, str] | None = None, switches: Sequence[str] = ()
) -> Arguments:
    """Split `argv`.

    Args:
        argv: the arguments after the command's name.
        values: flags that take a value: each accepted name with the long name it stands for.
        switches: boolean flags.

    Raises:
        UsageError: an unknown flag, or one without its value.
    """
    known = dict(values or {})
    flags: dict[str, str] = {}
    rest: list[str] = []
    items = iter(argv)
    for item in items:
        if item == "--":
            rest.extend(items)
            break
        if item == "-" or not item.startswith("-"):
            rest.append(item)
            continue
        name, mark, value = item.removeprefix("-").removeprefix("-").partition("=")
        if name in switches:
            flags[name] = value if mark else "true"
        elif name in known:
            if not mark:
                try:
                    value = next(items)
                except StopIteration:
                    raise UsageError(f"option needs an argument: {dashed(name)}") from None
            if name == "format" and value not in FORMATS:
                raise UsageError(
                    f'invalid value "{value}" for option --format: unknown format "{value}"'
                )
            flags[known[name]] = value
        else:
            raise UsageError(f"option provided but not defined: {dashed(name)}")
    return Arguments(flags, tuple(rest))
