"""What is being done right now, told to a person or to a program.

On a terminal every task under way has a line of its own, rewritten in place; elsewhere each
change is one plain line; with `--json` one JSON object a line, on standard output.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table


class Reporter(Protocol):
    """Where progress goes; safe to call from several threads."""

    def begin(self, task: str) -> None:
        """A task has started."""

    def note(self, task: str, text: str) -> None:
        """What a running task is at."""

    def end(self, task: str, text: str, *, ok: bool = True) -> None:
        """A task has ended."""

    def close(self) -> None:
        """Nothing more will come."""


class _Clock:
    """Since when each task runs."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}

    def begin(self, task: str) -> None:
        self._begun.setdefault(task, time.monotonic())

    def seconds(self, task: str) -> float:
        return time.monotonic() - self._begun.get(task, time.monotonic())


class PlainReporter:
    """One line for each change, for pipes and logs."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or sys.stderr
        self._clock = _Clock()
        self._last: dict[str, str] = {}
        self._lock = threading.Lock()

    def begin(self, task: str) -> None:
        """Start the clock of a task."""
        with self._lock:
            self._clock.begin(task)

    def note(self, task: str, text: str) -> None:
        """Print what the task is at, once for each new text."""
        with self._lock:
            self._clock.begin(task)
            if text and self._last.get(task) != text:
                self._last[task] = text
                self._write(f"[{self._clock.seconds(task):6.1f}s] {task}: {text}")

    def end(self, task: str, text: str, *, ok: bool = True) -> None:
        """Print how the task ended and how long it took."""
        with self._lock:
            mark = "done" if ok else "FAILED"
            self._write(f"[{self._clock.seconds(task):6.1f}s] {task}: {mark} {text}".rstrip())

    def close(self) -> None:
        """Nothing is held open."""

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class JsonReporter:
    """One JSON object a line on standard output: {task, event, text, seconds}."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or sys.stdout
        self._clock = _Clock()
        self._lock = threading.Lock()

    def begin(self, task: str) -> None:
        """Tell that a task starts."""
        with self._lock:
            self._clock.begin(task)
            self._write(task, "begin", "")

    def note(self, task: str, text: str) -> None:
        """Tell what a task is at."""
        with self._lock:
            self._clock.begin(task)
            self._write(task, "note", text)

    def end(self, task: str, text: str, *, ok: bool = True) -> None:
        """Tell how a task ended."""
        with self._lock:
            self._write(task, "done" if ok else "failed", text)

    def close(self) -> None:
        """Nothing is held open."""

    def _write(self, task: str, event: str, text: str) -> None:
        record = {
            "task": task,
            "event": event,
            "text": text,
            "seconds": round(self._clock.seconds(task), 2),
        }
        print(json.dumps(record), file=self._stream, flush=True)


class LiveReporter:
    """A table on a terminal: a spinner while a task runs, a mark and a time when it ended."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._clock = _Clock()
        self._running: dict[str, str] = {}
        self._spinners: dict[str, Spinner] = {}
        self._lock = threading.RLock()
        self._live = Live(
            get_renderable=self._table,
            console=self._console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def begin(self, task: str) -> None:
        """Give the task a line."""
        with self._lock:
            self._clock.begin(task)
            self._running.setdefault(task, "")

    def note(self, task: str, text: str) -> None:
        """Change the task's line."""
        with self._lock:
            self._clock.begin(task)
            self._running[task] = text

    def end(self, task: str, text: str, *, ok: bool = True) -> None:
        """Move the task's line up into what is finished."""
        with self._lock:
            self._running.pop(task, None)
            mark = "[green]✓[/]" if ok else "[red]✗[/]"
            seconds = self._clock.seconds(task)
            self._live.console.print(
                f"{mark} {escape(task):<24} [dim]{seconds:6.1f}s[/]  {escape(text)}"
            )

    def close(self) -> None:
        """Take the running lines off the terminal."""
        self._live.stop()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(min_width=24)
        table.add_column(justify="right", min_width=7)
        table.add_column(no_wrap=True, overflow="ellipsis")
        with self._lock:
            for task, text in self._running.items():
                spinner = self._spinners.setdefault(task, Spinner("dots"))
                seconds = f"{self._clock.seconds(task):.1f}s"
                table.add_row(spinner, escape(task), seconds, escape(text))
        return table


@contextmanager
def reporter(*, as_json: bool) -> Iterator[Reporter]:
    """The reporter that fits where the output goes; closed at the end."""
    chosen: Reporter
    if as_json:
        chosen = JsonReporter()
    elif sys.stderr.isatty():
        chosen = LiveReporter()
    else:
        chosen = PlainReporter()
    try:
        yield chosen
    finally:
        chosen.close()


@contextmanager
def task(report: Reporter, name: str) -> Iterator[list[str]]:
    """Report a block of work as one task.

    The block may append to the yielded list what its last line shall say. An exception is
    reported and passes on.
    """
    outcome: list[str] = []
    report.begin(name)
    try:
        yield outcome
    except BaseException as error:
        report.end(
            name, str(error).splitlines()[0] if str(error) else type(error).__name__, ok=False
        )
        raise
    report.end(name, " ".join(outcome))
