"""Runs one command in a sandbox and passes on what it prints: hooks, `juju exec`, `ssh`.

Unlike a workload, such a command dies with the controller: a hook that was running when the
controller was killed is run again by the next one. The kernel sees to that, except for a command
whose controller died in the very moment of its start; `reap` finds those.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from sandbox import bubblewrap, entrance, gate, limits, root, starting
from sandbox.errors import SandboxError
from sandbox.process import Identity
from sandbox.spec import Spec

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, str], None]

MARK = "MINIJUJU_RUN"
"""By this variable a bubblewrap is known that outlived its controller; it holds `directory`."""
REAP_TIMEOUT = 10.0

LOOK = 0.25
"""Seconds between two looks at how many processes a command has."""

LINE_BYTES = 64 * 1024
"""A longer line is passed on in pieces."""


class CrowdedError(Exception):
    """A command was killed for its processes: they were as many as they may be."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"has reached {most} processes and threads in a container, as many as it may have;"
            " what ran was killed"
        )


class Crowd:
    """Kills a command once its processes are as many as they may be; a context around its run.

    The kernel lets it make no more (`sandbox.gate`), but tells nobody.

    Args:
        pid: the process of which all that it starts descends.
        most: how many there may be, threads counted; None: any number.
        kill: ends them all.
    """

    def __init__(self, pid: int, most: int | None, kill: Callable[[], None]) -> None:
        self._pid = pid
        self._most = most
        self._kill = kill
        self._reached = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Crowd:
        if self._most is not None:
            self._again()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    def check(self) -> None:
        """Raise CrowdedError if it was killed."""
        if self._reached and self._most is not None:
            raise CrowdedError(self._most)

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def _look(self) -> None:
        if self._most is not None and limits.crowded(lambda: [self._pid], self._most):
            self._reached = True
            self._kill()
        else:
            self._again()


def arguments(
    spec: Spec, directory: Path, *, interactive: bool = False, first: bool = False
) -> list[str]:
    """Bubblewrap's options for a command that dies with who starts it.

    Args:
        spec: What to run; `output` and `warm` are not used.
        directory: The container's own parts (/etc, /tmp, /run), shared by every call.
        interactive: Keep the terminal, for job control.
        first: The command is PID 1 and reaps orphans; otherwise bubblewrap does.
    """
    steps = root.prepare(spec, directory)
    root.furnish(steps)
    options = starting.arguments(spec, root.environment(spec), steps)
    unwanted = {"--new-session"} if interactive else set()
    unwanted |= set() if first else {"--as-pid-1"}
    flags = [option for option in options[: options.index("--clearenv")] if option not in unwanted]
    return ["--die-with-parent", *flags, *options[options.index("--clearenv") :]]


