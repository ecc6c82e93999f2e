"""Hooks as forks of an interpreter that has imported ops and its like already.

An interpreter belongs to one unit. It is PID 1 of a charm container of the unit: the same mounts,
names and rights as those of a hook that starts cold, and nothing more, for what it imports is the
charm's own. Each hook is a fork of it in that container; between hooks it is alone there, ends
what the last one left behind, and gives way to a new one if more than processes is left.

It dies with the controller, and ends after some seconds without a hook. What keeps a hook from
starting warm never fails it: `NotWarmError` says why, and that nothing has run.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import re
import shlex
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from minijuju import dispatch, execution
from sandbox import root, zygote
from sandbox.spec import Spec

logger = logging.getLogger(__name__)

PRELOAD = ("ops",)
COMMON = (
    "httpcore",
    "httpcore2",
    "jinja2",
    "lightkube.resources.core_v1",
    "pydantic.main",
    "requests",
)
"""Imported too where the charm's environment has them: together they take longer than ops, and a
charm that brings one mostly uses it in every hook. Those that import the rest of their package or
what it needs only when it is used are named themselves."""
IDLE = 20.0
"""Seconds after a hook until its interpreter ends: a unit's next hooks mostly follow at once."""
PATIENCE = 30.0
"""Seconds that an interpreter may take for its imports."""
_SHARE, _SIZE = 16, 32 * 1024 * 1024
_MESSAGE = 4096
_ENDED = re.compile(r"(\d{1,3})( last)?")
_STREAMS: tuple[execution.Stream, ...] = ("stdout", "stderr")
_KILLED = 128 + signal.SIGKILL

_alive: set[WarmCharm] = set()


class NotWarmError(Exception):
    """The charm's code has not begun, and must be started cold; the message says why."""


class NoRoomError(NotWarmError):
    """The machine's memory is better used otherwise."""


