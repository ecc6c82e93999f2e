"""Run a further command in a running container, as `docker exec` and `kubectl exec` do.

The command has the container's namespaces, root, environment and user, and no privileges. It is a
child of its owner's process and ends with it; what it leaves running in the container becomes a
child of the container's PID 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox import cgroup, entry, gate, record, root
from sandbox.container import Container
from sandbox.errors import SandboxError
from sandbox.process import readable

_PATIENCE = 60.0
# By container: the commands in it that are no descendants of its PID 1.
_running: dict[Path, set[int]] = {}


class ExecutionError(SandboxError):
    """The command cannot be run; `code` is the exit code that a container engine gives then."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def pids(directory: Path) -> tuple[int, ...]:
    """The helpers (each with its command as its child) that run commands in a container."""
    return tuple(_running.get(directory, ()))


class Execution:
    """A command that runs in a container; made by `execute` alone.

    Attributes:
        stdin, stdout, stderr: its streams where they were asked for; with a terminal, stdin and
            stdout are its two directions. What the command leaves running may hold an output open
            after its end.
        terminal: the descriptor of its terminal's outer end, None without one.
    """

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self._process = process
        self._directory = directory
        self.terminal: int | None = None
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._transports: list[asyncio.BaseTransport] = []
        _running.setdefault(directory, set()).add(process.pid)

    async def wait(self) -> int:
        """Its exit code (128 + signal for a killed one), once it has ended."""
        if self._process.returncode is None:
            descriptor = os.pidfd_open(self._process.pid)
            try:
                await readable(descriptor)
            finally:
                os.close(descriptor)
        return self._process.wait()

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size."""
        if self.terminal is not None:
            size = struct.pack("HHHH", rows, columns, 0, 0)
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    async def close(self) -> None:
        """Kill it if it still runs, with its process group, and close what belongs to it."""
        try:
            if self._process.poll() is None:
                # Its helper is not reaped before: the pids mean what they meant.
                for pid in record.children(self._process.pid):
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(pid, signal.SIGKILL)
                self._process.terminate()
                await self.wait()
        finally:
            # Who closes it may be cancelled meanwhile. The helper takes its command away before it
            # ends, and must: a container does not end while one of its processes is no one's.
            try:
                self._process.wait(_PATIENCE)
            finally:
                self._forget()
        # The loop closes the streams in its next turn.
        await asyncio.sleep(0)

    def _forget(self) -> None:
        found = _running.get(self._directory, set())
        found.discard(self._process.pid)
        if not found:
            _running.pop(self._directory, None)
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None
        for transport in self._transports:
            transport.close()

    async def attach(self, streams: Mapping[str, int]) -> None:
        """Take over our ends of the command's streams."""
        loop = asyncio.get_running_loop()
        for name, descriptor in streams.items():
            pipe = os.fdopen(descriptor, "wb" if name == "stdin" else "rb", 0)
            if name == "stdin":
                transport, protocol = await loop.connect_write_pipe(
                    lambda: asyncio.streams.FlowControlMixin(loop=loop), pipe
                )
                self._transports.append(transport)
                self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
                continue
            reader = asyncio.StreamReader()
            incoming, _ = await loop.connect_read_pipe(
                lambda reader=reader: _Output(reader),  # type: ignore[misc]
                pipe,
            )
            self._transports.append(incoming)
            setattr(self, name, reader)


class _Output(asyncio.StreamReaderProtocol):
    """An output whose end is no error: that of a terminal is EIO to the kernel."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        super().connection_lost(None)


async def execute(
    container: Container,
    command: Sequence[str],
    *,
    stdin: bool = False,
    stdout: bool = False,
    stderr: bool = False,
    terminal: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Execution:
    """Start `command` in a running container; returns when it runs.

    Args:
        container: the container.
        command: the argument list.
        stdin: pipe its input; it is empty otherwise.
        stdout: pipe its output; it is thrown away otherwise.
        stderr: likewise.
        terminal: give it a terminal in place of the three.
        variables: further environment variables.

    Raises:
        ExecutionError: it cannot be run; the message says why.
    """
    environment = {**root.environment(container.spec), **(variables or {})}
    request = {
        "pid": container.pid,
        "start": container.start_ticks,
        "command": list(command),
        "environment": environment,
        "cwd": container.spec.cwd,
        "terminal": terminal,
        "processes": gate.bound(container.spec.limits.processes),
        "cgroup": str(cgroup.of(container.directory) or ""),
    }
    # By file: the environment may hold secrets.
    source = os.memfd_create("request", os.MFD_CLOEXEC)
    control, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with inner:
            with os.fdopen(os.dup(source), "w") as stream:
                json.dump(request, stream)
            os.lseek(source, 0, os.SEEK_SET)
            wanted = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
            names = [name for name, want in wanted.items() if want and not terminal]
            process, streams = _spawn(names, source, inner.fileno())
        execution = Execution(process, container.directory)
        try:
            await execution.attach(streams)
            outer = execution.terminal = await _started(control)
            if outer is not None:
                await execution.attach({"stdin": os.dup(outer), "stdout": os.dup(outer)})
        except BaseException:
            await execution.close()
            raise
        return execution
    finally:
        control.close()
        os.close(source)


def _spawn(
    names: Sequence[str], source: int, control: int
) -> tuple[subprocess.Popen[bytes], dict[str, int]]:
    """Start the helper; our ends of the streams by name."""
    ours, theirs = {}, {}
    try:
        for name in names:
            reading, writing = os.pipe()
            ours[name], theirs[name] = (
                (writing, reading) if name == "stdin" else (reading, writing)
            )
        none = subprocess.DEVNULL
        # In the loop's own thread: the helper ends with the thread that started it.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", entry.__file__, str(source), str(control)],
            stdin=theirs.get("stdin", none),
            stdout=theirs.get("stdout", none),
            stderr=theirs.get("stderr", none),
            pass_fds=(source, control),
            cwd="/",
            env={},
        )
    except BaseException:
        for descriptor in ours.values():
            os.close(descriptor)
        raise
    finally:
        for descriptor in theirs.values():
            os.close(descriptor)
    return process, ours


async def _started(control: socket.socket) -> int | None:
    """Wait until the command runs; the outer end of its terminal, if it has one."""
    control.setblocking(False)
    terminal: int | None = None
    try:
        async with asyncio.timeout(_PATIENCE):
            while True:
                await readable(control.fileno())
                said, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
                if descriptors:
                    terminal = descriptors[0]
                    os.set_blocking(terminal, False)
                    if not os.isatty(terminal):
                        raise ExecutionError("the container's /dev/ptmx makes no terminal", 126)
                elif not said:
                    return terminal
                else:
                    code, _, text = said.decode(errors="replace").partition(" ")
                    raise ExecutionError(text, int(code))
    except BaseException as error:
        if terminal is not None:
            os.close(terminal)
        if isinstance(error, TimeoutError):
            raise ExecutionError(f"it did not start within {_PATIENCE:.0f} s", 126) from error
        raise
