"""How data is printed: JSON on one line as Juju prints it, YAML, and colours."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from minijuju.text import valid

COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "grey": "90", "bold": "1"}
STATUS_COLOURS = {
    "active": "green",
    "idle": "green",
    "available": "green",
    "attached": "green",
    "completed": "green",
    "executing": "blue",
    "maintenance": "yellow",
    "waiting": "yellow",
    "allocating": "yellow",
    "pending": "yellow",
    "unknown": "yellow",
    "terminated": "grey",
    "blocked": "red",
    "error": "red",
    "failed": "red",
    "lost": "red",
    "destroying": "red",
}
# Controls, among them those that turn the direction of writing, and what is no Unicode.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def structured(value: Any, form: str) -> str:
    """A document in `json` or `yaml`, ending with a newline."""
    if form == "json":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    # Reading YAML's library takes longer than most commands do, and few print any.
    from minijuju import documents

    return documents.dump(value)


def emit(text: str, stdout: TextIO, path: str | None) -> None:
    """Print, or write to the file that `-o` names."""
    text = valid(text)
    if path:
        Path(path).write_text(text)
    else:
        stdout.write(text)
        stdout.flush()


def plain(text: Any) -> str:
    """Text for a terminal: control characters that a charm put in are shown, not obeyed."""
    return visible(str(text).replace("\n", " "))


def visible(text: str) -> str:
    """The same of several lines."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def paint(text: str, colour: str | None, on: bool) -> str:
    """Text in a colour, or as it is."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if text and on and colour else text


def table(rows: Sequence[Sequence[str]], colours: Sequence[Sequence[str | None]] = ()) -> str:
    """Columns two spaces apart, as Juju aligns them; nothing follows the last one.

    Args:
        rows: The header and the rows, all of one length.
        colours: A colour for each cell, or nothing to print plain.
    """
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = []
        for column, text in enumerate(row):
            last = column == len(row) - 1
            padding = "" if last else " " * (widths[column] - len(text))
            colour = colours[number][column] if colours else None
            cells.append(paint(text, colour, bool(colours)) + padding)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def emit_table(
    rows: Sequence[Sequence[str]], document: Any, arguments: argparse.Namespace, stdout: TextIO
) -> None:
    """Print rows as a table, or the document of the same, as `--format` says and where `-o` does.

    Args:
        rows: See `table`.
        document: What JSON and YAML show.
        arguments: The command's, with `format` and `output`.
        stdout: Where it goes without `-o`.
    """
    tabular = arguments.format == "tabular"
    text = table(rows) if tabular else structured(document, arguments.format)
    emit(text, stdout, arguments.output)
