"""The arguments of hook commands, parsed as Juju parses them.

Flags may stand anywhere before `--`; they are written `--flag value`, `--flag=value`, with one
dash or two; a boolean flag takes a value only by `=`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class UsageError(Exception):
    """Arguments that make no sense; the text is for the charm's author."""


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
        raise UsageError(f'invalid value "{value}" for option --{name}')

    def one(self, what: str) -> str:
        """The one positional argument."""
        if len(self.rest) != 1:
            raise UsageError(f"expected {what}, got {' '.join(self.rest) or 'nothing'}")
        return self.rest[0]


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
                    raise UsageError(f"option needs an argument: --{name}") from None
            flags[known[name]] = value
        else:
            raise UsageError(f"option provided but not defined: --{name}")
    return Arguments(flags, tuple(rest))
