"""The packages that a component installs before it runs, read from its command.

The SDK compiles `packages_to_install` (and KFP itself) into a shell in front of the command:
`sh -c '... python3 -m pip install ... && "$0" "$@"' COMMAND...`. Read as data, the packages can be
installed once for all tasks that ask for the same. A script that is not exactly of that shape is
left alone and runs as it stands.

The compiler adds `kfp==X` of its own, without dependencies: the executor that runs the function.
Executors of KFP 2 run components of every earlier compiler, so `X` is read as "X or later" and
ours is taken: one warm image then serves pipelines of all SDKs. A `kfp` among the packages of the
user stays as it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_SCRIPT: Final = re.compile(
    r'\s*if ! \[ -x "\$\(command -v pip\)" \]; then\s+python3 -m ensurepip[^\n]*\n\s*fi\s+'
    r'PIP_DISABLE_PIP_VERSION_CHECK=1 (?P<installs>.*?) && "\$0" "\$@"\s*',
    re.DOTALL,
)
EXECUTOR: Final = (2, 17, 3)
"""The release of KFP that the step image has."""
_EXECUTOR: Final = re.compile(r"kfp==(2)\.([0-9]{1,4})\.([0-9]{1,4})")
_PIP: Final = ["python3", "-m", "pip", "install"]
_QUIET: Final = frozenset({"--quiet", "-q", "--no-warn-script-location", "--upgrade"})
_WITH_VALUE: Final = frozenset({"--index-url", "-i", "--extra-index-url", "--find-links"})


@dataclass(frozen=True, slots=True)
class Group:
    """The arguments of one `pip install`.

    Attributes:
        requirements: as pip takes them: `scikit-learn==1.5`, `package @ https://...`.
        options: index options in uv's words, in order.
        fallback: requirements to install if these cannot be (an image with an old Python).
    """

    requirements: tuple[str, ...]
    no_deps: bool = False
    options: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Install:
    """What a command installs, and the command that is left."""

    groups: tuple[Group, ...]
    command: tuple[str, ...]


def read(command: Sequence[str]) -> Install:
    """Split a command into what it installs (perhaps nothing) and what it then runs."""
    nothing = Install((), tuple(command))
    if len(command) < 4 or list(command[:2]) != ["sh", "-c"]:
        return nothing
    match = _SCRIPT.fullmatch(command[2])
    if match is None:
        return nothing
    groups = _groups(match["installs"])
    return nothing if groups is None else Install(groups, tuple(command[3:]))


def _groups(text: str) -> tuple[Group, ...] | None:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&|;<>()")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return None
    # Quotes are gone after splitting: only text that can hold no shell syntax outside of them is
    # taken for data.
    if re.search(r"[$`\\]", text):
        return None
    groups: list[Group] = []
    part: list[str] = []
    for word in [*words, "&&"]:
        if word == "&&":
            group = _group(part)
            if group is None:
                return None
            groups.append(group)
            part = []
        elif set(word) <= set("&|;<>()"):
            return None
        else:
            part.append(word)
    return tuple(groups)


def _group(words: Sequence[str]) -> Group | None:
    if list(words[:4]) != _PIP:
        return None
    requirements: list[str] = []
    options: list[str] = []
    no_deps = False
    rest = iter(words[4:])
    for word in rest:
        name, equals, value = word.partition("=")
        if word in _QUIET:
            continue
        if word == "--no-deps":
            no_deps = True
        elif name in _WITH_VALUE or name == "--trusted-host":
            given = value if equals else next(rest, "")
            if not given:
                return None
            options += _option(name, given)
        elif word.startswith("-"):
            return None
        else:
            requirements.append(word)
    if not requirements:
        return None
    ours = _ours(requirements) if no_deps else None
    if ours is not None:
        return Group(ours, no_deps, tuple(options), tuple(requirements))
    return Group(tuple(requirements), no_deps, tuple(options))


def _ours(requirements: Sequence[str]) -> tuple[str, ...] | None:
    """Give our executor in place of an older one that the compiler asked for."""
    match = _EXECUTOR.fullmatch(requirements[0])
    if match is None or any(not each.startswith("typing-extensions") for each in requirements[1:]):
        return None
    asked = tuple(int(part) for part in match.groups())
    if asked >= EXECUTOR:
        return None
    return (f"kfp=={'.'.join(str(part) for part in EXECUTOR)}", *requirements[1:])


def _option(name: str, value: str) -> list[str]:
    if name == "--trusted-host":
        # pip takes a URL here as the SDK writes it; uv wants the host.
        return ["--allow-insecure-host", re.sub(r"^\w+://|/.*$", "", value)]
    return ["--index-url" if name == "-i" else name, value]
