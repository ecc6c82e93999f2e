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

from sandbox import bubblewrap, container, entrance, root
from sandbox.errors import SandboxError
from sandbox.process import Identity
from sandbox.spec import Spec

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, str], None]

MARK = "MINIJUJU_RUN"
"""By this variable a bubblewrap is known that outlived its controller; it holds `directory`."""
REAP_TIMEOUT = 10.0

LINE_BYTES = 64 * 1024
"""A longer line is passed on in pieces."""


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
    options = container.arguments(spec, root.environment(spec), steps)
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
    """
    options = await asyncio.to_thread(arguments, spec, directory)
    inside = await asyncio.to_thread(entrance.prefix, spec.network)
    with in_memory(options) as descriptor:
        process = await asyncio.create_subprocess_exec(
            *(*inside, str(bubblewrap.find()), "--args", str(descriptor), "--", *spec.command),
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(descriptor,),
            start_new_session=True,
            cwd="/",
            # Bubblewrap's own environment; what runs inside does not see it.
            env={MARK: str(directory)},
        )
    assert process.stdout  # noqa: S101 - a pipe
    assert process.stderr  # noqa: S101 - a pipe
    try:
        async with asyncio.TaskGroup() as group:
            read = _pieces if exact else lines
            group.create_task(read(process.stdout, "stdout", on_output))
            group.create_task(read(process.stderr, "stderr", on_output))
            if process.stdin:
                group.create_task(_feed(process.stdin, stdin))
            code = await process.wait()
    finally:
        if process.returncode is None:
            # Bubblewrap dies, and takes the PID namespace with it.
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
    return code if code >= 0 else 128 - code


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