async def run(
    spec: Spec,
    directory: Path,
    on_output: OnOutput,
    *,
    stdin: bytes = b"",
    exact: bool = False,
) -> int:
    """Run the command to its end; return its exit code (128 + signal for a killed one).

    Nothing that it started outlives it. Cancelling kills it.

    Args:
        spec: What to run.
        directory: See `arguments`.
        on_output: Called with each line that it prints, without the newline.
        stdin: What it reads from standard input.
        exact: Pass the output on as it comes, newlines and all, rather than line by line.

    Raises:
        SandboxError: A mount of the spec cannot be made.
        CrowdedError: It was killed, as it had too many processes.
    """
    process = await start(
        spec,
        directory,
        spec.command,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout  # noqa: S101 - a pipe
    assert process.stderr  # noqa: S101 - a pipe
    try:
        with Crowd(process.pid, spec.limits.processes, lambda: kill(process)) as crowd:
            async with asyncio.TaskGroup() as group:
                read = _pieces if exact else lines
                group.create_task(read(process.stdout, "stdout", on_output))
                group.create_task(read(process.stderr, "stderr", on_output))
                if process.stdin:
                    group.create_task(_feed(process.stdin, stdin))
                code = await process.wait()
            crowd.check()
    finally:
        if process.returncode is None:
            kill(process)
            await process.wait()
    return code if code >= 0 else 128 - code


async def start(
    spec: Spec,
    directory: Path,
    command: Sequence[str],
    *,
    first: bool = False,
    descriptors: Sequence[int] = (),
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int,
    stderr: int,
) -> asyncio.subprocess.Process:
    """Start a command in a container; what it descends of is bubblewrap, which this returns.

    Args:
        spec: the container.
        directory: see `arguments`.
        first: see `arguments`.
        command: what runs in it.
        descriptors: what it inherits besides its streams.
        stdin: as `asyncio.create_subprocess_exec` takes it.
        stdout: likewise.
        stderr: likewise.

    Raises:
        SandboxError: a mount of the spec cannot be made.
    """
    # Here and not in a thread: a millisecond of small steps, before each of which a thread would
    # wait for the interpreter's lock while others' hooks are served.
    options = arguments(spec, directory, first=first)
    inside = await asyncio.to_thread(entrance.prefix, spec.network) if spec.network else []
    with in_memory(options) as descriptor, gate.Gate(spec.limits.processes) as before:
        process = await asyncio.create_subprocess_exec(
            *(*inside, str(bubblewrap.find()), "--args", str(descriptor)),
            *(*before.options, "--", *command),
            pass_fds=(descriptor, *before.descriptors, *descriptors),
            start_new_session=True,
            cwd="/",
            # Bubblewrap's own environment; what runs inside does not see it.
            env={MARK: str(directory)},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            before.begun()
            await before.lifted()
        except BaseException:
            kill(process)
            await process.wait()
            raise
    return process


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill bubblewrap, and with it the PID namespace, of which it is the owner."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)


def marked(top: Path) -> list[Identity]:
    """Every command that runs in a container below `top`, whoever started it. Blocking."""
    mark = os.fsencode(f"{MARK}={top}/")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        # Processes come and go, and those of others cannot be read.
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes():
                identity = Identity.of(int(folder.name))
                if identity is not None:
                    found.append(identity)
    return found


def reap(top: Path) -> int:
    """Kill every command that an earlier controller left behind below `top`; how many. Blocking.

    Raises:
        SandboxError: One cannot be killed.
    """
    left = [one for one in marked(top) if one.signal(signal.SIGKILL)]
    deadline = time.monotonic() + REAP_TIMEOUT
    while any(one.alive() for one in left):
        if time.monotonic() > deadline:
            raise SandboxError(f"processes {[one.pid for one in left]} cannot be killed")
        time.sleep(0.005)
    return len(left)


async def lines(reader: asyncio.StreamReader, stream: Stream, on_output: OnOutput) -> None:
    """Pass on what comes line by line, without the newlines, to its end."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pending = ""
    while chunk := await reader.read(LINE_BYTES):
        *lines, pending = (pending + decoder.decode(chunk)).split("\n")
        for line in lines:
            on_output(stream, line)
        if len(pending) >= LINE_BYTES:
            on_output(stream, pending)
            pending = ""
    pending += decoder.decode(b"", final=True)
    if pending:
        on_output(stream, pending)


async def _pieces(reader: asyncio.StreamReader, stream: Stream, on_output: OnOutput) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while chunk := await reader.read(LINE_BYTES):
        on_output(stream, decoder.decode(chunk))
    on_output(stream, decoder.decode(b"", final=True))


async def _feed(writer: asyncio.StreamWriter, data: bytes) -> None:
    # A command that does not read to the end has its reasons.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.contextmanager
def in_memory(options: Sequence[str]) -> Iterator[int]:
    """A descriptor to read the options from: they hold an environment, argv is for all to see."""
    descriptor = os.memfd_create("bwrap", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, b"\0".join(os.fsencode(option) for option in options) + b"\0")
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
