"""The `dispatch` that charmcraft writes: it sets some variables and becomes Python.

Told by what its lines do, since versions of charmcraft and other packers word it differently
(comments, quotes, names of variables). A charm with any other dispatch never starts warm.
"""

from __future__ import annotations

import re

_SHELL = "#!/bin/sh"
# With quotes and braces taken out: variables, the script's own folder, the machine, a path.
_VALUE = r"(?:\$\w+|\$\(dirname \$\(realpath \$0\)\)|\$\(uname -m\)|[\w./:-])+"
_LINES = re.compile(
    "|".join(
        (
            r"set -[eu]+",
            rf"(?:export )?\w+={_VALUE}",
            rf"if \[ ! -e {_VALUE} \]; then",
            rf"mkdir -p {_VALUE}",
            rf"ln -s \$\((?:command -v|which) python3\) {_VALUE}",
            "fi",
        )
    )
)
_LAST = re.compile(rf"exec {_VALUE}/python {_VALUE}\.py|exec \$\w+ {_VALUE}\.py")


def launcher(text: str, program: str) -> str | None:
    """The shell lines of a `dispatch`, made to run another program with its Python.

    Args:
        text: the dispatch.
        program: the program and its first arguments, as a shell reads them; the charm's script
            becomes the argument after them.

    Returns:
        None if the dispatch is not charmcraft's: it may do anything else in each hook.
    """
    first, *lines = [line.strip() for line in text.splitlines()] or [""]
    lines = [line for line in lines if line and not line.startswith("#")]
    if first != _SHELL or not lines:
        return None
    plain = [re.sub(r"\$\{(\w+)\}", r"$\1", line).replace('"', "") for line in lines]
    if not _LAST.fullmatch(plain[-1]) or not all(map(_LINES.fullmatch, plain[:-1])):
        return None
    word, python, script = lines[-1].split()
    return "\n".join([*lines[:-1], f"{word} {python} {program} {script}"])