def room() -> int:
    """How many interpreters may be there at once: together a sixteenth of the machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(2, memory // _SHARE // _SIZE)


@functools.cache
def _program() -> bytes:
    return Path(zygote.__file__).read_bytes()


class WarmCharm:
    """A unit's warm interpreter; made by `start` alone.

    Attributes:
        spec: the container that it runs in, its command being the charm's `dispatch`.
    """

    def __init__(self, spec: Spec, text: str) -> None:
        self.spec = spec
        self._text = text
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._log = os.memfd_create("warm", os.MFD_CLOEXEC)
        self._socket, self._inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)

    @classmethod
    async def start(cls, spec: Spec, directory: Path, text: str) -> WarmCharm:
        """Start an interpreter; it does its imports while this returns.

        Args:
            spec: the charm container with its `dispatch` as command, and what all hooks have in
                their environment.
            directory: see `execution.arguments`.
            text: what `dispatch` is.

        Raises:
            NotWarmError: it is not charmcraft's, or there is no room.
            SandboxError: a mount of the spec cannot be made.
        """
        if dispatch.launcher(text, "") is None:
            raise NotWarmError("its dispatch is not the one that charmcraft writes")
        if len(_alive) >= room():
            raise NoRoomError(f"{len(_alive)} units have a warm interpreter already")
        made = cls(spec, text)
        _alive.add(made)
        try:
            await made._start(directory)
        except BaseException:
            await made.close()
            raise
        return made

    @property
    def alive(self) -> bool:
        """Whether it may be asked for a hook."""
        return self in _alive and self._process is not None and self._process.returncode is None

    async def run(self, environment: Mapping[str, str], on_output: execution.OnOutput) -> int:
        """Run the charm's code to its end, as `execution.run` would. Cancelling kills it.

        Args:
            environment: all of it, as `root.environment` gives it.
            on_output: called with each line that it prints.

        Raises:
            NotWarmError: nothing has run.
            CrowdedError: it was killed, as it had too many processes.
        """
        if self._idle:
            self._idle.cancel()
        try:
            if not self._ready:
                await self._await_ready()
            code = await self._run(environment, on_output)
        except BaseException:
            await self.close()
            raise
        if self.alive:
            self._idle = asyncio.get_running_loop().call_later(IDLE, self._retire)
        return code

    async def close(self) -> None:
        """End it, and with it whatever runs in its container."""
        _alive.discard(self)
        if self._idle:
            self._idle.cancel()
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                execution.kill(process)
            await process.wait()
        if self._socket.fileno() >= 0:
            self._socket.close()
            self._inner.close()
            os.close(self._log)

    def _retire(self) -> None:
        # Whoever looks before it is closed must not ask it any more.
        _alive.discard(self)
        self._ending = asyncio.get_running_loop().create_task(self.close())

    async def _start(self, directory: Path) -> None:
        program = os.memfd_create("zygote", os.MFD_CLOEXEC)
        try:
            os.write(program, _program())
            setup = {
                "socket": self._inner.fileno(),
                "preload": PRELOAD,
                "preload_found": COMMON,
                "environment": root.environment(self.spec),
            }
            words = f"/dev/fd/{program} {shlex.quote(json.dumps(setup))}"
            lines = dispatch.launcher(self._text, words)
            assert lines is not None  # noqa: S101 - `start` has looked
            self._process = await execution.start(
                self.spec,
                directory,
                ("/bin/sh", "-c", lines, self.spec.command[0]),
                first=True,
                descriptors=(program, self._inner.fileno()),
                stdout=self._log,
                stderr=self._log,
            )
        finally:
            os.close(program)
        # Or its end would not be seen.
        self._inner.close()

    async def _await_ready(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                said = await self._receive()
        except TimeoutError:
            raise NotWarmError(f"importing ops takes more than {PATIENCE:.0f} s") from None
        if said != "ready":
            raise NotWarmError(said or self._evidence())
        self._ready = True

    async def _run(self, environment: Mapping[str, str], on_output: execution.OnOutput) -> int:
        request = os.memfd_create("request", os.MFD_CLOEXEC)
        theirs = [request, os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)]
        process = self._process
        assert process is not None  # noqa: S101 - `start` has set it
        transports: list[asyncio.BaseTransport] = []
        reading: list[asyncio.Task[None]] = []
        try:
            try:
                with os.fdopen(os.dup(request), "w") as stream:
                    json.dump(self._request(environment), stream)
                os.lseek(request, 0, os.SEEK_SET)
                for name in _STREAMS:
                    outer, inner = os.pipe()
                    theirs.append(inner)
                    reader, transport = await _connect(outer)
                    transports.append(transport)
                    lines = execution.lines(reader, name, on_output)
                    reading.append(asyncio.get_running_loop().create_task(lines))
                socket.send_fds(self._socket, [b"run"], theirs)
            except OSError as error:
                raise NotWarmError(f"it cannot be asked: {error}") from error
            finally:
                for descriptor in theirs:
                    os.close(descriptor)
            most = self.spec.limits.processes
            with execution.Crowd(process.pid, most, lambda: execution.kill(process)) as crowd:
                code = await self._code()
            crowd.check()
            # Nothing that could write is left.
            await asyncio.gather(*reading)
            return code
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
            for transport in transports:
                transport.close()

    def _request(self, environment: Mapping[str, str]) -> dict[str, object]:
        launcher = self.spec.command[0]
        return {"environment": dict(environment), "launcher": launcher, "text": self._text}

    async def _code(self) -> int:
        """Wait for the end of the charm's code; its exit code. What is said is not trusted."""
        begun = False
        while True:
            word, *rest = (await self._receive()).split(" ", 1)
            if word == "begun" and not begun:
                begun = True
            elif word == "ended" and begun and (found := _ENDED.fullmatch(" ".join(rest))):
                if found[2]:
                    await self.close()
                return int(found[1])
            elif begun:
                # The kernel took it away, and what it had begun with it.
                await self.close()
                return _KILLED
            else:
                raise NotWarmError(" ".join(rest) or self._evidence())

    async def _receive(self) -> str:
        """What it says next; nothing if it has ended."""
        try:
            said = await asyncio.get_running_loop().sock_recv(self._socket, _MESSAGE)
        except ConnectionError:
            return ""
        return said.decode(errors="replace")

    def _evidence(self) -> str:
        size = os.fstat(self._log).st_size
        text = os.pread(self._log, 2000, max(size - 2000, 0)).decode(errors="replace")
        return text.strip() or "it ended"


async def _connect(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return reader, transport
