"""How results are shown: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from toolkit_cli.demo import Outcome
    from toolkit_cli.deployment import Endpoint, Summary
    from toolkit_cli.doctor import Finding

COLOURS = {
    "active": "green",
    "waiting": "yellow",
    "maintenance": "yellow",
    "blocked": "red",
    "error": "red",
}


def show(summary: Summary, *, as_json: bool) -> None:
    """What runs where."""
    if as_json:
        _json(dataclasses.asdict(summary))
        return
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Application", "Status", "Units", "Address"):
        table.add_column(column, no_wrap=True)
    table.add_column("Message", overflow="fold")
    for row in summary.applications:
        colour = COLOURS.get(row.status, "white")
        table.add_row(
            escape(row.name), f"[{colour}]{escape(row.status)}[/]", str(row.units),
            escape(row.url), escape(row.message),
        )  # fmt: skip
    console.print(f"Model [bold]{escape(summary.model)}[/]: {escape(summary.state)}")
    if summary.applications:
        console.print(table)
    for hint in summary.hints:
        console.print(f"  {escape(hint)}")


def show_demo(outcome: Outcome, *, as_json: bool) -> None:
    """What the demo made, and where to look at it."""
    if as_json:
        _json(dataclasses.asdict(outcome))
        return
    console = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for label, value in outcome.rows():
        table.add_row(f"[bold]{escape(label)}[/]", escape(value))
    console.print(table)


def show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """The doctor's findings, one a line, remedies below."""
    if as_json:
        _json([dataclasses.asdict(finding) for finding in findings])
        return
    console = Console(highlight=False)
    for finding in findings:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]" if finding.fatal else "[yellow]![/]"
        # Remedies are to be copied: no line of them is broken.
        found = f"{mark} [bold]{escape(finding.subject)}[/]: {escape(finding.found)}"
        console.print(found, soft_wrap=True)
        for line in finding.remedy.splitlines():
            console.print(f"    {escape(line)}", soft_wrap=True)


def show_archives(archives: Sequence[Path], *, as_json: bool) -> None:
    """Where the packed charms are."""
    if as_json:
        _json([str(archive) for archive in archives])
        return
    for archive in archives:
        print(archive)


def show_exports(exports: Mapping[str, str], *, as_json: bool) -> None:
    """Shell lines that `eval` takes; the shell itself reads the value of an `@FILE`."""
    if as_json:
        _json(dict(exports))
        return
    for name, value in exports.items():
        if value.startswith("@"):
            print(f'export {name}="$(cat {shlex.quote(value[1:])})"')
        elif name == "PATH":
            print(f'export PATH={shlex.quote(value)}:"$PATH"')
        else:
            print(f"export {name}={shlex.quote(value)}")


def open_page(endpoint: Endpoint, *, browse: bool) -> None:
    """Say where the page is and how to log in; open it where there is a browser to open."""
    print(endpoint.url)
    print(f"user: any name; password: the token in {endpoint.token_file}")
    if browse and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(endpoint.url)


def _json(document: Any) -> None:
    print(json.dumps(document, default=str))
